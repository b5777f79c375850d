"""What every task promises: no leak, no copied note across splits, and the same bytes from the same rows."""

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, split_of, write_csv
from shared_data import shared_data

from data.cohorts.cohort import Patient, Visit
from data.cohorts.examples import coding_rows, diagnosis_rows
from data.cohorts.filters import keep_last_visits, keep_primary_targets
from data.cohorts.notes.near_duplicates import near_duplicates, signature
from data.ledger import Ledger
from mera.root import ROOT

CODES = ("I10", "E11.9", "I50.9", "J18.9", "N17.9")


@st.composite
def patients(draw):
    visits, day = [], 0
    for number in range(draw(st.integers(1, 5))):
        codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=4, unique=True))
        day += draw(st.integers(0, 300))
        visits.append(
            Visit(
                admission_id=str(number),
                codes=tuple(codes),
                num_primary=draw(st.integers(0, 1)),
                day=day,
                text=f"the note of visit {number}",
                num_notes=1,
            )
        )
    return Patient(patient_id=draw(st.text("pq", min_size=1)), sex=None, visits=tuple(visits))


@given(patients(), st.booleans(), st.sampled_from([None, 1, 2]), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_history_holds_only_earlier_visits_and_no_note(patient, every_visit, max_history, primary_only, first_visits):
    rows = list(
        diagnosis_rows(
            [patient],
            every_visit=every_visit,
            max_history=max_history,
            primary_only=primary_only,
            first_visits=first_visits,
        )
    )
    place = {visit.admission_id: index for index, visit in enumerate(patient.visits)}
    for row in rows:
        index = place[row["example_id"].split(":")[1]]
        before = patient.visits[:index][-max_history:] if max_history else patient.visits[:index]
        assert [tuple(visit["codes"]) for visit in row["history"]] == [visit.codes for visit in before]
        assert all(visit["days_before"] >= 0 for visit in row["history"])
        assert row["text"] is None
        assert set(row["targets"]) <= set(patient.visits[index].codes)
    assert len({row["example_id"] for row in rows}) == len(rows)


@given(patients())
@settings(max_examples=100, deadline=None)
def test_a_coding_example_is_told_its_note_and_no_code(patient):
    rows = list(coding_rows([patient]))
    assert [row["text"] for row in rows] == [visit.text for visit in patient.visits]
    assert all(row["history"] == () for row in rows)


@given(patients(), st.booleans(), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_filters_count_everything_they_take(patient, every_visit, num_visits):
    for change in (
        lambda ledger: keep_primary_targets([patient], every_visit, ledger),
        lambda ledger: keep_last_visits([patient], num_visits, ledger),
    ):
        ledger = Ledger()
        ledger.read("patients", 1)
        ledger.read("visits", len(patient.visits))
        ledger.read("notes", len(patient.visits))
        ledger.read("diagnoses", sum(len(visit.codes) for visit in patient.visits))
        left = change(ledger)
        ledger.check_used("patients", len(left))
        ledger.check_used("visits", sum(len(person.visits) for person in left))
        ledger.check_used("notes", sum(len(person.visits) for person in left))
        ledger.check_used("diagnoses", sum(len(visit.codes) for person in left for visit in person.visits))


WORDS = [f"word{chr(97 + first)}{chr(97 + second)}" for first in range(26) for second in range(20)]


def note(seed, length=120):
    return " ".join(random.Random(seed).sample(WORDS, length))


def jaccard(first, second):
    sets = [{tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (first.split(), second.split())]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_minhash_estimates_the_jaccard_index():
    first = note(1, 400)
    for changed in (0, 3, 20, 80):
        words = first.split()
        for place in random.Random(2).sample(range(len(words)), changed):
            words[place] = "other" + "abcdefghij"[place % 10]
        second = " ".join(words)
        estimate = (signature(first) == signature(second)).mean()
        # Five standard errors of the mean of 32 draws.
        exact = jaccard(first, second)
        assert abs(estimate - exact) <= 5 * np.sqrt(exact * (1 - exact) / 32) + 1e-9


def test_only_copies_in_a_later_split_count():
    original = note(1)
    copy = original.upper().replace("WORDAA", "wordaa,  17.5.2131") + " ."
    other = note(2)
    assert near_duplicates([original, copy, other], [0, 2, 2]) == [0]
    assert near_duplicates([original, copy, other], [2, 1, 0]) == [1]
    assert near_duplicates([original, copy, other], [0, 0, 1]) == []
    assert near_duplicates([], []) == []
    assert near_duplicates(["", "12", "12", "?"], [0, 0, 1, 1]) == [1]


def test_every_note_without_letters_has_a_signature_of_its_own():
    texts = [f"{number}." for number in range(200)]
    assert max(zlib.crc32(text.encode()) for text in texts) > 2**31  # more than 32 bits hold once it is shifted
    signatures = {tuple(signature(text)) for text in texts}
    assert len(signatures) == 200
    assert min(map(min, signatures)) > signature(note(1)).max()


def write_notes(path, copies):
    rows = [["pid", "vid", "dx", "note"]]
    for patient in range(24):
        text = note(patient)
        if patient in copies:
            text = note(copies[patient]).replace("worda", "WORDA") + f"\nSigned 201{patient % 10}-01-01"
        rows.append([f"p{patient:02d}", "1", "I10", text])
    return write_csv(path, rows)


TABLE = ("--patient", "pid", "--visit", "vid", "--code", "dx", "--text", "note", "--code-system", "icd10")


def test_a_split_of_copies_alone_is_said(tmp_path):
    source = write_notes(tmp_path / "forms.csv", {patient: 0 for patient in range(24)})
    with pytest.raises(ValueError, match=r"^all \d+ patients of the train split have notes that are nearly those of"):
        run("table", "--input", source, *TABLE, "--kind", "coding", *EVEN, "--output", tmp_path / "task")


def test_copied_notes_leave_the_earlier_split_and_are_counted(tmp_path):
    options = (*TABLE, "--kind", "coding", *EVEN)
    source = write_notes(tmp_path / "plain.csv", {})
    (plain,) = run("table", "--input", source, *options, "--output", tmp_path / "plain")
    assert "notes" in plain.info["accounting"]
    places = split_of(plain)
    train = sorted(name for name, split in places.items() if split == "train")
    test = sorted(name for name, split in places.items() if split == "test")
    validation = sorted(name for name, split in places.items() if split == "validation")
    # A training note copied from a test note, a validation note from another, and one within training.
    copies = {int(train[0][1:]): int(test[0][1:]), int(validation[0][1:]): int(test[1][1:])}
    copies[int(train[1][1:])] = int(train[2][1:])
    (task,) = run(
        "table", "--input", write_notes(tmp_path / "copied.csv", copies), *options, "--output", tmp_path / "copied"
    )
    assert set(places) - set(split_of(task)) == {train[0], validation[0]}
    assert dropped(task, "visits") == {"note nearly the same as one in a later split": 2}
    assert dropped(task, "patients") == {"no visit left: note nearly the same as one in a later split": 2}
    assert len(task.splits["test"]) == len(plain.splits["test"])
    assert_adds_up(task)


def digests(folder, without_inputs=False):
    """File -> sha256; of task.json without the hashes of the inputs, which follow the order of their rows."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.name == "task.json" and without_inputs:
            info = json.loads(content)
            info["inputs"] = sorted(info["inputs"])
            content = json.dumps(info).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def test_the_same_inputs_give_the_same_bytes_whatever_the_threads(tmp_path):
    folder = shared_data("mimic4demo")
    for name, threads in (("one", "1"), ("eight", "8")):
        command = [sys.executable, "-m", "data.prepare", "mimic4", "--input", str(folder), "--code-system", "to-icd10"]
        command += ["--every-visit", "--output", str(tmp_path / name / "task")]
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
    first = digests(tmp_path / "one" / "task")
    assert len(first) > 8
    assert digests(tmp_path / "eight" / "task") == first


def shuffled_copy(source, target, seed):
    """Every CSV of a folder with its rows (records, not lines) in another order."""
    target.mkdir(parents=True)
    for path in source.glob("*.csv*"):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            header, *rows = file.read().splitlines()
        random.Random(seed).shuffle(rows)
        (target / path.name.removesuffix(".gz")).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return target


@pytest.mark.parametrize(
    ("source", "folder", "options"),
    [
        ("mimic3", "mimic3demo", ("--granularity", "ccs", "--every-visit")),
        ("mimic4", "mimic4demo/hosp", ("--code-system", "to-icd9", "--protocol", "temporal")),
        ("mimic4", "mimic4demo/hosp", ("--code-system", "mixed", "--primary-only", "--min-code-count", 3)),
        ("eicu", "eicudemo", ("--visit", "unit")),
    ],
)
def test_the_order_of_rows_changes_no_byte(tmp_path, source, folder, options):
    original = shared_data(folder)
    results = []
    for seed in (1, 2):
        copy = shuffled_copy(original, tmp_path / f"in{seed}", seed)
        (task,) = run(source, "--input", copy, "--output", tmp_path / f"out{seed}" / "task", *options)
        results.append(digests(task.path, without_inputs=True))
        assert_adds_up(task)
    assert results[0] == results[1]


def write_table_with_lists(path, seed):
    """Visits over several rows, notes on some of them, a tie of times, a note twice: whatever could hang on order."""
    rows = []
    for patient in range(24):
        for visit in range(2):
            for part in range(2):
                text = note(100 * patient + 10 * visit + part) if part == patient % 2 else ""
                codes = "I10;E11.9" if part else "I50.9;I10;J18.9"
                rows.append([f"p{patient:02d}", f"{patient}-{visit}", "2020-01-01", codes, text, part])
    random.Random(seed).shuffle(rows)
    return write_csv(path, [["pid", "vid", "day", "dx", "note", "part"], *rows])


@pytest.mark.parametrize("more", [("--kind", "coding", "--text", "note"), ("--primary-only", "--position", "part")])
def test_the_order_of_rows_of_a_users_table_changes_no_byte(tmp_path, more):
    columns = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-separator", ";")
    results = []
    for seed in (1, 2, 3):
        source = write_table_with_lists(tmp_path / str(seed) / "t.csv", seed)
        output = tmp_path / str(seed) / "out" / "task"
        (task,) = run("table", "--input", source, *columns, "--code-system", "icd10", *more, "--output", output, *EVEN)
        results.append(digests(task.path, without_inputs=True))
    assert results[0] == results[1] == results[2]


def test_the_order_of_notes_and_events_changes_no_byte(tmp_path):
    notes = [
        ["row_id", "subject_id", "hadm_id", "chartdate", "charttime", "category", "description", "iserror", "text"]
    ]
    for patient in range(1, 9):
        for row_id, kind, text in ((5, "Report", 1), (5, "Report", 2), (5, "Addendum", 3), (5, "Report", 1)):
            words = note(10 * patient + text, 60)
            notes.append([row_id, patient, patient, "2130-01-01", "", "Discharge summary", kind, "", words])
    admissions = [["subject_id", "hadm_id", "admittime", "deathtime"]]
    patients = [["subject_id", "gender", "dob", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd9_code"]]
    for patient in range(1, 9):
        admissions.append([patient, patient, "2130-01-01 00:00:00", ""])
        patients.append([patient, "F", "2080-01-01 00:00:00", ""])
        diagnoses += [[patient, patient, "", "4280"], [patient, patient, "", "4019"]]
    tables = {"NOTEEVENTS": notes, "ADMISSIONS": admissions, "PATIENTS": patients, "DIAGNOSES_ICD": diagnoses}
    results = []
    for seed in (1, 2, 3):
        for name, (header, *rows) in tables.items():
            random.Random(seed).shuffle(rows)
            write_csv(tmp_path / str(seed) / f"{name}.csv", [header, *rows])
        folder = tmp_path / str(seed)
        (task,) = run("mimic3", "--input", folder, "--kind", "coding", "--output", folder / "out" / "task", *EVEN)
        assert dropped(task, "notes") == {"repeats another of its admission": 8}
        results.append(digests(task.path, without_inputs=True))
    assert results[0] == results[1] == results[2]


def test_every_source_keeps_patients_apart_and_targets_out_of_inputs(tmp_path):
    for source, folder, options in (
        ("mimic3", "mimic3demo", ("--every-visit",)),
        ("mimic4", "mimic4demo", ("--code-system", "icd9", "--every-visit")),
        ("eicu", "eicudemo", ()),
    ):
        (task,) = run(source, "--input", shared_data(folder), "--output", tmp_path / source, *options)
        of_split = {}
        for name, rows in task.splits.items():
            for row in rows:
                assert of_split.setdefault(row["patient_id"], name) == name
                assert row["text"] is None
                assert all(visit["days_before"] is None or visit["days_before"] >= 0 for visit in row["history"])
        ids = [row["example_id"] for row in every_row(task)]
        assert len(ids) == len(set(ids))
