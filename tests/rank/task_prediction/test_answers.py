"""What the engine of stage two answers: the ranker's own ranking, what each visit changes, and its sentences."""

import numpy as np
import polars as pl
import pytest
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from rank.predict import Ranker
from rank.task_prediction.answers import PatientAnswers

PATIENT = {
    "history": [
        {"codes": ["i10", "E119"], "days_before": 400},
        {"codes": ["N17.9", "I10"], "days_before": 90},
        {"codes": ["J18.9"], "days_before": 0},
    ],
    "age": 70,
    "sex": "F",
    "text": None,
}
OTHER = {"history": [{"codes": ["K92.2"], "days_before": None}], "age": None, "sex": None, "text": None}


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    return Ranker.load(make_checkpoint(make_tiny_task(folder / "task"), folder / "checkpoint"))


@pytest.fixture(scope="module")
def answers(ranker):
    return PatientAnswers(ranker)


def rank_directly(ranker, visits, **more):
    days = [visit["days_before"] for visit in visits]
    return ranker.rank([visit["codes"] for visit in visits], days_before=days, age=70, sex="F", **more)


def test_patients_are_ranked_as_the_ranker_ranks_each(ranker, answers):
    reply = answers.rank({"patients": [OTHER, PATIENT], "top": 7, "explain": False})["patients"]
    expected = rank_directly(ranker, PATIENT["history"])
    assert [code["code"] for code in reply[1]["codes"]] == [code.code for code in expected[:7]]
    assert [code["place"] for code in reply[1]["codes"]] == list(range(1, 8))
    assert reply[1]["predicted"] == sum(code.predicted for code in expected)
    assert {code["code"] for code in reply[1]["codes"] if code["known"]} <= {"I10", "E11.9", "N17.9", "J18.9"}
    for code, of_ranker in zip(reply[1]["codes"], expected, strict=False):
        assert code["probability"] == pytest.approx(of_ranker.probability, rel=1e-4)
        assert (code["moved_by"], code["rules"]) == (None, None)


def test_a_visits_effect_is_the_probability_with_it_minus_that_without_it(ranker, answers):
    (reply,) = answers.rank({"patients": [PATIENT], "top": 30, "explain": True})["patients"]
    whole = {code.code: code.probability for code in rank_directly(ranker, PATIENT["history"])}
    for left_out in range(3):
        rest = [visit for place, visit in enumerate(PATIENT["history"]) if place != left_out]
        without = {code.code: code.probability for code in rank_directly(ranker, rest)}
        for code in reply["codes"]:
            effect = code["moved_by"][left_out]
            assert effect["visit"] == left_out + 1
            assert effect["change"] == pytest.approx(whole[code["code"]] - without[code["code"]], abs=1e-5)
    changes = np.array([[effect["change"] for effect in code["moved_by"]] for code in reply["codes"]])
    assert np.abs(changes).max() > 1e-3


def test_a_patient_of_one_visit_or_of_none_has_effects_too(answers):
    (one,) = answers.rank({"patients": [OTHER], "top": 2, "explain": True})["patients"]
    assert [len(code["moved_by"]) for code in one["codes"]] == [1, 1]
    nobody = {"history": [], "age": 50, "sex": None, "text": None}
    (none,) = answers.rank({"patients": [nobody], "top": 2, "explain": True})["patients"]
    assert [code["moved_by"] for code in none["codes"]] == [[], []]


def test_codes_that_are_read_as_text_are_named(answers):
    patient = OTHER | {"history": [{"codes": ["I10", "K35.80", "E11.9"], "days_before": None}]}
    (reply,) = answers.rank({"patients": [patient], "top": 1, "explain": False})["patients"]
    assert reply["unknown_codes"] == ["K35.80"]


def test_what_cannot_be_read_is_said_of_which_patient_and_without_the_commands_option(answers):
    stranger = OTHER | {"history": [{"codes": ["Smith", "Jones"], "days_before": None}]}
    with pytest.raises(ValueError, match=r"^patient 2: 2 of the history's 2 codes are unknown to the model") as refused:
        answers.rank({"patients": [PATIENT, stranger], "top": 1, "explain": False})
    for word in ("mith", "ones", "allow"):
        assert word not in str(refused.value)
    with pytest.raises(ValueError, match=r"^nothing to rank from"):
        answers.rank({"patients": [OTHER | {"history": []}], "top": 1, "explain": False})


def test_coding_rules_are_checked_where_the_checkpoint_has_them(ranker):
    rule = ("excludes1", "I10", "not with kidney failure", ["I10"], ["N17.9"])
    rules = pl.DataFrame([rule], ["kind", "node", "text", "subjects", "objects"], orient="row")
    parts = (ranker.model, ranker.tokenizer, ranker.candidates, ranker.definitions, ranker.prompt, ranker.rule)
    eager = np.full_like(ranker.recurrence, 40.0)  # every known code is predicted
    with_rules = PatientAnswers(Ranker(*parts, eager, ranker.trained_on, rules))
    assert with_rules.about()["has_rules"]
    (reply,) = with_rules.rank({"patients": [PATIENT], "top": 30, "explain": False})["patients"]
    marked = {code["code"]: code["rules"] for code in reply["codes"] if code["rules"]}
    assert set(marked) == {"I10", "N17.9"} & {code["code"] for code in reply["codes"] if code["predicted"]}
    assert marked
    assert all("excludes1 at I10" in text for texts in marked.values() for text in texts)


def test_a_code_and_what_stands_around_it(answers):
    page = answers.code({"code": "e119"})
    assert (page["code"], page["definition"]) == ("E11.9", "Type 2 diabetes mellitus without complications")
    assert "E11" in [node["code"] for node in page["path"]]
    assert "E11.8" in [node["code"] for node in page["neighbours"]]
    with pytest.raises(ValueError, match="the model's edition has no such code") as refused:
        answers.code({"code": "Smith"})
    assert "mith" not in str(refused.value)


def test_what_is_said_of_the_model(answers, ranker):
    about = answers.about()
    assert [entry["code"] for entry in about["candidates"]] == ranker.candidates
    assert (about["kind"], about["has_rules"], about["reads_history"]) == ("patients", False, True)
    answers.warm_up()
