"""Evidence of a note carried over to its translation: only where the place is beyond doubt."""

from dataclasses import replace

import datasets
import pytest
from tiny_task import make_tiny_task

from bi_encoder.evidence.translation import TransferCounts, carried_over, with_evidence_of
from data.task_folder.features import FEATURES
from mera.system.errors import UserError

SPANISH = (
    "Varón de 37 años con hipertensión arterial. La radiografía mostró una neumonía del lóbulo inferior derecho. "
    "Presentó dolor abdominal y dolor torácico; se pautó tratamiento con 500 mg."
)
ENGLISH = (
    "A 37-year-old man with arterial hypertension. The chest x-ray showed pneumonia of the right lower lobe. "
    "He had abdominal pain and chest pain; treatment with 500 mg was started."
)
NAMES = [["Essential (primary) hypertension"], ["Pneumonia, unspecified organism", "pneumonia"], ["Chest pain"], []]
COLUMN = {"I10": 0, "J18.9": 1, "R07.9": 2, "R10.9": 3}


def span(code, phrase, source=SPANISH):
    start = source.index(phrase)
    return {"code": code, "start": start, "end": start + len(phrase)}


def transfer(*spans, source=SPANISH, target=ENGLISH):
    counts = TransferCounts()
    carried = carried_over(spans, source, target, COLUMN, NAMES, counts)
    return [(one["code"], target[one["start"] : one["end"]]) for one in carried], counts


def test_words_that_both_languages_share_say_where_a_phrase_is():
    carried, counts = transfer(span("I10", "hipertensión arterial"), span("R10.9", "dolor abdominal"))
    assert carried == [("I10", "arterial hypertension"), ("R10.9", "abdominal")]
    assert (counts.by_words, counts.by_names, counts.in_doubt) == (2, 0, 0)
    assert transfer(span("R10.9", "500"))[0] == [("R10.9", "500")]


def test_a_name_of_the_code_says_it_where_no_word_is_shared():
    carried, counts = transfer(span("R07.9", "dolor torácico"), span("J18.9", "neumonía"))
    assert carried == [("R07.9", "chest pain"), ("J18.9", "pneumonia")]
    assert (counts.by_words, counts.by_names, counts.in_doubt) == (1, 1, 0)


def test_a_phrase_with_two_places_or_none_is_left_out_and_counted():
    twice = "Neumonia. Pneumonia."
    carried, counts = transfer(span("J18.9", "neumonía", "Una neumonía."), source="Una neumonía.", target=twice)
    assert carried == []
    assert (counts.by_words, counts.by_names, counts.in_doubt) == (0, 0, 1)
    carried, counts = transfer(span("R10.9", "mostró"))
    assert (carried, counts.in_doubt) == ([], 1)
    far = "hypertension. " + 300 * "word " + "end"
    assert (
        transfer({"code": "I10", "start": 1480, "end": 1492}, source=1480 * " " + "hipertensión", target=far)[0] == []
    )
    assert counts.sentence() == (
        "evidence of the translation: of 1 spans 0 are carried over by shared words, 0 by a name of their code; 1 are "
        "in doubt and left out"
    )


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=20)


def without_evidence(task):
    train = datasets.Dataset.from_list([{**row, "evidence": []} for row in task.splits["train"]], features=FEATURES)
    return replace(task, splits=datasets.DatasetDict({**task.splits, "train": train}))


def test_a_note_that_is_its_own_translation_keeps_its_evidence_where_no_phrase_is_said_twice(task):
    counts = TransferCounts()
    carried = with_evidence_of(without_evidence(task), task, [[] for _ in task.codes], counts)
    assert carried.fingerprint == task.fingerprint
    total = right = 0
    for row, original in zip(carried.splits["train"], task.splits["train"], strict=True):
        gold = {(one["code"], one["start"], one["end"]) for one in original["evidence"]}
        for one in row["evidence"]:
            total += 1
            right += any(code == one["code"] and start < one["end"] and one["start"] < end for code, start, end in gold)
    assert total == counts.by_words
    assert total > 20
    assert right == total


def test_a_translation_without_evidence_is_refused(task):
    with pytest.raises(UserError, match="has no evidence that could be carried over"):
        with_evidence_of(task, without_evidence(task), [[] for _ in task.codes], TransferCounts())


def test_another_corpus_is_refused(task):
    other = replace(task, splits=datasets.DatasetDict({**task.splits, "train": task.splits["validation"]}))
    with pytest.raises(UserError, match="has not all examples of the train split"):
        with_evidence_of(task, other, [[] for _ in task.codes], TransferCounts())
