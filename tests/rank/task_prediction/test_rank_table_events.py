"""`mera predict` with procedures, drugs and labs in a table or on the command line, for a model that reads them."""

import json

import numpy as np
import polars as pl
import pytest
from prepare_case import EVEN
from prepare_case import run as prepare
from ready_python import run_ready
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from mera.root import ROOT
from rank.patients.event_reader import EventReader, split_events
from rank.predict import Ranker
from rank.task_prediction.answers import PatientAnswers

CODES = ["I10", "E11.9", "N17.9", "I50.9", "J44.9"]
DRUGS = ["Furosemide 40 mg", "metoprolol tartrate", "heparin"]
COLUMNS = ("--patient", "pid", "--time", "day", "--code", "dx")
EVENTS = ("--drugs", "given", "--labs", "odd*", "--procedures", "done", "--event-separator", ";")
TARGET_DAY = "2020-06-01"


def hospital():
    """Rows of three visits for each patient, all with the last one on one day."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(16):
        for day in ("2020-01-01", f"2020-03-{number + 1:02d}", TARGET_DAY):
            rows += [
                {
                    "pid": f"p{number:02d}",
                    "day": day,
                    "dx": code,
                    "given": "; ".join(draw.permutation(DRUGS)[: draw.integers(0, 4)]),
                    "odd1": ["", "creatinine high"][draw.integers(0, 2)],
                    "odd2": ["", "Potassium Low"][draw.integers(0, 2)],
                    "done": ["", "39.95", "5A1D70Z; biopsy"][draw.integers(0, 3)],
                }
                for code in draw.permutation(CODES)[:2]
            ]
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A task of that table, and a model of it with tokens for its events."""
    folder = tmp_path_factory.mktemp("events")
    hospital().write_csv(folder / "hospital.csv")
    told = ("--input", folder / "hospital.csv", *COLUMNS, *EVENTS, "--code-system", "icd10")
    (task,) = prepare("table", *told, "--min-event-patients", 2, *EVEN, "--output", folder / "task")
    make_checkpoint(task, folder / "run" / "checkpoint")
    return folder


def predict(*arguments):
    return run_ready(["-m", "mera.cli", "predict", *arguments], cwd=ROOT)


def ranked_from_table(run, tmp_path, rows, *columns):
    rows.write_csv(tmp_path / "new.csv")
    result = predict(
        *(run / "run", "--input", tmp_path / "new.csv", *COLUMNS, *columns, "--at", TARGET_DAY),
        *("--output", tmp_path / "ranked.json"),
    )
    assert result.returncode == 0, result.stderr
    ranked = json.loads((tmp_path / "ranked.json").read_text())["examples"]
    (tmp_path / "ranked.json").unlink()
    return {each["patient_id"]: each["codes"] for each in ranked}, result.stderr


def test_a_table_and_the_task_of_the_same_visits_get_the_same_scores(run, tmp_path):
    result = predict(run / "run", "--task", run / "task", "--output", tmp_path / "task.json")
    assert result.returncode == 0, result.stderr
    of_task = {
        each["example_id"].split(":")[0]: [
            {name: value for name, value in code.items() if name != "target"} for code in each["codes"]
        ]
        for each in json.loads((tmp_path / "task.json").read_text())["examples"]
    }
    past = hospital().filter(pl.col("day") < TARGET_DAY, pl.col("pid").is_in(list(of_task)))
    of_table, said = ranked_from_table(run, tmp_path, past, *EVENTS)
    assert len(of_task) == 4
    assert of_table == of_task
    assert "has no token" not in said

    without, said = ranked_from_table(run, tmp_path, past)
    assert "there are none: ranking without" in said
    assert any(without[patient] != of_task[patient] for patient in of_task)


def test_words_find_the_event_that_they_name(run, tmp_path):
    past = hospital().filter(pl.col("day") < TARGET_DAY)
    other = past.with_columns(
        pl.col("given").str.to_uppercase(),
        pl.col("done").str.replace("39.95", "Operations on the cardiovascular system (39.95)", literal=True),
        odd1=pl.col("odd1").str.replace("creatinine high", "CREATININE  HIGH"),
    )
    expected, _ = ranked_from_table(run, tmp_path, past, *EVENTS)
    assert ranked_from_table(run, tmp_path, other, *EVENTS)[0] == expected


def test_events_without_a_token_are_counted_and_change_nothing(run, tmp_path):
    past = hospital().filter(pl.col("day") < TARGET_DAY)
    expected, _ = ranked_from_table(run, tmp_path, past, *EVENTS)
    more = past.with_columns(given=pl.col("given") + ";unheard-of")
    got, said = ranked_from_table(run, tmp_path, more, *EVENTS)
    assert got == expected
    visits = past.select("pid", "day").n_unique()
    assert f"the model has no token for {visits}: ranking without them" in said


def test_a_history_on_the_command_line_names_them_too(run):
    ranker = Ranker.load(run / "run")
    asked = "I10,drug:furosemide,Labs:Creatinine High;N17.9,drug:unheard-of"
    result = predict(run / "run", "--history", asked, "--days", "30;7", "--json")
    assert result.returncode == 0, result.stderr
    assert "of 3 procedures, drugs and labs of past visits the model has no token for 1" in result.stderr
    row = ranker.row([["I10"], ["N17.9"]], days_before=[30, 7])
    row["history"][0]["events"] = ["drug:furosemide", "lab:creatinine_high"]
    expected = ranker.ranked([row], *ranker.score([row]), top=20)[0]
    bare = ranker.rank([["I10"], ["N17.9"]], days_before=[30, 7], top=20)
    assert [code.score for code in bare] != [code.score for code in expected], "they are read"
    visits = [["drug:furosemide", "I10", "Labs:Creatinine High"], ["N17.9", "drug:unheard-of"]]
    assert ranker.rank(visits, days_before=[30, 7], top=20) == expected, "in Python too"
    codes = json.loads(result.stdout)["codes"]
    assert [code["code"] for code in codes] == [code.code for code in expected]
    np.testing.assert_array_equal([code["score"] for code in codes], [code.score for code in expected])


def test_the_engine_of_the_page_reads_them_and_names_those_it_does_not(run):
    ranker = Ranker.load(run / "run")
    answers = PatientAnswers(ranker)
    history = [
        {"codes": ["I10", "drug:furosemide"], "days_before": 30},
        {"codes": ["drug:unheard-of", "N17.9", "LAB:potassium low"], "days_before": 7},
    ]
    patient = {"history": history, "age": None, "sex": None, "text": None}
    (reply,) = answers.rank({"patients": [patient], "top": 20, "explain": True})["patients"]
    expected = ranker.rank([visit["codes"] for visit in history], days_before=[30, 7], top=20)
    assert [code["probability"] for code in reply["codes"]] == [code.probability for code in expected]
    assert (reply["unknown_codes"], reply["unread_events"]) == ([], ["drug:unheard-of"])
    without = ranker.rank([history[1]["codes"]], days_before=[7])
    of_last = {code.code: code.probability for code in without}
    for code in reply["codes"]:
        assert code["moved_by"][0]["change"] == pytest.approx(code["probability"] - of_last[code["code"]], abs=1e-5)
    events = {entry["code"]: entry["definition"] for entry in answers.about()["events"]}
    assert events["drug:furosemide"] == "furosemide"
    assert events.keys() == ranker.builder.events.keys()


def test_a_visit_may_hold_events_alone(run):
    ranker = Ranker.load(run / "run")
    row = ranker.row([["drug:heparin"]])
    assert row["history"] == [{"codes": [], "days_before": None, "events": ["drug:heparin"]}]
    assert ranker.rank([["drug:heparin"]])


def test_a_model_that_reads_none_says_so(tmp_path):
    task = make_tiny_task(tmp_path / "task")
    make_checkpoint(task, tmp_path / "run" / "checkpoint")
    hospital().write_csv(tmp_path / "new.csv")
    table = predict(
        *(tmp_path / "run", "--input", tmp_path / "new.csv", *COLUMNS, "--drugs", "given"),
        *("--output", tmp_path / "ranked.csv"),
    )
    history = predict(tmp_path / "run", "--history", "I10,drug:heparin")
    assert "the model reads no procedures, drugs or labs; leave --drugs out" in table.stderr
    assert "the model reads no procedures, drugs or labs; leave them out of the history" in history.stderr
    assert (table.returncode, history.returncode) == (1, 1)
    with pytest.raises(ValueError, match="leave them out of the history"):
        Ranker.load(tmp_path / "run").rank([["I10", "drug:heparin"]])


def test_of_several_events_of_one_name_the_most_frequent_is_meant():
    reader = EventReader({"lab:1:high": "sodium high", "lab:2:high": "Sodium high", "drug:sodium_high": "x"})
    assert reader.read("lab:sodium_high") == "lab:2:high"
    assert reader.read("lab:1:high") == "lab:1:high"
    assert reader.read("lab:1:HIGH") == "lab:1:high"
    assert reader.read("procedure:sodium_high") == "procedure:sodium_high"


def test_a_visit_of_codes_and_events_is_taken_apart():
    visit = ["I10", " drug:Furosemide ", "Procedures:9:3995", "lab:sodium high", "E11.9"]
    assert split_events(visit) == (["I10", "E11.9"], ["drug:Furosemide", "procedure:9:3995", "lab:sodium high"])
