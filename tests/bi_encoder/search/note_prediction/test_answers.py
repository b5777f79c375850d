"""What the engine of the bi-encoder answers: the ranker's own ranking with its evidence, and its sentences."""

import json

import pytest
from small_note_run import make_note_run
from tiny_task import make_tiny_task

from bi_encoder.search.note_prediction.answers import NoteAnswers
from bi_encoder.search.note_prediction.note_ranker import NoteRanker

NOTE = "Patient 😀 has congestive heart failure. AKI."
REQUEST = {"text": NOTE, "age": 67, "sex": "F", "top": 6}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    task = make_tiny_task(folder / "task", kind="coding")
    return NoteAnswers(NoteRanker.load(make_note_run(task, folder / "run")))


def test_a_note_is_ranked_as_the_ranker_ranks_it(answers):
    reply = json.loads(json.dumps(answers.note(REQUEST)))
    every = answers.ranker.rank(text=NOTE, age=67, sex="F")
    assert [code["code"] for code in reply["codes"]] == [code.code for code in every[:6]]
    assert reply["predicted"] == sum(code.predicted for code in every)
    for code, expected in zip(reply["codes"], every, strict=False):
        assert [(span["start"], span["end"]) for span in code["evidence"]] == [
            (span.start, span.end) for span in expected.evidence
        ]
        assert all(NOTE[span["start"] : span["end"]].strip() for span in code["evidence"])
    assert [code["place"] for code in reply["codes"]] == [1, 2, 3, 4, 5, 6]


def test_a_blank_note_is_refused(answers):
    with pytest.raises(ValueError, match="nothing to rank from"):
        answers.note(REQUEST | {"text": " \n"})


def test_a_code_and_what_stands_around_it(answers):
    answers.warm_up()
    assert "I50" in [node["code"] for node in answers.code({"code": " i50.9"})["path"]]
    with pytest.raises(ValueError, match="the model's edition has no such code"):
        answers.code({"code": "Smith"})
    assert answers.about()["kind"] == "notes"


def test_a_model_of_histories_is_refused(tmp_path):
    task = make_tiny_task(tmp_path / "task")
    ranker = NoteRanker.load(make_note_run(task, tmp_path / "run", variant="retrieval"))
    with pytest.raises(ValueError, match="was trained on histories"):
        NoteAnswers(ranker)
