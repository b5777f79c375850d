"""Models that have read the patients whom they are asked about."""

import numpy as np
import pytest
from bi_encoder_runs import configuration
from tiny_task import make_tiny_task

from bi_encoder.start import model_for_task
from mera.runs.other_splits.trained_on import (
    TRAINED_ON,
    patient_hashes,
    patients_trained_on,
    refuse_trained_on_test,
    trained_on_sentence,
    with_those_of,
)


@pytest.fixture
def run(tmp_path):
    """Of a model that was trained on a, b and c."""
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint").mkdir()
    np.save(tmp_path / "run" / "predictions" / TRAINED_ON, patient_hashes([["a", "b"], ["c"]]))
    return tmp_path / "run"


def test_patients_are_counted_once_by_run_and_by_checkpoint(run):
    for source in (run, run / "checkpoint", str(run)):
        assert patients_trained_on(source, ["a", "x", "a", "c"]) == 2
    sentence = trained_on_sentence(run, ["a", "a", "x"])
    assert sentence is not None
    assert sentence.startswith("the model was trained or tuned on 1 of these 2 patients: what it gets right of them")
    assert trained_on_sentence(run, ["x", "y"]) is None


def test_whom_a_base_was_trained_on_a_model_was_trained_on_too(run, tmp_path):
    own = patient_hashes([["x", "a"]])
    assert set(with_those_of(run / "checkpoint", own).tolist()) == set(patient_hashes([["x", "a", "b", "c"]]).tolist())
    assert with_those_of(tmp_path / "another", own) is own
    assert with_those_of(None, own) is own
    assert with_those_of(run, None) is None


def test_a_base_that_has_read_the_test_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match=r"model.base '.*checkpoint' was trained or tuned on 1 of the patients that"):
        refuse_trained_on_test("model.base", run / "checkpoint", ["b", "x"])
    refuse_trained_on_test("model.base", run / "checkpoint", ["x"])
    refuse_trained_on_test("model.base", tmp_path / "another", ["a"])
    refuse_trained_on_test("model.base", None, ["a"])


def test_an_encoder_that_has_read_the_test_is_refused(run, tmp_path):
    task = make_tiny_task(tmp_path / "task")
    np.save(run / "predictions" / TRAINED_ON, patient_hashes([task.splits["test"]["patient_id"][:1]]))
    changes = {"encoder.pretrained": str(run / "checkpoint"), "encoder.architecture": None}
    config = configuration(task, tmp_path / "new", **changes)
    with pytest.raises(ValueError, match=r"encoder.pretrained .* was trained or tuned on 1 of the patients that this"):
        model_for_task(config, task)
