"""`mera predict` with a bi-encoder: the run's own scores again, from a run, a checkpoint or a task; files; refusals."""

import datetime
import json
import shutil

import numpy as np
import polars as pl
import pytest
from ready_python import run_ready
from small_note_run import make_note_run
from tiny_task import make_tiny_task

from bi_encoder.search.note_prediction.note_files import RankedNote, records
from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from bi_encoder.search.note_prediction.note_table import NoteColumns, read_note_table
from data.table_files.columns import ColumnForms
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.runs.records import task_record

NOTE = "Patient has congestive heart failure. Denies fever or chills. AKI."


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("notes") / "task", kind="coding")


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    names = {"selection.code_vectors": "best", "selection.views_per_code": 3, "selection.prior_form": "by_frequency"}
    names |= {"selection.scoring": "rerank", "selection.rerank_candidates": 12}
    return make_note_run(task, tmp_path_factory.mktemp("notes") / "run", **names)


@pytest.fixture(scope="module")
def ranker(run):
    return NoteRanker.load(run)


def test_it_scores_the_test_split_as_the_run_did(run, task, ranker):
    rows, of_run = list(task.splits["test"]), read_predictions(run)
    assert 0 < len(rows) < 64
    for loaded in (ranker, NoteRanker.load(run / "checkpoint"), NoteRanker.load(run / "checkpoint", task)):
        np.testing.assert_allclose(loaded.score(rows, batch_size=4), of_run.scores, rtol=1e-4, atol=1e-4)
    ranked = ranker.ranked(rows, of_run.scores)
    calibration = of_run.manifest["calibration"]
    for number, codes in enumerate(ranked):
        assert {code.code for code in codes if code.predicted} == {
            code for code, predicted in zip(task.codes, of_run.predicted[number], strict=True) if predicted
        }
        for code in codes:
            margin = of_run.scores[number, task.column[code.code]] - of_run.thresholds[number]
            expected = 1 / (1 + np.exp(-(calibration["slope"] * margin + calibration["intercept"])))
            assert code.probability == pytest.approx(expected, rel=1e-4)


def test_a_new_note_is_cleaned_as_the_notes_of_training_were(ranker, task):
    task.info["options"] = {"rules": "mullenbach"}
    told = task_record(task, "test")["text_rules"]
    cleaned = NoteRanker(ranker.scorer, ranker.codes, ranker.definitions, text_rules=told)
    note = "ADMISSION: 105 had Congestive  HEART failure."
    assert cleaned.row(text=note)["text"] == "admission had congestive heart failure"
    read = cleaned.row(text=note)["kept"]
    start = read.text.index("heart")
    assert slice(*read.original(start, start + 5)) == slice(note.index("HEART"), note.index("HEART") + 5)
    del task.info["options"]
    assert "text_rules" not in task_record(task, "test")
    assert ranker.row(text=note)["text"] == note


def test_a_note_is_read_once_for_its_scores_and_its_evidence(ranker, task, monkeypatch):
    rows = [*list(task.splits["test"])[:3], ranker.row(text=f"{NOTE} " * 30, age=67)]
    scores = ranker.score(rows, batch_size=4)
    apart = ranker.ranked(rows, scores, 5)
    read, texts = ranker.scorer.model._read, []
    monkeypatch.setattr(ranker.scorer.model, "_read", lambda batch: (texts.append(batch["input_ids"]), read(batch))[1])
    together = ranker.rank_rows(rows, 5)
    assert len(texts) == len(rows), "each once"
    assert len(texts[-1]) > 1, "in several windows"
    for codes, expected in zip(together, apart, strict=True):
        assert [(code.code, code.evidence) for code in codes] == [(code.code, code.evidence) for code in expected]
        assert [code.score for code in codes] == pytest.approx([code.score for code in expected], rel=1e-5)
    assert ranker.scorer.model.last_read is None
    ranker.score(rows[:1])
    assert len(texts) == len(rows) + 1, "what was read is not kept"


def test_a_note_is_ranked_with_evidence_in_its_own_characters(ranker, task):
    codes = ranker.rank(text=NOTE, age=67, sex="F", top=5)
    assert [code.score for code in codes] == sorted((code.score for code in codes), reverse=True)
    assert [code.definition for code in codes] == [task.definition(code.code) for code in codes]
    for code in codes:
        assert code.evidence
        assert all(0 <= span.start < span.end <= len(NOTE) for span in code.evidence)
        assert all(NOTE[span.start : span.end].strip() for span in code.evidence)
    assert ranker.rank(text=NOTE)[0].score != ranker.rank(text=NOTE, age=67, sex="F")[0].score
    found = records(RankedNote(codes=ranker.rank(text=NOTE), names={}, targets=["I10"]))
    assert not any("known" in record for record in found), "a note has no history"
    assert [record["code"] for record in found if record["target"]] == ["I10"]


def test_a_prepared_note_is_read_as_it_is(ranker, task):
    prepared = {**task.splits["test"][0], "text": "AKI &amp; <p>sepsis</p>"}
    plain = ranker.row(text="AKI &amp;amp; &lt;p&gt;sepsis&lt;/p&gt;")
    assert plain["text"] == prepared["text"], "what the record shows"
    from_record, from_task = ({**row, "age": None, "sex": None, "history": []} for row in (plain, prepared))
    np.testing.assert_array_equal(ranker.score([from_record]), ranker.score([from_task]))
    (of_record,), (of_task,) = ranker.rank_rows([from_record], 1), ranker.rank_rows([from_task], 1)
    for row, code in ((plain["kept"].stored, of_record), (prepared["text"], of_task)):
        assert all(row[span.start : span.end] for span in code[0].evidence)
        assert max(span.end for span in code[0].evidence) <= len(row)


def test_a_threshold_of_ones_own(run):
    ranker = NoteRanker.load(run)
    fitted = ranker.rank(text=NOTE)
    assert [code.predicted for code in fitted] == [code.probability > ranker.least_probability for code in fitted]
    cut = fitted[5].probability
    ranker.predict_above(cut)
    assert [code.predicted for code in ranker.rank(text=NOTE)] == [code.probability > cut for code in fitted]
    assert ranker.least_probability == cut
    ranker.calibration = None
    with pytest.raises(
        ValueError, match="the model has no calibration, and so no probabilities; leave --threshold out"
    ):
        ranker.predict_above(cut)


def test_a_history_is_read_with_codes_however_they_are_written(tmp_path):
    task = make_tiny_task(tmp_path / "task", outside=["D64.9"])
    ranker = NoteRanker.load(make_note_run(task, tmp_path / "run", variant="retrieval"))
    written = ranker.rank([["i10", "E119"], [" n17.9 "]], days_before=[400, 30])
    assert written == ranker.rank([["I10", "E11.9"], ["N17.9"]], days_before=[400, 30])
    assert {code.code for code in written if code.known} == {"I10", "E11.9", "N17.9"}
    assert {record["known"] for record in records(RankedNote(codes=written, names={}))} == {True, False}
    assert ranker.rank([["D64.9"]]) != ranker.rank([["K35.80"]]), "codes of the edition that are no candidates are read"
    with pytest.raises(ValueError, match="a code of the history is none that the model's edition has") as refused:
        ranker.rank([["Smith"]])
    assert "mith" not in str(refused.value).lower()
    with pytest.raises(ValueError, match="was trained on histories, so it cannot read a note"):
        ranker.rank(text=NOTE)
    with pytest.raises(ValueError, match="there are 1 numbers of days for 2 visits"):
        ranker.rank([["I10"], ["I10"]], days_before=[3])


def test_what_is_missing_is_said(run, ranker, tmp_path):
    with pytest.raises(ValueError, match="was trained on notes, and there is none"):
        ranker.rank([["I10"]])
    with pytest.raises(ValueError, match="nothing to rank from: the note is empty"):
        ranker.rank(text=" ")
    with pytest.raises(ValueError, match="nothing to rank from: give a note or a history"):
        ranker.rank()
    with pytest.raises(ValueError, match="reads no history beside one; leave --history out"):
        ranker.rank([["I10"]], text=NOTE)
    with pytest.raises(ValueError, match="an age is 0 to 120 years"):
        ranker.rank(text=NOTE, age=1000)
    with pytest.raises(ValueError, match="a sex is F or M"):
        ranker.rank(text=NOTE, sex="X")
    assert ranker.met == {"age": True, "sex": True}
    never = NoteRanker.load(run)
    never.met = {"age": False, "sex": False}
    with pytest.raises(ValueError, match="was trained on notes without age and sex; leave it out"):
        never.rank(text=NOTE, age=67, sex="F")
    assert never.rank(text=NOTE, age=67, allow_unknown=True) == ranker.rank(text=NOTE, age=67)
    with pytest.raises(ValueError, match=r"holds no model that reads notes: give a run of"):
        NoteRanker.load(tmp_path)
    shutil.copytree(run / "checkpoint", tmp_path / "alone" / "checkpoint")
    with pytest.raises(ValueError, match="holds the model alone, without the candidates"):
        NoteRanker.load(tmp_path / "alone")


def test_a_table_of_notes(tmp_path):
    columns = NoteColumns(text="note", ids="id")
    (tmp_path / "notes.csv").write_text('id,note\n007,"Chest pain, ""sharp"""\n8,\n9,AKI\n')
    table = read_note_table(tmp_path / "notes.csv", columns)
    assert (table.ids, table.texts, table.num_empty) == (["007", "9"], ['Chest pain, "sharp"', "AKI"], 1)
    assert (table.ages, table.sexes, table.unreadable) == ([None, None], [None, None], {})
    (tmp_path / "notes.jsonl").write_text(
        '{"id": 7, "note": "AKI"}\n{"id": 8, "note": null}\n{"id": "9", "note": "COPD"}\n'
    )
    table = read_note_table(tmp_path / "notes.jsonl", columns)
    assert (table.ids, table.texts, table.num_empty) == (["7", "9"], ["AKI", "COPD"], 1)
    assert read_note_table(tmp_path / "notes.jsonl", NoteColumns(text="note")).ids == ["1", "3"]
    lines = ('{"id": 12.0, "note": "AKI", "years": 67.0}', '{"id": 13.0, "note": "CHF"}')
    (tmp_path / "pandas.jsonl").write_text("\n".join(lines))
    of_pandas = read_note_table(tmp_path / "pandas.jsonl", NoteColumns(text="note", ids="id", age="years"))
    assert (of_pandas.ids, of_pandas.ages) == (["12", "13"], [67, None])
    (tmp_path / "lists.jsonl").write_text('{"note": ["AKI"]}')
    with pytest.raises(ValueError, match=r"line 1 of .*lists.jsonl has no text in note, but list"):
        read_note_table(tmp_path / "lists.jsonl", NoteColumns(text="note"))
    (tmp_path / "parts.csv").write_text("id,course,note\n1,Well,AKI\n2,,CHF\n")
    assert read_note_table(tmp_path / "parts.csv", NoteColumns(text="note+course")).texts == ["AKI\n\nWell", "CHF"]
    (tmp_path / "twice.csv").write_text("id,note\nA,AKI\nA,CHF\nB,\nB,\n")
    with pytest.raises(ValueError, match=r"twice.csv: 1 ids in id stand at several notes.*or leave --patient out"):
        read_note_table(tmp_path / "twice.csv", columns)
    (tmp_path / "unnamed.csv").write_text("id,note\n,AKI\n")
    with pytest.raises(ValueError, match=r"row 1 of .*unnamed.csv has a note and no id in id"):
        read_note_table(tmp_path / "unnamed.csv", columns)
    (tmp_path / "nothing.csv").write_text("id,note\n1.0,AKI\n2.0,nan\n3.0,-\n")
    table = read_note_table(tmp_path / "nothing.csv", columns)
    assert (table.ids, table.texts, table.num_empty) == (["1"], ["AKI"], 2)
    (tmp_path / "empty.csv").write_text("id,note\n1,\n")
    with pytest.raises(ValueError, match="has no row with a note in note"):
        read_note_table(tmp_path / "empty.csv", columns)


def test_ages_and_sexes_of_a_table_of_notes(tmp_path):
    (tmp_path / "notes.csv").write_text(
        "id,note,sexo,edad\n1,AKI,Mujer,66\n2,COPD,Hombre,>89\n3,CHF,?,old\n4,,Mujer,1\n"
    )
    columns = NoteColumns(text="note", ids="id", age="edad", sex="sexo")
    table = read_note_table(tmp_path / "notes.csv", columns)
    assert (table.ages, table.sexes) == ([66, 90, None], ["F", "M", None])
    assert table.unreadable == {"notes.csv, edad": 1}
    (tmp_path / "coded.csv").write_text("id,note,sexo,edad\n1,AKI,x1,66\n2,COPD,x2,67\n")
    forms = ColumnForms(sex_values={"x1": "F", "x2": "M"})
    assert read_note_table(tmp_path / "coded.csv", columns, forms).sexes == ["F", "M"]


def test_a_column_of_dates_is_an_id_and_no_note(tmp_path):
    days = [datetime.datetime(2026, 1, day) for day in (1, 2)]
    pl.DataFrame({"when": days, "note": ["AKI", "COPD"]}).write_parquet(tmp_path / "notes.parquet")
    ids = read_note_table(tmp_path / "notes.parquet", NoteColumns(text="note", ids="when")).ids
    assert [name[:10] for name in ids] == ["2026-01-01", "2026-01-02"]
    with pytest.raises(ValueError, match="the column when holds dates or times, and no notes"):
        read_note_table(tmp_path / "notes.parquet", NoteColumns(text="when"))


def predict(*arguments):
    return run_ready(["-m", "mera.cli", "predict", *arguments], cwd=ROOT)


def test_the_command_ranks_notes_of_every_kind(run, task, ranker, tmp_path):
    shown = predict("--json", run, "--text", NOTE, "--top", 3)
    assert shown.returncode == 0, shown.stderr
    expected = ranker.rank(text=NOTE, top=3)
    found = json.loads(shown.stdout)["codes"]
    assert [(code["code"], code["place"]) for code in found] == [(c.code, n) for n, c in enumerate(expected, start=1)]
    assert [(span["start"], span["end"]) for span in found[0]["evidence"]] == [
        (span.start, span.end) for span in expected[0].evidence
    ]
    (tmp_path / "notes.csv").write_text(f'id,note\na,"{NOTE}"\nb,COPD flare\nc,\n')
    done = predict(
        *(run / "checkpoint", "--input", tmp_path / "notes.csv", "--patient", "id", "--text", "note", "--top", 2),
        *("--output", tmp_path / "out" / "ranked.csv"),
    )
    assert done.returncode == 0, done.stderr
    assert "2 notes ranked" in done.stdout
    assert "1 rows without a note are not in it" in done.stdout
    table = pl.read_csv(tmp_path / "out" / "ranked.csv")
    assert table["patient_id"].to_list() == ["a", "a", "b", "b"]
    assert table["code"].to_list()[:2] == [code.code for code in expected[:2]]
    assert (tmp_path / "out" / "ranked.csv").stat().st_mode & 0o777 == 0o600


def test_the_command_reads_the_columns_of_age_and_sex(run, task, tmp_path):
    rows = list(task.splits["test"])[:2]
    table = pl.DataFrame(
        [{"id": row["example_id"], "note": row["text"], "y": row["age"], "s": row["sex"]} for row in rows]
    )
    table.write_csv(tmp_path / "notes.csv")
    command = (run, "--input", tmp_path / "notes.csv", "--patient", "id", "--text", "note", "--top", 30)
    done = predict(*command, "--age", "y", "--sex", "s", "--output", tmp_path / "ranked.csv")
    assert done.returncode == 0, done.stderr
    ranked, expected = pl.read_csv(tmp_path / "ranked.csv"), read_predictions(run)
    for number, row in enumerate(rows):
        of_row = ranked.filter(pl.col("patient_id") == row["example_id"])
        scores = [expected.scores[number, task.column[code]] for code in of_row["code"]]
        np.testing.assert_allclose(of_row["score"], scores, rtol=1e-4, atol=1e-3)
    without = predict(*command, "--output", tmp_path / "other.csv")
    assert "the model was trained with age and sex: name the columns with --age and --sex" in without.stderr


def test_the_command_ranks_a_task_and_says_the_true_codes(run, task, tmp_path):
    done = predict(run, "--task", task.path, "--split", "validation", "--output", tmp_path / "ranked.json")
    assert done.returncode == 0, done.stderr
    examples = json.loads((tmp_path / "ranked.json").read_text())["examples"]
    rows = list(task.splits["validation"])
    assert [example["example_id"] for example in examples] == [row["example_id"] for row in rows]
    for example, row in zip(examples, rows, strict=True):
        assert len(example["codes"]) == 20
        assert all(code["target"] == (code["code"] in row["targets"]) for code in example["codes"])


def test_a_model_of_notes_ranks_no_histories_unless_told_to(run, tmp_path):
    histories = make_tiny_task(tmp_path / "histories", kind="diagnosis", patients=60)
    command = ["--task", histories.path, "--output", tmp_path / "ranked.json"]
    refused = predict(run, *command)
    assert refused.returncode == 1
    assert "the model was trained on notes, and the task has histories; --allow-unknown ranks all" in refused.stderr
    assert predict(run, *command, "--allow-unknown").returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text", "AKI", "--file", "note.txt"], "give one of --text, --file, --input and --task"),
        (["--input", "notes.csv"], "--input needs --text, the column with the notes, and --output"),
        (["--task", "prepared/x"], "--task needs --output"),
        (["--text", "AKI", "--output", "x.txt"], "--output writes .json, .parquet or .csv"),
        (["--text", "AKI", "--rules", "check"], "unrecognized arguments: --rules check"),
        (["--text", "AKI", "--sex-values", "F=2,M=1"], "--sex-values is of a column, which --sex names with --input"),
        (["--text", "AKI", "--age", "old"], "--age is a whole number of years"),
    ],
)
def test_the_command_refuses_in_one_sentence(run, options, message):
    refused = predict(run, *options)
    assert refused.returncode != 0
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
