"""Patients of a table, ranked by `mera predict --input`: what each model score of theirs is, and what is refused."""

import json
import shutil
from datetime import date

import numpy as np
import polars as pl
import pytest
from ready_python import run_ready
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from mera.root import ROOT
from rank.predict import Ranker

VISITS = {
    "b": [(date(2023, 1, 1), ["I10", "E11.9"]), (date(2023, 3, 2), ["N179"])],
    "a": [(date(2024, 5, 1), ["i50.9"])],
    "c": [(date(2024, 5, 1), ["nothing"])],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    task = make_tiny_task(tmp_path_factory.mktemp("table") / "task")
    make_checkpoint(task, tmp_path_factory.mktemp("table") / "run" / "checkpoint")
    return tmp_path_factory.getbasetemp() / "table1" / "run"


@pytest.fixture
def table(tmp_path):
    rows = [
        {"pid": pid, "day": day.isoformat(), "sex": "F", "age": 60, "dx": code}
        for pid, visits in VISITS.items()
        for day, codes in visits
        for code in codes
    ]
    path = tmp_path / "patients.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


def predict(*arguments):
    return run_ready(["-m", "mera.cli", "predict", *arguments], cwd=ROOT)


COLUMNS = ("--patient", "pid", "--time", "day", "--code", "dx", "--sex", "sex", "--age", "age")


def test_a_threshold_of_ones_own(run, table, tmp_path):
    command = (run, "--input", table, *COLUMNS, "--top", "30", "--output")
    fitted = predict(*command, tmp_path / "fitted.csv")
    least = Ranker.load(run).least_probability
    assert f"predicted: codes with a probability above {least:.1%}\n" in fitted.stderr
    ranked = pl.read_csv(tmp_path / "fitted.csv")
    assert ranked["predicted"].to_list() == (ranked["probability"] > least).to_list()
    cut = ranked["probability"].sort()[ranked.height // 2]
    done = predict(*command, tmp_path / "own.csv", "--threshold", cut)
    assert f"predicted: codes with a probability above {cut:.1%}\n" in done.stderr
    own = pl.read_csv(tmp_path / "own.csv")
    assert own.drop("predicted").equals(ranked.drop("predicted")), "the ranking stays"
    assert own["predicted"].to_list() == (own["probability"] > cut).to_list()
    assert 0 < own["predicted"].sum() < own.height
    for wrong in ("0", "1.5", "often"):
        refused = predict(*command, tmp_path / "no.csv", "--threshold", wrong)
        assert f"--threshold is a probability between 0 and 1, as 0.25; got '{wrong}'" in refused.stderr


def test_patients_of_a_table_get_the_scores_of_their_visits(run, table, tmp_path):
    output = tmp_path / "ranked.csv"
    result = predict(run, "--input", table, *COLUMNS, "--at", "2024-05-31", "--top", "4", "--output", output)
    assert result.returncode == 0, result.stderr
    assert "2 patients ranked" in result.stdout
    assert "; 1 without a usable visit are not in it" in result.stdout
    ranked = pl.read_csv(output)
    assert ranked["patient_id"].to_list() == ["a"] * 4 + ["b"] * 4
    assert ranked["place"].to_list() == [1, 2, 3, 4] * 2
    ranker = Ranker.load(run)
    by_hand = {
        "a": ranker.rank([["I50.9"]], days_before=[30], age=60, sex="F", top=4),
        "b": ranker.rank([["I10", "E11.9"], ["N17.9"]], days_before=[516, 456], age=61, sex="F", top=4),
    }
    for pid, codes in by_hand.items():
        own = ranked.filter(pl.col("patient_id") == pid)
        assert own["code"].to_list() == [code.code for code in codes]
        np.testing.assert_allclose(own["probability"], [code.probability for code in codes], rtol=1e-3)
        assert own["known"].to_list() == [code.known for code in codes]


def test_a_model_that_knows_ages_says_where_the_table_has_none(run, table, tmp_path):
    # The checkpoint of these tests was made by hand and does not say what it saw.
    settings = run / "ranking.json" if (run / "ranking.json").is_file() else run / "checkpoint" / "ranking.json"
    saved = json.loads(settings.read_text())
    told = tmp_path / "told"
    shutil.copytree(settings.parent, told)
    saved["trained_on"] = saved["trained_on"] | {"age": True, "sex": False}
    (told / "ranking.json").write_text(json.dumps(saved))
    result = predict(told, "--input", table, *COLUMNS[:6], "--output", tmp_path / "ranked.csv")
    assert result.returncode == 0, result.stderr
    assert "the model was trained with age: name the columns with --age" in result.stderr
    again = predict(told, "--input", table, *COLUMNS, "--output", tmp_path / "ranked.csv")
    assert again.returncode == 1
    assert "ranked.csv already exists; choose another --output or remove it" in again.stderr


def test_a_row_a_patient(run, table, tmp_path):
    long, wide, every = tmp_path / "long.json", tmp_path / "wide.parquet", tmp_path / "all.json"
    for more in (("--output", long), ("--output", wide, "--wide"), ("--output", every, "--top", "30")):
        assert predict(run, "--input", table, *COLUMNS, "--top", "3", *more).returncode == 0
    rows = pl.read_parquet(wide)
    examples, whole = (json.loads(path.read_text())["examples"] for path in (long, every))
    assert rows["patient_id"].to_list() == [example["patient_id"] for example in examples] == ["a", "b"]
    for row, example, ranked in zip(rows.iter_rows(named=True), examples, whole, strict=True):
        assert [row[f"code_{place}"] for place in (1, 2, 3)] == [code["code"] for code in example["codes"]]
        assert row["predicted"] == sum(code["predicted"] for code in ranked["codes"]) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--input", "FILE", "--patient", "pid", "--code", "dx"), "--input needs --output FILE.csv"),
        (("--input", "FILE", "--output", "o.csv", "--code", "dx"), "--input needs --patient and --code"),
        (("--input", "FILE", "--output", "o.csv", "--history", "I10"), "give one of --input, --task and --history"),
        (("--patient", "pid", "--history", "I10"), "--patient: columns of a table, which --input names"),
        (("--input", "FILE", *COLUMNS, "--output", "o.csv", "--text", "note"), "reads no notes of past visits"),
        (("--input", "none.csv", *COLUMNS, "--output", "o.csv"), "input file not found: none.csv"),
    ],
)
def test_what_is_refused(run, table, arguments, message):
    result = predict(run, *(table if argument == "FILE" else argument for argument in arguments))
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
    assert not (ROOT / "o.csv").exists()
