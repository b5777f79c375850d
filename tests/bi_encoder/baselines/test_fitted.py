"""A fitted baseline read back from its run: the same scores and evidence to the last bit, or one sentence."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from small_encoder import make_encoder, save_plain
from tiny_task import make_tiny_task

from bi_encoder.baselines.dictionary import Dictionary
from bi_encoder.baselines.fitted import FOLDER, read_fitted, write_fitted
from bi_encoder.baselines.name_models import EncoderScorer, NameModel, WordScorer, sentence_places
from bi_encoder.baselines.phrases_and_words import dictionary, phrase_trees, words_and_letters
from bi_encoder.baselines.retrieval_baselines import bm25, untrained_encoder
from bi_encoder.baselines.word_features import Svm, WordFeatures, WordModel
from bi_encoder.index.words import sentences
from bi_encoder.inputs.texts import query_texts, tokenizer_texts
from bi_encoder.search.search_index import open_model
from mera.runs.fitted_contents import write_contents
from mera.system.errors import UserError

NAMES = [["Heart failure", "cardiac insufficiency"], ["Fever"], ["Diabetes mellitus", "sugar"]]
NOTE = "No fever. Cardiac insufficiency\nwith sugar; a heart failure!"


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=60)


@pytest.fixture(scope="module")
def encoder(task, tmp_path_factory):
    return str(save_plain(make_encoder(tokenizer_texts(task)), tmp_path_factory.mktemp("models") / "plain"))


def machines(task):
    """Support vector machines, whatever validation says of them."""
    texts, true = [query.text for query in query_texts(task, "train")], task.targets("train").astype(bool)
    words = WordFeatures.fit(texts)
    return WordModel(words=words, linear=Svm.fit(words(texts), true, 1.0))


FITTED = {
    "dictionary": lambda task, _: dictionary(task).model,
    "phrase trees": lambda task, _: phrase_trees(task).model,
    "words and letters": lambda task, _: words_and_letters(task).model,
    "machines": lambda task, _: machines(task),
    "BM25": lambda task, _: bm25(task).model,
    "untrained encoder": lambda task, encoder: untrained_encoder(task, encoder, open_model, 64).model,
}


@pytest.mark.parametrize("name", FITTED)
def test_it_scores_and_points_as_before(task, encoder, tmp_path, name):
    model = FITTED[name](task, encoder)
    write_fitted(tmp_path, model, 0.1 + 0.2)
    again, threshold = read_fitted(tmp_path, open_model)
    assert (again.kind, threshold) == ({"machines": "words and letters"}.get(name, name), 0.1 + 0.2)
    texts = [query.text for query in query_texts(task, "test")]
    expected = model.scores(texts)
    assert expected.std() > 0
    np.testing.assert_array_equal(again.scores(texts), expected)
    columns = np.array([3, 0, 5])
    assert [again.evidence(text, columns) for text in texts] == [model.evidence(text, columns) for text in texts]
    files = list((tmp_path / FOLDER).iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len(files) == 2


@pytest.mark.parametrize("document", ["all words", "best name"])
@pytest.mark.parametrize("by_sentence", [False, True])
def test_every_view_is_kept(tmp_path, document, by_sentence):
    meanings = {"azucar": "sugar"}
    scorer = WordScorer(NAMES, document, meanings)
    model = NameModel(scorer=scorer, by_sentence=by_sentence, added=np.array([0.5, 0, -1], dtype=np.float32))
    write_fitted(tmp_path, model, 1.0)
    again, _ = read_fitted(tmp_path, open_model)
    texts = [NOTE, "azucar", "sugar. Fever"]
    np.testing.assert_array_equal(again.scores(texts), model.scores(texts))
    assert (again.scores(["azucar"])[0, 2] > -1) == (document == "best name")


def test_the_best_sentence_is_the_evidence():
    model = NameModel(scorer=WordScorer(NAMES, "best name"), by_sentence=True, added=np.zeros(3, dtype=np.float32))
    (failure,), (sugar,) = model.evidence(NOTE, np.array([0, 2]))
    assert NOTE[failure.start : failure.end] == "Cardiac insufficiency", "the first of equals"
    assert NOTE[sugar.start : sugar.end] == "with sugar;"
    whole = NameModel(scorer=model.scorer, by_sentence=False, added=model.added)
    assert whole.evidence(NOTE, np.array([0, 2])) == [[], []]


def test_a_code_of_which_no_sentence_speaks_has_no_evidence():
    """It stands where it does by its frequency alone; the first sentence says nothing of it."""
    added = np.array([0, 5, 0], dtype=np.float32)
    model = NameModel(scorer=WordScorer(NAMES, "best name"), by_sentence=True, added=added)
    note = "Seen on Monday by the nurse. Sugar is high."
    (sugar,), fever = model.evidence(note, np.array([2, 1]))
    assert note[sugar.start : sugar.end] == "Sugar is high."
    assert fever == []
    assert model.evidence("xyzzy blorp. qwfp.", np.array([1, 0])) == [[], []]


def test_phrases_that_overlap_are_one_piece_of_evidence():
    names = [["acute renal", "renal failure syndrome"], ["fever"]]
    fitted = Dictionary.fit(names, ["Acute renal failure syndrome.", "Fever."] * 3, [[0], [1]] * 3)
    note = "He has acute renal failure syndrome, fever, and acute renal trouble."
    spans, fever = fitted.evidence(note, np.array([0, 1]))
    assert [note[span.start : span.end] for span in spans] == ["acute renal failure syndrome", "acute renal"]
    assert [note[span.start : span.end] for span in fever] == ["fever"]


@pytest.mark.parametrize("text", [NOTE, "a b. a b. a b.", " \n ", "  Fever.  \r\n\r\nFever."])
def test_sentences_have_their_places(text):
    places = sentence_places(text)
    assert [text[start:end] for start, end in places] == sentences(text)
    assert all(before[1] <= after[0] for before, after in pairwise(places))


def test_the_phrases_of_a_code_are_its_evidence(task):
    model, row = dictionary(task).model, task.splits["test"][0]
    columns = np.array([task.column[code] for code in row["targets"]])
    expected = {
        column: [(span.start, span.end, span.precision) for span in model.spans(row["text"]) if span.column == column]
        for column in columns.tolist()
    }
    found = model.evidence(row["text"], columns)
    assert any(found)
    assert [[(span.start, span.end, span.weight) for span in spans] for spans in found] == list(expected.values())


def test_damage_is_one_sentence(task, tmp_path):
    def refused():
        with pytest.raises(UserError) as refusal:
            read_fitted(tmp_path, open_model)
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    write_fitted(tmp_path, dictionary(task).model, 0.5)
    settings, arrays = tmp_path / FOLDER / "model.json", tmp_path / FOLDER / "arrays.safetensors"
    of_settings, of_arrays = settings.read_bytes(), arrays.read_bytes()
    arrays.write_bytes(of_arrays[:-100])
    assert f"{tmp_path / FOLDER} holds no fitted baseline, or a damaged one" in refused()
    arrays.unlink()
    assert f"{tmp_path / FOLDER} holds no fitted baseline, or a damaged one" in refused()
    arrays.write_bytes(of_arrays)
    for changed in ({"kind": "oracle"}, {"num_codes": None}, {"threshold": None}):
        settings.write_text(json.dumps(json.loads(of_settings) | changed))
        assert f"{tmp_path / FOLDER} is damaged, or of a later version" in refused()
    settings.write_text(of_settings.decode()[:-5])
    assert "a damaged one" in refused()


@pytest.mark.parametrize("trees", ["", "hello", "tree\nversion=v4\n"])
def test_damaged_trees_are_one_sentence(task, tmp_path, trees):
    contents = phrase_trees(task).model.contents()
    damaged = replace(
        contents,
        settings={"kind": "phrase trees", "threshold": 0.0},
        lists={**contents.lists, "trees": [trees]},
    )
    write_contents(tmp_path / FOLDER, damaged)
    with pytest.raises(UserError, match="is damaged, or of a later version; make the run again"):
        read_fitted(tmp_path, open_model)


@pytest.mark.parametrize("name", ["features", "meanings"])
def test_trees_of_other_features_or_half_a_list_are_refused(task, tmp_path, name):
    contents = phrase_trees(task).model.contents()
    settings = {"kind": "phrase trees", "threshold": 0.0}
    lists = {**contents.lists, "words": ["fiebre"], "meanings": ["fever"]}
    write_contents(tmp_path / "whole" / FOLDER, replace(contents, settings=settings, lists=lists))
    assert read_fitted(tmp_path / "whole", open_model)[0].near.meanings == {"fiebre": "fever"}
    cut = lists | {name: lists[name][1:]}
    write_contents(tmp_path / "cut" / FOLDER, replace(contents, settings=settings, lists=cut))
    with pytest.raises(UserError, match="is damaged, or of a later version; make the run again"):
        read_fitted(tmp_path / "cut", open_model)


def test_another_encoder_in_the_same_place_is_refused(task, encoder, tmp_path):
    other = str(save_plain(make_encoder(tokenizer_texts(task)[:5]), tmp_path / "other"))
    scorer = EncoderScorer.of_names(*open_model(encoder), encoder, [["Fever"], ["Cough"]], 64)
    model = NameModel(scorer=scorer, by_sentence=False, added=np.zeros(2, dtype=np.float32))
    write_fitted(tmp_path, model, 0.5)
    with pytest.raises(UserError, match=f"the encoder {encoder} is another one than the run was made with"):
        read_fitted(tmp_path, lambda _: open_model(other))
