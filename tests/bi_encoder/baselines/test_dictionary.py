"""The dictionary: which phrases match, how far they are trusted, and where they stand."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, concatenate_datasets
from tiny_task import make_tiny_task

from bi_encoder.baselines.dictionary import Dictionary, PhraseCounts
from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrases.finder import ALL_PHRASES, MatchRule
from bi_encoder.baselines.phrases.known import known_phrases
from bi_encoder.baselines.phrases.words import words_of
from bi_encoder.baselines.phrases_and_words import dictionary, phrase_trees, words_and_letters
from bi_encoder.baselines.retrieval_baselines import chosen_folders
from bi_encoder.inputs.code_names import all_names
from mera.evaluation.metrics import mean_average_precision
from mera.system.errors import UserError

NAMES = [["Heart failure", "cardiac insufficiency"], ["Failure"], ["Diabetes mellitus"], ["Fever"], []]
NOTES = ["Heart failure. Fever.", "Fever since a week; no heart failure", "Diabetes mellitus, fever", "Nothing"]
TARGETS = [[0, 3], [3], [2], [1]]
NAME = (0.3 + 1 / 2 + 0 + 1 + 2 / 3) / 5
"""The usual precision of a name: that of none, of heart failure, failure, diabetes mellitus and fever."""


def fit(**options):
    return Dictionary.fit(NAMES, NOTES, TARGETS, [[] for _ in NOTES], **options)


def test_a_phrase_is_trusted_as_far_as_it_was_right():
    """Fever stands in 3 training notes, 2 of which have it."""
    scores = fit().scores(["fever", "a cardiac insufficiency", "nothing"])
    assert scores.shape == (3, 5)
    assert scores[0].tolist() == pytest.approx([0, 0, 0, (2 + NAME) / 4, 0])
    assert scores[1].tolist() == pytest.approx([NAME, 0, 0, 0, 0])  # never seen in training
    assert scores[2].tolist() == [0] * 5
    assert fit(smoothing=3).scores(["fever"])[0, 3] == pytest.approx((2 + 3 * NAME) / (3 + 3))


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("Пневмония groß Łódź", " пневмония gros łodz "),
        ("Strasse, STRAẞE", " strass strass "),
        ("Sjögren's bøjninger", " sjogren s bøjninger "),
    ],
)
def test_letters_of_other_alphabets_are_letters(text, joined):
    assert words_of(text).joined == joined


def test_a_phrase_has_three_letters():
    assert list(known_phrases([["a b", "ПЭ", "a b c"]], [], [])) == [" a b c "]


def test_phrases_in_one_another_each_speak_for_their_code_or_the_longest_alone():
    """Failure stands in two training notes and was never right; where the longest counts alone it was not seen."""
    assert fit().scores(["HEART FAILURES"])[0].tolist() == pytest.approx([(1 + NAME) / 3, NAME / 3, 0, 0, 0])
    longest, usual = fit(rule=MatchRule(longest_alone=True)), (0.3 + 1 / 2 + 1 + 2 / 3) / 4
    assert longest.scores(["HEART FAILURES"])[0].tolist() == pytest.approx([(1 + usual) / 3, 0, 0, 0, 0])
    assert longest.scores(["renal failure"])[0, 1] == pytest.approx(usual)


def test_a_marked_phrase_is_judged_by_the_notes_where_nobody_marked_it():
    """Dyspnea was marked in one note and stands in three more, one of which has the code; fever, a name, was marked in
    one and stands in one more that has not its code; cough stands nowhere else."""
    notes = ["dyspnea, cough", "dyspnea", "dyspnea", "dyspnea, fever", "fever"]
    spans = [[(0, "dyspnea"), (2, "cough")], [], [], [(3, "fever")], []]
    targets = [[0, 2], [0], [], [3], []]
    phrases = known_phrases(NAMES, notes, targets, spans)
    usual = PhraseCounts.of(phrases, notes, targets, spans, len(NAMES), ALL_PHRASES).usual_precisions()
    assert usual["marked"] == pytest.approx((0.5 + 1 / 3) / 2)
    assert usual["marked name"] == pytest.approx((0.5 + 0) / 2)
    assert usual["name"] == 0.3
    assert usual["sequence"] == 0.2


def test_a_mark_that_the_rule_does_not_find_is_none_of_the_notes_with_the_phrase():
    """Failure is marked inside a longer phrase, which counts alone; in another note it stands without its code."""
    notes = ["acute renal failure", "failure"]
    spans = [[(0, "acute renal failure"), (2, "failure")], []]
    targets = [[0, 2], [3]]
    phrases = known_phrases([["acute renal failure"], [], [], []], notes, targets, spans)
    rule = MatchRule(longest_alone=True)
    counts = PhraseCounts.of(phrases, notes, targets, spans, 4, rule)
    assert counts.usual_precisions()["marked"] == pytest.approx((0.5 + 0) / 2)


def test_negated_and_family_phrases_may_be_left_out():
    texts = ["denies fever", "no cough. Fever", "mother: diabetes mellitus", "without a sign of it but fever"]
    kept, left = fit().scores(texts), fit(rule=MatchRule(leave_out_negated=True)).scores(texts)
    assert (kept.max(axis=1) > 0).all()
    assert (left.max(axis=1) > 0).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("negated", "told"),
    [
        ("keine", "hat"),
        ("ohne", "mit"),
        ("Vater:", "Patient:"),
        ("sans", "avec"),
        ("aucune", "une"),
        ("sem", "com"),
        ("mãe com", "ela com"),
        ("nega", "ha"),
        ("senza", "con"),
        ("geen", "heeft"),
        ("moeder:", "zij:"),
    ],
)
def test_cues_of_other_languages(negated, told):
    scores = fit(rule=MatchRule(leave_out_negated=True)).scores([f"{negated} fever", f"{told} fever"])
    assert (scores.max(axis=1) > 0).tolist() == [False, True]


def test_a_phrase_that_says_no_more_than_how_frequent_a_code_is_is_no_evidence():
    """Every second note has heart failure, and so every second note with any phrase."""
    notes = [f"{'admission' if row % 2 else 'visit'} for {'dyspnea' if row < 20 else 'a cough'}" for row in range(40)]
    targets = [[0] if row < 20 else [] for row in range(40)]
    marked = [[(0, "admission"), (0, "dyspnea")] if row in (1, 3) else [] for row in range(40)]
    fitted = Dictionary.fit(NAMES, notes, targets, marked)
    note = "Admission for dyspnea"
    assert fitted.base_rates[0] == pytest.approx(20 / 42)
    assert [note[span.start : span.end] for span in fitted.spans(note)] == ["dyspnea"]
    again = Dictionary.from_contents(fitted.contents())
    assert again.spans(note) == fitted.spans(note)
    without = replace(
        fitted.contents(), arrays={k: v for k, v in fitted.contents().arrays.items() if k != "base_rates"}
    )
    assert len(Dictionary.from_contents(without).spans(note)) == 2, "a run of before knows no rates"
    np.testing.assert_array_equal(fitted.scores([note]), Dictionary.from_contents(without).scores([note]))


def test_evidence_points_at_the_characters():
    note = "Paciente con INSUFICIENCIA   CARDÍACA y fiebres."
    spans = [[(0, "insuficiencia cardiaca"), (3, "fiebre")], [(3, "fiebre")]]
    dictionary = Dictionary.fit(NAMES, [note, "fiebre"], [[0, 3], [3]], spans)
    places = [(span.column, note[span.start : span.end]) for span in dictionary.spans(note)]
    assert places == [(0, "INSUFICIENCIA   CARDÍACA"), (3, "fiebres")]
    assert dictionary.spans(note)[1].precision == pytest.approx((2 + 0.5) / (2 + 1))


def test_of_a_codes_phrases_in_one_another_the_evidence_is_the_longest():
    note = "heart failure and failure"
    names = [["heart failure", "failure"], ["failure"]]
    spans = Dictionary.fit(names, [note], [[0]], [[]]).spans(note)
    assert [(span.column, note[span.start : span.end]) for span in spans] == [
        (0, "heart failure"),
        (1, "failure"),
        (0, "failure"),
        (1, "failure"),
    ]


def test_sequences_that_stand_with_a_code_name_it_where_there_are_no_spans():
    notes = ["purple toe", "black and purple toe", "any toe"] * 2
    dictionary = Dictionary.fit(NAMES, notes, [[2], [2], [1]] * 2)
    scores = dictionary.scores(["purple toe"])
    assert scores[0].argmax() == 2
    assert scores[0, 2] == pytest.approx((4 + 0.2) / (4 + 1))
    assert dictionary.scores(["toe"])[0, 1] == 0  # in fewer than half of the notes with it


def naive_matches(phrases, text, longest_alone):
    """All phrases at all places; or the longest first, then the first, and no word twice."""
    words = re.findall(r"[a-z]+", text)
    places = [
        (-length, start, " ".join(words[start : start + length]))
        for length in range(1, 5)
        for start in range(len(words) - length + 1)
    ]
    taken, chosen = set(), []
    for length, start, phrase in sorted(places):
        own = set(range(start, start - length))
        if phrase in phrases and not own & taken:
            taken |= own if longest_alone else set()
            chosen.append((start, length, phrase))
    return [phrase for _, _, phrase in sorted(chosen)]


@pytest.mark.parametrize("rule", [ALL_PHRASES, MatchRule(longest_alone=True)])
def test_matches_are_those_of_a_loop_over_all_places(rule):
    draw = random.Random(0)
    letters = ["abc", "bcd", "cde", "dea", "abcbcd"]
    phrases = {" ".join(draw.choices(letters, k=draw.randint(1, 4))) for _ in range(40)}
    dictionary = Dictionary.fit([[phrase] for phrase in sorted(phrases)], ["abc"], [[0]], [[]])
    for _ in range(100):
        text = " ".join(draw.choices(letters, k=30))
        matches = [match.phrase.strip() for match in dictionary.finder.matches(words_of(text), rule)]
        assert matches == naive_matches(phrases, text, rule.longest_alone)
        assert matches


def test_no_phrase_at_all_is_refused():
    with pytest.raises(UserError, match="none of the codes has a name"):
        Dictionary.fit([["?"], []], ["a note"], [[0]], [[]])
    assert fit().scores([]).shape == (0, 5)
    assert np.isfinite(fit().scores(["", "🙂", "é"])).all()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task", kind="coding", patients=80)


def test_on_a_task_the_setting_is_chosen_on_validation_and_evidence_names_its_codes(task):
    ranking = dictionary(task)
    assert ranking.validation.shape == task.targets("validation").shape
    measured = mean_average_precision(ranking.validation, task.targets("validation"))
    assert measured == pytest.approx(max(ranking.chosen.validation_map.values()))
    assert measured > mean_average_precision(np.zeros_like(ranking.validation), task.targets("validation")) + 0.3
    note, spans = task.splits["test"]["text"][0], ranking.evidence["0"]
    assert set(spans) <= set(task.codes)
    words = {code: words_of(note[start:end]).joined for code, places in spans.items() for start, end in places}
    names = {
        code: [words_of(name).joined for name in row] for code, row in zip(task.codes, all_names(task), strict=True)
    }
    assert words
    assert any(phrase in names[code] for code, phrase in words.items())


def test_words_and_letters_on_a_task(task):
    ranking = words_and_letters(task)
    targets = task.targets("test")
    assert mean_average_precision(ranking.test, targets) > mean_average_precision(np.zeros_like(ranking.test), targets)
    assert ranking.chosen.in_words().startswith(("ridge, penalty", "support vector machines, cost"))
    assert ranking.chosen.training_notes == len(task.splits["train"])


@pytest.mark.parametrize("joined", [False, True])
def test_of_many_notes_some_of_every_split_are_read(task, joined):
    train, validation = (len(task.splits[split]) for split in ("train", "validation"))
    every = Notes.of(task, ("train", "validation"), joined)
    some = Notes.of(task, ("train", "validation"), joined, most=(train + validation) // 2)
    assert some.rows[-1] >= train > some.rows[0]
    for name in ("texts", "targets", "patients", "marked"):
        assert getattr(some, name) == [getattr(every, name)[row] for row in some.rows], name
    rows = np.arange(train)[::3]
    assert some.of_rows(rows).rows.tolist() == [row for row in some.rows if row % 3 == 0 and row < train]


@pytest.mark.parametrize("baseline", [dictionary, words_and_letters, phrase_trees])
def test_a_row_without_a_note_among_notes_with_evidence(task, baseline):
    rows = task.splits["train"].to_list()
    rows[0] |= {"text": None, "evidence": []}
    train = Dataset.from_list(rows, features=task.splits["train"].features)
    ranking = baseline(replace(task, splits=DatasetDict({**task.splits, "train": train})))
    assert np.isfinite(ranking.test).all()
    assert ranking.test.std() > 0


@pytest.mark.parametrize("baseline", [dictionary, words_and_letters, phrase_trees])
def test_a_refitted_model_reads_validation_to_score_test_and_chooses_as_before(task, baseline):
    once, again = baseline(task), baseline(task, refit=True)
    np.testing.assert_array_equal(once.validation, again.validation)
    assert once.chosen.validation_map == again.chosen.validation_map
    assert again.chosen.training_notes == len(task.splits["train"]) + len(task.splits["validation"])
    assert not np.allclose(once.test, again.test)
    both = concatenate_datasets([task.splits["train"], task.splits["validation"]])
    splits = DatasetDict({**task.splits, "train": both})
    direct = baseline(replace(task, splits=splits))
    if direct.chosen.setting == again.chosen.setting:
        np.testing.assert_allclose(direct.test, again.test, rtol=1e-5, atol=1e-6)


def test_a_baseline_that_there_is_not(tmp_path):
    folders = {"BM25": tmp_path / "bm25", "dictionary": tmp_path / "dictionary"}
    assert list(chosen_folders(folders, ["bm25"])) == ["BM25"]
    assert chosen_folders(folders, []) == folders
    with pytest.raises(UserError, match="only names bm52, but the baselines are bm25, dictionary"):
        chosen_folders(folders, ["bm52"])
