"""What a ranking hangs on: reasons against a loop over the codes of the history, in Python and in `mera predict`."""

import json

import numpy as np
import polars as pl
import pytest
from ready_python import run_ready
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from mera.root import ROOT
from rank.patients.reasons import REASONS, without_each_part
from rank.predict import Ranker

HISTORY, DAYS = [["I10", "E11.9"], ["N17.9"], ["I10"]], [90, 30, 2]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    task = make_tiny_task(tmp_path_factory.mktemp("reasons") / "task")
    return Ranker.load(make_checkpoint(task, tmp_path_factory.mktemp("reasons") / "run" / "checkpoint"))


def without(code):
    """Visits and days, none of them empty."""
    kept = [([each for each in visit if each != code], day) for visit, day in zip(HISTORY, DAYS, strict=True)]
    return [visit for visit, _ in kept if visit], [day for visit, day in kept if visit]


def test_reasons_equal_a_loop(ranker):
    codes = ranker.rank(HISTORY, days_before=DAYS, age=60, sex="F", explain=True)
    whole = {code.code: code.probability for code in codes}
    expected = {code: {} for code in whole}
    for left_out in ("I10", "E11.9", "N17.9"):
        visits, days = without(left_out)
        for code in ranker.rank(visits, days_before=days, age=60, sex="F"):
            expected[code.code][left_out] = whole[code.code] - code.probability
    for code in codes:
        changes = {reason.part: reason.change for reason in code.because}
        assert changes == pytest.approx({part: expected[code.code][part] for part in changes}, abs=1e-5)
        strongest = sorted(expected[code.code].values(), key=abs, reverse=True)[: len(changes)]
        np.testing.assert_allclose(list(changes.values()), strongest, atol=1e-5)
        assert all(abs(change) < 0.0006 for part, change in expected[code.code].items() if part not in changes)
    assert any(len(code.because) == REASONS for code in codes)
    assert all(code.because is None for code in ranker.rank(HISTORY))


def test_a_visit_of_nothing_else_goes_and_one_with_events_or_a_note_stays():
    visits = [
        {"codes": ["I10"], "days_before": 9, "events": ["drug:aspirin"]},
        {"codes": ["I10"], "days_before": 5, "text": "a note"},
        {"codes": ["I10"], "days_before": 2},
    ]
    parts = without_each_part({"age": 60, "sex": "F", "history": visits, "text": None})
    assert list(parts) == ["I10", "drug:aspirin"]
    assert parts["I10"]["history"] == [
        {"codes": [], "days_before": 9, "events": ["drug:aspirin"]},
        {"codes": [], "days_before": 5, "text": "a note"},
    ]
    assert parts["drug:aspirin"]["history"] == [{"codes": ["I10"], "days_before": 9, "events": []}, *visits[1:]]


def test_a_patient_without_a_history_has_no_reasons(ranker):
    assert {code.because for code in ranker.rank([], age=60, sex="F", allow_unknown=True, explain=True)} == {()}


def test_the_command_prints_and_writes_them(ranker, tmp_path):
    task = make_tiny_task(tmp_path / "task")
    run = make_checkpoint(task, tmp_path / "run" / "checkpoint")
    given = [run, "--explain", "--top", "3"]
    ask = [*given, "--history", "I10,E11.9;N17.9;I10", "--days", "90;30;2", "--age", "60", "--sex", "F"]

    def predict(*arguments):
        result = run_ready(["-m", "mera.cli", "predict", *arguments], cwd=ROOT)
        assert result.returncode == 0, result.stderr
        return result.stdout

    expected = ranker.rank(HISTORY, days_before=DAYS, age=60, sex="F", top=3, explain=True)
    printed = predict(*ask)
    assert "because of" in printed
    assert str(expected[0].because[0]) in printed
    record = json.loads(predict(*ask, "--json"))["codes"][0]["because"]
    assert [reason["part"] for reason in record] == [reason.part for reason in expected[0].because]
    for name, more in (("long.csv", []), ("wide.csv", ["--wide"]), ("long.parquet", [])):
        table = tmp_path / "patients.csv"
        table.write_text("pid,day,dx\n1,1,I10\n1,1,E11.9\n1,2,N17.9\n")
        columns = ["--patient", "pid", "--time", "day", "--code", "dx", *more]
        predict(*given, "--input", table, *columns, "--output", tmp_path / name)
    long, wide = pl.read_csv(tmp_path / "long.csv"), pl.read_csv(tmp_path / "wide.csv")
    assert long["because"].to_list() == [wide[f"because_{place}"][0] for place in (1, 2, 3)]
    lists = pl.read_parquet(tmp_path / "long.parquet")["because"]
    assert lists.list.join("; ").to_list() == long["because"].to_list()
