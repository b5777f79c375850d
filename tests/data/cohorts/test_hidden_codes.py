"""`mera prepare --hide-codes`: codes that train and validation do not know, that stay candidates, and test keeps."""

import random

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, run, split_of, write_csv

from data.cohorts.cohort import Patient, Visit
from data.cohorts.hidden_codes import choose_hidden, without_hidden
from data.inspection.summary import print_summary
from data.ledger import Ledger
from mera.system.errors import UserError

CODES = ("I10", "E11.9", "I50.9", "J18.9", "N17.9", "E78.5", "K21.9", "F32.A", "D64.9", "N39.0", "J44.9", "A41.9")
COLUMNS = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")


def cohort(seed=1, patients=60):
    """patient -> visits, each a list of codes."""
    rng = random.Random(seed)
    return {
        f"p{number:02d}": [sorted(rng.sample(CODES, k=rng.choice([1, 1, 2, 3]))) for _ in range(rng.randint(2, 5))]
        for number in range(patients)
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rows = [["pid", "vid", "day", "dx"]]
    for patient, visits in cohort().items():
        rows += [[patient, f"{patient}-{n}", 10 * n, code] for n, codes in enumerate(visits) for code in codes]
    return write_csv(tmp_path_factory.mktemp("hidden") / "t.csv", rows)


def prepared(source, folder, *options):
    return run("table", "--input", source, *COLUMNS, *EVEN, *options, "--output", folder)[0]


@pytest.mark.parametrize("options", [(), ("--every-visit",), ("--every-visit", "--first-visits")], ids=len)
def test_rows_equal_a_loop_over_the_patients(source, tmp_path, options):
    whole = prepared(source, tmp_path / "whole", *options)
    task = prepared(source, tmp_path / "hidden", *options, "--hide-codes", 0.25, "--hide-seed", 3)
    hidden = {code for code, is_hidden in zip(task.codes, task.hidden, strict=True) if is_hidden}
    assert len(hidden) == round(0.25 * len(CODES)) == 3
    assert task.codes == whole.codes, "hidden codes stay candidates"
    assert task.fingerprint != whole.fingerprint
    of_split = split_of(whole)
    expected = {"train": set(), "validation": set(), "test": set()}
    for patient, visits in cohort().items():
        split = of_split[patient]
        if split != "test":
            visits = [[code for code in codes if code not in hidden] for codes in visits]
            visits = [codes for codes in visits if codes]
        first = 0 if "--first-visits" in options and split == "train" else 1
        if len(visits) < 2 and first:
            continue
        last = len(visits) - 1
        targets = range(first, last + 1) if "--every-visit" in options and split == "train" else [last]
        for place in targets:
            expected[split].add((patient, repr(visits[place]), repr(visits[:place])))
    for split, rows in expected.items():
        made = [
            (row["patient_id"], repr(row["targets"]), repr([visit["codes"] for visit in row["history"]]))
            for row in task.splits[split]
        ]
        assert len(made) == len(set(made))
        assert set(made) == rows
    assert not task.train_counts[task.hidden].any()
    assert task.train_counts[~task.hidden].all()


def test_what_is_hidden_is_counted(source, tmp_path, capsys):
    whole = prepared(source, tmp_path / "whole")
    task = prepared(source, tmp_path / "hidden", "--hide-codes", 0.25, "--hide-seed", 3)
    assert_adds_up(task)
    hidden = {code for code, is_hidden in zip(task.codes, task.hidden, strict=True) if is_hidden}
    counts, of_split, patients = task.info["hidden_codes"], split_of(whole), cohort()
    taken = {
        split: sum(
            code in hidden
            for patient, visits in patients.items()
            if of_split[patient] == split
            for codes in visits
            for code in codes
        )
        for split in ("train", "validation")
    }
    last = [visits for patient, visits in patients.items() if of_split[patient] == "test"]
    total = sum(code in hidden for visits in last for code in visits[-1])
    new = sum(
        code in hidden and all(code not in codes for codes in visits[:-1]) for visits in last for code in visits[-1]
    )
    assert counts == {
        "share": 0.25,
        "seed": 3,
        "codes": 3,
        "of": len(CODES),
        "diagnoses_taken": taken,
        "test_targets": total,
        "test_targets_new": new,
    }
    assert 0 < new < total
    assert dropped(task, "diagnoses")["hidden code"] == sum(taken.values())
    print_summary(task)
    assert f"test has {total} true codes of these, {new} of them new to the patient" in " ".join(
        capsys.readouterr().out.split()
    )


def test_without_the_option_nothing_changes(source, tmp_path):
    plain = prepared(source, tmp_path / "plain")
    assert "hidden" not in plain.code_table.columns
    assert "hidden_codes" not in plain.info
    assert "hide_codes" not in plain.info["options"]
    assert not plain.hidden.any()


def test_which_codes_depends_on_the_seed_and_shares_are_nested():
    codes = [f"C{number}" for number in range(200)]
    tenth = choose_hidden(codes, 0.1, 0)
    assert len(tenth) == 20
    assert tenth == sorted(tenth)
    assert choose_hidden(reversed(codes), 0.1, 0) == tenth
    assert set(tenth) < set(choose_hidden(codes, 0.3, 0))
    assert choose_hidden(codes, 0.1, 1) != tenth
    with pytest.raises(UserError, match="makes 0 hidden"):
        choose_hidden(codes, 0.001, 0)
    with pytest.raises(UserError, match=r"--hide-codes must be 0 or more and below 1, got 1\.5"):
        run("table", "--input", "t.csv", *COLUMNS, "--hide-codes", 1.5, "--output", "none")


def test_evidence_and_the_primary_diagnosis_go_with_their_code():
    visits = (
        Visit(admission_id="1", codes=("A", "B"), num_primary=1, evidence=(("A", 0, 1), ("B", 2, 3)), num_notes=1),
        Visit(admission_id="2", codes=("A",), num_notes=1),
    )
    ledger = Ledger()
    patient = Patient(patient_id="p", sex=None, visits=visits)
    (left,), taken = without_hidden([patient], {"A"}, 1, ledger)
    assert taken == 2
    assert left.visits == (Visit(admission_id="1", codes=("B",), num_primary=0, evidence=(("B", 2, 3),), num_notes=1),)
    assert without_hidden([patient], {"A"}, 2, Ledger())[0] == []
