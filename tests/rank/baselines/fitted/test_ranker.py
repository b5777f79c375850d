"""Baselines on histories as rankers of new patients: the scores of their own runs, whether from a task or a table."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from prepare_case import run as prepare
from ready_python import run_ready
from tiny_task import make_tiny_task

from data.task import load_task
from mera.commands.predict import BASELINE, checkpoint_kind, predict_command
from mera.commands.serve.run import engine_sources
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from rank.baselines.fitted.ranker import FOLDER, READERS, BaselineRanker
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.linear import Linear, linear
from rank.patients.notices import InputNotice
from rank.task_prediction.answers import PatientAnswers
from rank.task_prediction.open_ranker import open_ranker

QUICK = ("--gbdt.rounds", "20", "--gbdt.likely", "4", "--gbdt.random", "4", "--gbdt.leaves", "5")
for network in ("retain", "transformer"):
    QUICK += (f"--{network}.width", "16", f"--{network}.epochs", "2", f"--{network}.min_steps", "0")
EXACT = ("popularity", "own-history", "linear", "ease", "item-knn", "gbdt")
ALL = (*EXACT, "retain", "transformer")
COLUMNS = ("--patient", "pid", "--time", "day", "--code", "dx", "--sex", "sex", "--age", "age", "--drugs", "given")
COLUMNS += ("--event-separator", ";")
CODES = ("I10", "I50.9", "E11.9", "N17.9", "J18.9", "F32.A")
LAST_DAY = "2020-12-01"


def hospital():
    """Three visits of each patient, all with the last on one day."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(90):
        own = draw.permutation(CODES)[:2]
        for day in ("2020-01-01", f"2020-03-{number % 28 + 1:02d}", LAST_DAY):
            given = "; ".join(draw.permutation(["furosemide", "insulin", "heparin"])[: draw.integers(0, 3)])
            rows += [
                {"pid": f"p{number:02d}", "day": day, "dx": code, "given": given, "sex": "FM"[number % 2]}
                | {"age": 40 + number % 50}
                for code in {*own[: draw.integers(1, 3)], draw.choice(CODES)}
            ]
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A task of that table, where F32.A is no candidate, and every baseline of it that is kept."""
    folder = tmp_path_factory.mktemp("fitted")
    hospital().write_csv(folder / "hospital.csv")
    (folder / "codes.txt").write_text("\n".join(CODES[:-1]))
    arguments = ("table", "--input", folder / "hospital.csv", *COLUMNS, "--code-system", "icd10", "--every-visit")
    prepare(*arguments, "--candidates", folder / "codes.txt", "--min-event-patients", 2, "--output", folder / "task")
    command = ("-m", "mera.cli", "baselines", "--task", folder / "task", "--output", folder, "--only", *ALL, *QUICK)
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder


def predict(*arguments):
    return run_ready(("-m", "mera.cli", "predict", *arguments), cwd=ROOT)


@pytest.mark.parametrize("name", ALL)
def test_it_scores_the_test_split_as_the_run_did(runs, name):
    task, of_run, ranker = load_task(runs / "task"), read_predictions(runs / name), open_ranker(runs / name)
    rows = list(task.splits["test"])
    scores, eov = ranker.score(rows)
    num_candidates = of_run.num_candidates
    np.testing.assert_array_equal(scores, of_run.scores[:, :num_candidates])
    predicted = scores > ranker.rule.thresholds(scores, eov)[:, None]
    np.testing.assert_array_equal(predicted, of_run.predicted[:, :num_candidates])
    calibration = of_run.manifest["calibration"]
    margins = scores - of_run.thresholds[:, None]
    expected = 1 / (1 + np.exp(-(calibration["slope"] * margins + calibration["intercept"])))
    np.testing.assert_allclose(ranker.rule.probabilities(scores, eov), expected, rtol=1e-5)
    alone = np.concatenate([ranker.score([row])[0] for row in rows])
    np.testing.assert_allclose(alone, scores, rtol=1e-5, atol=1e-5)
    if name != "popularity":
        assert np.ptp(scores, axis=0).max() > 0, "patients differ"
    assert ranker.called == of_run.manifest["model"]


def test_it_reads_what_the_task_holds(runs):
    task, ranker = load_task(runs / "task"), open_ranker(runs / "gbdt")
    assert task.codes == sorted(CODES[:-1]) == ranker.candidates
    assert ranker.columns == HistoryColumns.of_task(task)
    assert ranker.columns.others == ["F32.A"], "read, and not ranked"
    assert list(ranker.events) == task.events["event"].to_list()
    known = ranker.trained_on
    assert (known.age, known.sex, known.history, known.note) == (True, True, True, False)
    assert not open_ranker(runs / "ease").trained_on.age, "EASE reads codes and events alone"
    assert open_ranker(runs / "item-knn").events == {}
    history = [["I10", "drug:furosemide"], ["F32A", "E119"]]
    row = ranker.row(history, days_before=[300, 20], age=50, sex="F")
    assert [visit["codes"] for visit in row["history"]] == [["I10"], ["F32.A", "E11.9"]]
    without = ranker.row([["I10"], ["E11.9"]], days_before=[300, 20], age=50, sex="F")
    assert not np.array_equal(ranker.score([row])[0], ranker.score([without])[0])
    codes = ranker.rank(history, days_before=[300, 20], age=50, sex="F", top=3)
    scores = ranker.score([row])[0][0]
    assert [code.score for code in codes] == sorted(scores, reverse=True)[:3]
    with pytest.raises(UserError, match="are unknown to the model"):
        ranker.rank([["Z99.2", "K21.9"]])
    with pytest.warns(InputNotice, match=r"^not among the model's codes, so it makes nothing of them: Z99\.2$"):
        ranker.rank([["Z99.2", "I10", "E11.9"]])
    for top in (0, -1, 2.5):
        with pytest.raises(UserError, match=f"1 or more, or None for all; got {top}"):
            ranker.rank([["I10"]], top=top)


def test_codes_of_a_frame_or_a_table_that_it_does_not_know_are_counted(runs, tmp_path):
    visits = pl.DataFrame({"pid": ["a", "a", "b"], "day": [0, 9, 9], "dx": ["I10", "Z99.2", "E11.9"]})
    sentence = "1 codes of the frame are not among the model's, so it makes nothing of them"
    with pytest.warns(InputNotice, match=sentence):
        open_ranker(runs / "ease").rank_frame(visits, patient="pid", time="day", code="dx")
    visits.write_csv(tmp_path / "new.csv")
    columns = ("--patient", "pid", "--time", "day", "--code", "dx")
    done = predict(runs / "ease", "--input", tmp_path / "new.csv", *columns, "--output", tmp_path / "ranked.csv")
    assert "1 codes of the histories are not among the model's, so it makes nothing of them" in done.stderr


def test_what_is_no_run_is_said_by_what_it_is(runs, tmp_path):
    for source, sentence in (
        (runs / "nowhere", "is not there: give the folder of a run"),
        (runs / "task", "is a prepared task; give a run that learnt from it"),
        (runs, f"holds {len(ALL)} runs: name one of them, such as {runs / 'ease'}"),
    ):
        with pytest.raises(UserError) as refusal:
            open_ranker(source)
        assert sentence in str(refusal.value)
        with pytest.raises(UserError, match=r"is not there|prepared task|holds"):
            predict_command([str(source), "--history", "I10"])


def test_a_table_of_new_patients_gets_the_scores_of_the_task(runs, tmp_path):
    table = hospital().filter(pl.col("day") != LAST_DAY)
    table.write_csv(tmp_path / "new.csv")
    words = (*COLUMNS, "--at", LAST_DAY, "--top", "5", "--output", tmp_path / "ranked.json")
    result = predict(runs / "gbdt", "--input", tmp_path / "new.csv", *words)
    assert result.returncode == 0, result.stderr
    ranked = json.loads((tmp_path / "ranked.json").read_text())["examples"]
    of_table = {each["patient_id"]: {code["code"]: code["score"] for code in each["codes"]} for each in ranked}
    task, of_run = load_task(runs / "task"), read_predictions(runs / "gbdt")
    compared = 0
    for row, scores in zip(task.splits["test"], of_run.scores, strict=True):
        if len(row["history"]) == 2:
            compared += 1
            expected = dict(zip(task.codes, scores[: len(task.codes)].tolist(), strict=True))
            assert of_table[row["patient_id"]] == pytest.approx(expected, abs=1e-6)
    assert compared > 5


def test_the_commands_know_it_by_its_files(runs, tmp_path):
    for name in ALL:
        assert checkpoint_kind(runs / name) == BASELINE
        assert predict_command([str(runs / name), "--history", "I10"])[1].endswith("rank/run_predict.py")
        assert engine_sources(runs / name, None) == {"patients": runs / name}
    one = predict(runs / "gbdt", "--history", "I10;E11.9", "--days", "300;20", "--age", "50", "--sex", "M", "--json")
    assert one.returncode == 0, one.stderr
    expected = open_ranker(runs / "gbdt").rank([["I10"], ["E11.9"]], days_before=[300, 20], age=50, sex="M")
    assert [code["code"] for code in json.loads(one.stdout)["codes"]] == [code.code for code in expected]
    of_task = predict(runs / "gbdt", "--task", runs / "task", "--output", tmp_path / "all.json")
    assert of_task.returncode == 0, of_task.stderr
    ranked = json.loads((tmp_path / "all.json").read_text())["examples"]
    assert len(ranked) == len(load_task(runs / "task").splits["test"])


def test_an_age_that_it_does_not_read_is_said(runs, tmp_path):
    sentence = "the model met no age or sex in training: giving it is no help\n"
    one = predict(runs / "ease", "--history", "I10;E11.9", "--age", "50", "--sex", "M", "--json")
    assert sentence in one.stderr
    hospital().write_csv(tmp_path / "new.csv")
    table = predict(runs / "ease", "--input", tmp_path / "new.csv", *COLUMNS, "--output", tmp_path / "ranked.csv")
    assert sentence in table.stderr
    assert "giving it" not in predict(runs / "gbdt", "--history", "I10", "--age", "50", "--json").stderr


def test_the_page_asks_it(runs):
    answers = PatientAnswers(open_ranker(runs / "gbdt"))
    about = answers.about()
    assert (about["model"], about["reads_history"], about["reads_notes"]) == ("LightGBM on pairs", True, False)
    assert len(about["events"]) == 3
    history = [{"codes": ["I10", "drug:insulin"], "days_before": 300}, {"codes": ["E11.9"], "days_before": 20}]
    patient = {"history": history, "age": 50, "sex": "F", "text": None}
    (reply,) = answers.rank({"patients": [patient], "top": 5, "explain": True})["patients"]
    assert {code["code"] for code in reply["codes"]} == set(CODES[:-1])
    assert any(abs(effect["change"]) > 0 for code in reply["codes"] for effect in code["moved_by"])


@pytest.mark.parametrize("file", ["ranking.json", "model.json", "arrays.safetensors"])
def test_a_damaged_one_is_one_sentence(runs, tmp_path, file):
    run = tmp_path / "run"
    (run / FOLDER).mkdir(parents=True)
    for path in (runs / "ease" / FOLDER).iterdir():
        (run / FOLDER / path.name).write_bytes(b"{}" if path.name == file else path.read_bytes())
    with pytest.raises(UserError, match="damaged") as refusal:
        open_ranker(run)
    assert "\n" not in str(refusal.value)


def test_every_kind_that_is_kept_is_read(runs):
    kinds = {json.loads((runs / name / FOLDER / "model.json").read_text())["kind"] for name in ALL}
    assert kinds == set(READERS) == set(ALL)


def test_notes_alone_have_baselines_of_their_own(tmp_path):
    draw, words = np.random.default_rng(0), ["".join(letters) for letters in itertools.product("aeiou", repeat=4)]
    rows = [
        {"pid": f"p{number:02d}", "dx": CODES[number % 2], "note": " ".join(draw.choice(words, 20))}
        for number in range(40)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "notes.csv")
    columns = ("--patient", "pid", "--visit", "pid", "--code", "dx", "--text", "note")
    told = ("--input", tmp_path / "notes.csv", *columns, "--code-system", "icd10", "--kind", "coding")
    prepare("table", *told, "--output", tmp_path / "task")
    command = ("-m", "mera.cli", "baselines", "--task", tmp_path / "task", "--output", tmp_path, "--only", "linear")
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "linear" / "predictions").is_dir()
    assert not (tmp_path / "linear" / FOLDER).exists()


def test_words_of_a_note_are_kept_with_a_linear_model(tmp_path):
    """Where a task has both histories and notes."""
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=40)
    fitted = linear(task).model
    again = Linear.from_contents(fitted.contents(), HistoryColumns.of_task(task))
    rows = list(task.splits["test"])
    np.testing.assert_array_equal(again.scores(rows), fitted.scores(rows))
    assert not np.array_equal(again.scores([rows[0] | {"text": None}]), again.scores(rows[:1]))
    calibration = {"slope": 1.0, "intercept": 0.0}
    assert BaselineRanker.of_task(fitted, "linear", task, 0.0, calibration).trained_on.note is True
