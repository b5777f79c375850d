"""Notes of past visits in `diagnosis` tasks: told as history, never of the visit to predict; all of them counted."""

import stat

import numpy as np
import polars as pl
import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, note, run, split_of, write_csv

from data.cohorts.cohort import Patient, Visit
from data.cohorts.examples import diagnosis_rows
from data.cohorts.notes.note_marks import MADE_PLAIN
from data.cohorts.notes.plain_text import plain_text
from data.inspection.inspect_task import main as inspect
from data.inspection.task_figures import figures_of
from data.prepare.options import parse_arguments
from data.task import FEATURES, PAST_NOTES_FEATURES, SPLITS, as_table, load_task, save_task
from data.task_folder import task_rows
from data.task_folder.task_rows import digest_table
from mera.report import write_report
from mera.runs.predictions import predictions_for_task, read_predictions, write_predictions
from mera.runs.records import task_record

COLUMNS = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")
PATIENTS, VISITS = 12, 4


def write_table(path, text=note):
    """PATIENTS with VISITS each, two codes (two rows) a visit, the note on the first row; `text` makes the notes."""
    rows = [["pid", "vid", "day", "dx", "note"]]
    for patient in range(PATIENTS):
        for visit in range(VISITS):
            about = [f"p{patient:02d}", f"{patient}-{visit}", 10 * visit]
            second = "second" if (patient, visit) == (0, 1) else None
            rows.append([*about, "I10", text(patient, visit) or ""])
            rows.append(
                [*about, ("E11.9", "I50.9", "J18.9")[visit % 3], text(patient, visit, second) if second else ""]
            )
    return write_csv(path, rows)


def some_notes(patient, visit, part=""):
    """As `note`; the third visit of odd patients has none, or a blank one."""
    if patient % 2 and visit == 2:
        return "  " if patient % 4 == 1 else None
    return note(patient, visit, part)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past-notes")
    source = write_table(folder / "t.csv", some_notes)
    options = ("--text", "note", "--past-notes", "--every-visit", "--first-visits", *EVEN)
    return run("table", "--input", source, *COLUMNS, *options, "--output", folder / "task")[0]


def canaries(value):
    return [f"canary-{p}-{v}" for p in range(PATIENTS) for v in range(VISITS) if f"canary-{p}-{v}" in repr(value)]


def test_a_row_tells_the_notes_of_its_past_and_of_nothing_else(task):
    told = 0
    for row in every_row(task):
        patient, target = map(int, row["example_id"].split(":")[1].split("-"))
        assert row["text"] is None
        assert len(row["history"]) == target
        for number, visit in enumerate(row["history"]):
            text = some_notes(patient, number)
            if text is None or not text.strip():
                assert visit["text"] is None
                continue
            both = [text, some_notes(patient, number, "second")] if (patient, number) == (0, 1) else [text]
            assert visit["text"] == plain_text("\n\n".join(sorted(both))).text
            told += 1
        expected = [n for n in range(target) if (some_notes(patient, n) or "").strip()]
        assert canaries(row) == [f"canary-{patient}-{number}" for number in expected]
    assert told > PATIENTS


def test_the_note_of_a_last_visit_is_in_no_file_of_the_task(task):
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary-0-0" in stored
    assert not [patient for patient in range(PATIENTS) if f"canary-{patient}-{VISITS - 1}".encode() in stored]


def test_every_note_is_counted(task):
    # Half the patients have three notes before the last visit, half two; one visit has two texts.
    assert task.info["past_notes"] == {
        "visits_with_a_note": 6 * 3 + 6 * 2,
        "visits_with_several_notes": 1,
        "visits_without_a_note": 6,
    }
    notes = task.info["accounting"]["notes"]
    assert (notes["read"], notes["used"]) == (6 * 4 + 6 * 3 + 1, 6 * 3 + 6 * 2 + 1)
    assert notes["dropped"] == {"of the last visit, which is to be predicted": PATIENTS}
    assert task.info["options"]["past_notes"] is True
    assert task.info["accounting"]["visits"]["used"] == PATIENTS * VISITS
    assert_adds_up(task)


def test_batches_are_bounded_by_the_length_of_their_notes(task, tmp_path, monkeypatch):
    monkeypatch.setattr(task_rows, "BATCH_CHARACTERS", 1000)
    rows = {name: list(task.splits[name]) for name in SPLITS}
    tables = {name: as_table(rows[name], tmp_path / name, PAST_NOTES_FEATURES) for name in SPLITS}
    assert tables["train"]["history"].num_chunks > 3
    whole = task.splits["train"].data.table
    assert digest_table(tables["train"]) == digest_table(whole.cast(PAST_NOTES_FEATURES.arrow_schema))


def test_files_are_their_owners_alone(task):
    for path in task.path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_tasks_without_past_notes_are_what_they_were(task, tmp_path):
    """Fixed before past notes came: a schema, and the digest of rows, by which tasks on disk are known."""
    visit = FEATURES["history"].feature
    assert list(FEATURES) == ["example_id", "patient_id", "age", "sex", "history", "text", "targets", "evidence"]
    assert (list(visit), list(PAST_NOTES_FEATURES)) == (["codes", "days_before"], list(FEATURES))
    row = {
        "example_id": "a:1",
        "patient_id": "a",
        "age": 60,
        "sex": None,
        "history": [{"codes": ["E11.9"], "days_before": 30}, {"codes": [], "days_before": None}],
        "text": "a note",
        "targets": ["I10"],
        "evidence": [{"code": "I10", "start": 0, "end": 1}],
    }
    assert digest_table(as_table([row])) == "db69c8b12dd21c63deb66cd2c927ba2afaa3182010d6df036fd738041eb1c099"
    assert digest_table(as_table([row], features=PAST_NOTES_FEATURES)) != digest_table(as_table([row]))

    source = write_table(tmp_path / "t.csv", some_notes)
    options = ("--every-visit", "--first-visits", *EVEN)
    (plain,) = run("table", "--input", source, *COLUMNS, *options, "--output", tmp_path / "plain")
    assert not plain.has_past_notes
    assert task.has_past_notes
    assert plain.splits["train"].features == FEATURES
    assert plain.fingerprint != task.fingerprint
    assert "notes" not in plain.info["accounting"]
    assert "past_notes" not in plain.info
    without = [
        row | {"history": [{key: visit[key] for key in ("codes", "days_before")} for visit in row["history"]]}
        for row in every_row(task)
    ]
    assert every_row(plain) == without


def test_histories_of_an_api_call_without_the_option_hold_no_note():
    visits = tuple(Visit(admission_id=str(n), codes=("I10",), text=f"note {n}", num_notes=1) for n in range(3))
    patient = Patient(patient_id="p", sex=None, visits=visits)
    (plain,), (told,) = diagnosis_rows([patient]), diagnosis_rows([patient], past_notes=True, max_history=1)
    assert "note" not in repr(plain)
    assert told["history"] == [{"codes": ("I10",), "days_before": None, "text": "note 1"}]
    assert told["text"] is None


def test_near_copies_lose_the_note_of_the_earlier_split_and_no_visit(task, tmp_path):
    places = split_of(task)
    names = {name: sorted(patient for patient in places if places[patient] == name) for name in SPLITS}
    train, validation, test = (int(names[name][0][1:]) for name in SPLITS)
    last = VISITS - 1
    copies = {
        (train, 0): (test, 1),
        (validation, 1): (test, 0),
        (int(names["train"][1][1:]), 0): (validation, 0),
        (int(names["train"][2][1:]), 1): (test, last),  # not told in test, so it may be told in train
        (int(names["train"][3][1:]), 1): (train, 1),
    }

    def copied(patient, visit, part=""):
        source = copies.get((patient, visit))
        return note(patient, visit, part) if source is None else note(*source).upper() + " 17.5.2131"

    options = ("--text", "note", "--past-notes", "--every-visit", "--first-visits", *EVEN)
    source = write_table(tmp_path / "t.csv", copied)
    (found,) = run("table", "--input", source, *COLUMNS, *options, "--output", tmp_path / "task")
    assert dropped(found, "notes") == {
        "of the last visit, which is to be predicted": PATIENTS,
        "nearly the same as one in a later split": 3,
    }
    assert found.info["past_notes"]["visits_without_a_note"] == 3
    assert found.info["accounting"]["visits"]["dropped"] == {}
    assert split_of(found) == places
    gone = {
        (row["patient_id"], number)
        for row in every_row(found)
        for number, visit in enumerate(row["history"])
        if visit["text"] is None
    }
    expected = list(copies)[:3]
    assert gone == {(f"p{patient:02d}", number) for patient, number in expected}
    assert_adds_up(found)


def test_short_histories_count_the_notes_they_leave_out(tmp_path):
    source = write_table(tmp_path / "t.csv")
    options = ("--text", "note", "--past-notes", "--max-history", 1, *EVEN)
    (found,) = run("table", "--input", source, *COLUMNS, *options, "--output", tmp_path / "task")
    assert canaries(every_row(found)) == [f"canary-{patient}-{VISITS - 2}" for patient in range(PATIENTS)]
    assert dropped(found, "notes")["older than the longest history"] == PATIENTS * 2 + 1
    assert_adds_up(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--text", "note"), "--text is read with --kind coding, or with --past-notes"),
        (("--past-notes",), "--past-notes needs --text, the column with the notes"),
        (("--past-notes", "--kind", "coding", "--text", "note"), "--past-notes is for --kind diagnosis"),
        (("--past-notes", "--text", "empty"), "--past-notes found no note of any past visit"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    rows = [["pid", "vid", "day", "dx", "note", "empty"]]
    rows += [[f"p{patient}", f"{patient}-{visit}", visit, "I10", "x", ""] for patient in range(8) for visit in range(2)]
    source = write_csv(tmp_path / "t.csv", rows)
    with pytest.raises(ValueError, match=message):
        run("table", "--input", source, *COLUMNS, *options, "--output", tmp_path / "task", *EVEN)
    assert not (tmp_path / "task").exists()


def test_folds_are_told_past_notes_too(tmp_path):
    source = write_table(tmp_path / "t.csv")
    options = ("--text", "note", "--past-notes", "--protocol", "kfold", "--folds", 3)
    folds = run("table", "--input", source, *COLUMNS, *options, "--output", tmp_path / "task")
    assert len(folds) == 3
    assert len({task.info["protocol"]["cohort"] for task in folds}) == 1
    assert all(task.has_past_notes and task.info["past_notes"]["visits_without_a_note"] == 0 for task in folds)


def test_splits_that_differ_are_refused(task, tmp_path):
    groups = [(level, group, name) for level, names in task.group_names.items() for group, name in names.items()]
    codes = task.code_table.drop("train_count")
    frame = pl.DataFrame(groups, schema=["level", "group", "name"], orient="row")
    rows = {name: list(task.splits[name]) for name in SPLITS}
    again = save_task(tmp_path / "a", rows, codes, frame, {"kind": "diagnosis"}, features=PAST_NOTES_FEATURES)
    assert again.fingerprint == task.fingerprint
    plain = save_task(tmp_path / "b", rows, codes, frame, {"kind": "diagnosis"})
    assert "canary" not in repr(every_row(plain))
    (plain.path / "test").rename(tmp_path / "aside")
    (again.path / "test").rename(plain.path / "test")
    with pytest.raises(ValueError, match="only some splits have notes of past visits; prepare the task again"):
        load_task(plain.path)


def test_inspect_says_how_many_visits_have_a_note(task, capsys):
    figures = figures_of(task).splits["test"]
    texts = [visit["text"] for row in task.splits["test"] for visit in row["history"] if visit["text"] is not None]
    assert sorted(figures.words_per_past_note) == sorted(len(text.split()) for text in texts)
    inspect([str(task.path)])
    printed = capsys.readouterr().out
    visits = sum(len(row["history"]) for row in task.splits["test"])
    assert f"{100 * len(texts) / visits:.1f}%" in printed
    assert "past visits with a note" in printed
    assert "past notes: 30 visits before a last one have a note (1 put together from several), 6 have none" in " ".join(
        printed.split()
    )
    assert "canary" not in printed


def test_predictions_and_example_pages_show_past_notes(task, tmp_path):
    shape = (len(task.splits["test"]), len(task.codes))
    manifest = {
        "run": "made-up",
        "model": "made up",
        "kind": "baseline",
        "config": {},
        "seed": 0,
        "command": "none",
        "task": task_record(task, "test"),
    }
    scores = np.random.default_rng(0).standard_normal(shape)
    write_predictions(tmp_path / "run" / "predictions", predictions_for_task(task, "test", scores, 0.0, manifest))
    context = read_predictions(tmp_path / "run").context
    assert context["history"].to_list() == [row["history"] for row in task.splits["test"]]
    report = write_report([tmp_path / "run"], tmp_path / "report", bootstrap_samples=20, with_examples=2)
    page = (report.parent / "examples" / "1.html").read_text(encoding="utf-8")
    assert page.count("Note of this visit") == sum(bool(v["text"]) for v in task.splits["test"][0]["history"])
    assert canaries(page) == canaries(task.splits["test"][0])
    assert "<b>" not in page
    others = [path for path in report.parent.rglob("*") if path.is_file() and path.parent.name != "examples"]
    assert not [path for path in others if b"canary" in path.read_bytes()]


def test_the_synthetic_cohort_has_past_notes_and_the_same_patients(tmp_path):
    options = ("synthetic", "--patients", 40, "--every-visit")
    diagnosis, coding = run(*options, "--past-notes", "--output", tmp_path / "notes")
    (plain, _) = run(*options, "--output", tmp_path / "plain")
    assert diagnosis.has_past_notes
    assert not coding.has_past_notes
    assert [row["targets"] for row in every_row(diagnosis)] == [row["targets"] for row in every_row(plain)]
    notes = {row["example_id"]: row["text"] for row in every_row(coding)}
    for row in every_row(diagnosis):
        told = [visit["text"] for visit in row["history"]]
        known = [notes.get(f"{row['patient_id']}:{number + 1}", text) for number, text in enumerate(told)]
        assert told == known
        assert notes.get(row["example_id"]) not in told
    np.testing.assert_array_equal(np.load(diagnosis.path / "oracle.npy"), np.load(plain.path / "oracle.npy"))
    assert diagnosis.info["accounting"]["notes"]["dropped"]["of the last visit, which is to be predicted"] == 40


@pytest.mark.parametrize("source", ["mimic3", "mimic4", "table", "synthetic"])
def test_the_command_says_what_the_option_does(source, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments([source, "--help"])
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "--past-notes diagnosis: tell the notes of the visits in the history, never of the visit to predict" in printed
    )


def test_past_notes_are_made_plain_and_counted(tmp_path):
    """Those of the last visits are in no history."""

    def rich(patient, visit, part=""):
        plain = note(patient, visit, part).replace("&amp;", "and")
        return f"{{\\rtf1 {plain}\\par end}}" if patient < 2 else plain

    source = write_table(tmp_path / "t.csv", rich)
    task = run(
        "table", "--input", source, *COLUMNS, "--text", "note", "--past-notes", *EVEN, "--output", tmp_path / "o"
    )
    texts = [visit["text"] for row in every_row(task[0]) for visit in row["history"] if visit["text"]]
    assert any(text.endswith("\nend") for text in texts)
    assert not any("rtf1" in text for text in texts)
    assert task[0].info["changed"][MADE_PLAIN] == 2 * (VISITS - 1)
