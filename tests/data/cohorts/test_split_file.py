"""Published splits: files as their authors wrote them, and files that contradict themselves or the cohort."""

import polars as pl
import pytest
from prepare_case import assert_adds_up, dropped, every_row, note, run, split_of, write_csv
from shared_data import shared_data

TABLE = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")
CODING = ("--text", "note", "--kind", "coding")
SPLITS = ("train", "train", "val", "test")


def write_visits(path, patients=16, visits=2):
    """Patient p<n> with the visits <n>0 and <n>1."""
    rows = [["pid", "vid", "day", "dx", "note"]]
    for patient in range(patients):
        for visit in range(visits):
            day = f"2020-0{visit + 1}-{patient + 1:02d}"
            rows.append([f"p{patient}", f"{patient + 100}{visit}", day, "I10", note(patient, visit)])
    return write_csv(path, rows)


def prepared(folder, *options, kind=CODING, name="t"):
    (task,) = run(
        "table", "--input", write_visits(folder / "v.csv"), *TABLE, *kind, "--output", folder / name, *options
    )
    assert_adds_up(task)
    return task


def test_a_feather_of_visits_as_edin_published_it(tmp_path):
    ids = [f"{patient + 100}{visit}" for patient in range(16) for visit in range(2)]
    table = pl.DataFrame({"_id": [int(name) for name in ids], "split": [SPLITS[int(name) // 10 % 4] for name in ids]})
    table = pl.concat([table[:-1], pl.DataFrame({"_id": [999, 998], "split": ["test", "train"]})])
    table.write_ipc(tmp_path / "splits.feather", compression="lz4")
    task = prepared(tmp_path, "--split-file", tmp_path / "splits.feather")
    assert {row["patient_id"]: split for split in task.splits for row in task.splits[split]} == {
        f"p{patient}": {"train": "train", "val": "validation", "test": "test"}[SPLITS[patient % 4]]
        for patient in range(16)
    }
    assert dropped(task, "visits") == {"not in the split file": 1}
    assert task.info["protocol"]["name"] == "file"
    assert task.info["split_file"] == {
        "files": ["splits.feather"],
        "ids": "visits",
        "id_column": "_id",
        "split_column": "split",
        "listed": {"train": 17, "validation": 8, "test": 8},
        "not_in_cohort": {"train": 1, "validation": 0, "test": 1},
        "repeated": 0,
        "rows_of_no_split": 0,
    }
    assert "splits.feather" in task.info["inputs"]


def test_lists_without_a_header_as_mullenbach_published_them(tmp_path, capsys):
    for name, number in (("train_full", 0), ("dev_full", 1), ("test_full", 2)):
        ids = [f"{patient + 100}{visit}" for patient in range(16) for visit in (0, 1) if patient % 3 == number]
        (tmp_path / f"{name}_hadm_ids.csv").write_text("\n".join(ids) + "\n")
    files = [tmp_path / f"{name}_full_hadm_ids.csv" for name in ("train", "dev", "test")]
    task = prepared(tmp_path, "--split-file", *files)
    assert [len(task.splits[name]) for name in ("train", "validation", "test")] == [12, 10, 10]
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "ids of visits by column 1, split by the file's name: train 12 (0 not in the cohort), validation 10 (0 not in "
        "the cohort), test 10 (0 not in the cohort)" in printed
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".feather", ".tsv"])
def test_patients_in_any_kind_of_file(tmp_path, suffix):
    table = pl.DataFrame(
        {"Who": [f"p{n}" for n in range(15)], "Part": [("TRAIN", "held-out", "Tuning")[n % 3] for n in range(15)]}
    )
    path = tmp_path / f"s{suffix}"
    match suffix:
        case ".csv":
            table.write_csv(path, separator=";")
        case ".tsv":
            table.write_csv(path, separator="\t")
        case ".parquet":
            table.write_parquet(path)
        case _:
            table.write_ipc(path)
    task = prepared(tmp_path, "--split-file", path, kind=())
    assert task.info["split_file"]["ids"] == "patients"
    assert (task.info["split_file"]["id_column"], task.info["split_file"]["split_column"]) == ("who", "part")
    assert dropped(task, "patients") == {"not in the split file": 1}
    assert len(split_of(task)) == 15


def test_a_diagnosis_task_keeps_the_history_of_a_listed_visit(tmp_path):
    rows = [["hadm_id", "split"], *([f"{n + 100}1", SPLITS[n % 4]] for n in range(12))]
    task = prepared(tmp_path, "--split-file", write_csv(tmp_path / "s.csv", rows), kind=())
    assert len(split_of(task)) == 12
    assert all(len(row["history"]) == 1 for row in every_row(task))
    assert dropped(task, "patients") == {"not in the split file": 4}


def test_without_validation_a_part_of_train_validates(tmp_path):
    rows = [
        ["pid", "set"],
        *([f"p{n}", ("train", "train", "train", "test")[n % 4]] for n in range(16)),
        ["p3", "spare"],
    ]
    task = prepared(tmp_path, "--split-file", write_csv(tmp_path / "s.csv", rows), "--fractions", 0.6, 0.3, 0.1)
    assert {name: len({row["patient_id"] for row in task.splits[name]}) for name in task.splits} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }
    assert task.info["split_file"]["rows_of_no_split"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["pid", "split"], ["p1", "train"], ["p1", "test"], ["p2", "test"]], "puts 1 ids into two splits"),
        ([["hadm_id", "split"], ["1000", "train"], ["1001", "test"]], "puts visits of 1 patients into several splits"),
        ([["pid", "split"], ["x1", "train"], ["x2", "test"]], "no id in pid of --split-file is a patient or a visit"),
        ([["pid", "split"], ["p1", "train"], ["p2", "val"]], "names no test patient"),
        ([["pid", "what"], ["p1", "some"], ["p2", "other"]], r"has no column of splits \(train, val, test\)"),
        ([["split"], ["train"], ["test"]], "has one column, which holds splits and no ids"),
        ([["pid", "a", "b"], ["p1", "train", "test"]], "has several columns of splits: a, b"),
        ([["pid", "pid"], ["p1", "train"]], "has two columns of one name"),
    ],
)
def test_contradictions_are_refused_and_nothing_is_written(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, "--split-file", write_csv(tmp_path / "s.csv", rows))
    assert not (tmp_path / "t").exists()


def test_ids_that_may_be_of_both_are_asked_for(tmp_path):
    rows = [["pid", "vid", "day", "dx"]]
    rows += [[str(n), str(5 + 2 * n + v), f"2020-0{v + 1}-01", "I10"] for n in range(20) for v in range(2)]
    splits = [["key", "split"], *([str(n), SPLITS[n % 4]] for n in range(20))]
    options = ("--input", write_csv(tmp_path / "v.csv", rows), *TABLE, "--split-file", tmp_path / "s.csv")
    write_csv(tmp_path / "s.csv", splits)
    with pytest.raises(ValueError, match="may be of patients or of visits; call the column patient_id or visit_id"):
        run("table", *options, "--output", tmp_path / "t")
    write_csv(tmp_path / "s.csv", [["patient_id", "split"], *splits[1:]])
    (task,) = run("table", *options, "--output", tmp_path / "t")
    assert len(split_of(task)) == 20


def test_a_protocol_beside_it_is_refused(tmp_path):
    path = write_csv(tmp_path / "s.csv", [["pid", "split"], ["p1", "train"]])
    with pytest.raises(ValueError, match="--split-file is itself a split; leave --protocol kfold out"):
        prepared(tmp_path, "--split-file", path, "--protocol", "kfold")


def test_the_demo_of_mimic_by_its_own_admissions(tmp_path):
    folder = shared_data("mimic4demo/hosp")
    visits = pl.read_csv(folder / "admissions.csv", columns=["subject_id", "hadm_id"])
    parts = visits.with_columns(
        split=(pl.col("subject_id") % 4).replace_strict(dict(enumerate(SPLITS)), return_dtype=pl.String)
    )
    parts.select("hadm_id", "split").write_ipc(tmp_path / "s.feather")
    options = ("--input", folder, "--code-system", "to-icd10", "--split-file", tmp_path / "s.feather")
    (task,) = run("mimic4", *options, "--output", tmp_path / "t")
    assert task.info["split_file"]["not_in_cohort"] == {"train": 0, "validation": 0, "test": 0}
    assert all(SPLITS[int(name) % 4][:3] == split[:3] for name, split in split_of(task).items())
