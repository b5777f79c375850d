"""`mera sample`: nested samples of training patients, everything else as in the whole task."""

import pytest
from tiny_task import make_tiny_task

from data.prepare.patient_sample import sample_patients
from data.task import load_task
from mera.system.errors import UserError


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("sample") / "task", patients=60)


def patients_of(task, split):
    return set(task.splits[split]["patient_id"])


def test_samples_of_one_seed_are_nested_and_rows_are_those_of_the_task(task, tmp_path):
    samples = [sample_patients(task, tmp_path / str(number), number, 3, seed=1) for number in (5, 12, 20)]
    for number, part in zip((5, 12, 20), samples, strict=True):
        assert len(patients_of(part, "train")) == number
        assert len(patients_of(part, "validation")) == 3
        for split in ("train", "validation"):
            of_whole = {row["example_id"]: row for row in task.splits[split]}
            chosen = patients_of(part, split)
            expected = [row for row in of_whole.values() if row["patient_id"] in chosen]
            assert list(part.splits[split]) == expected
        assert list(part.splits["test"]) == list(task.splits["test"])
        assert part.codes == task.codes
        assert part.train_counts.sum() == sum(len(row["targets"]) for row in part.splits["train"])
        assert load_task(part.path).fingerprint == part.fingerprint != task.fingerprint
    assert patients_of(samples[0], "train") < patients_of(samples[1], "train") < patients_of(samples[2], "train")
    assert len({frozenset(patients_of(part, "validation")) for part in samples}) == 1


def test_the_sample_says_what_it_leaves_out(task, tmp_path):
    part = sample_patients(task, tmp_path / "part", 10, None, seed=0)
    num_train = len(patients_of(task, "train"))
    assert part.info["sample"] == {
        "of": task.fingerprint,
        "seed": 0,
        "patients_left_out": {"train": num_train - 10, "validation": 0, "test": 0},
        "examples_left_out": {"train": num_train - 10, "validation": 0, "test": 0},
    }
    other = sample_patients(task, tmp_path / "other", 10, None, seed=1)
    assert patients_of(other, "train") != patients_of(part, "train")


def test_more_patients_than_there_are(task, tmp_path):
    number = len(patients_of(task, "train"))
    with pytest.raises(UserError, match=f"train has {number} patients, so a sample is 1 to {number}; got 1,000"):
        sample_patients(task, tmp_path / "part", 1000, None, seed=0)
