"""What a manifest says of the task, and what stage one measured beside its checkpoint."""

from tiny_task import make_tiny_task

from mera.runs.records import memorization_record, task_record


def test_a_task_record_counts_the_rows_of_its_split(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding")
    record = task_record(task, "test")
    assert record["counts"]["test"]["examples"] == len(task.splits["test"])
    assert record["split"] == "test"


def test_memorization_is_found_beside_the_checkpoint(tmp_path):
    assert memorization_record(None) is None
    assert memorization_record(tmp_path / "checkpoint") is None
    (tmp_path / "recall.json").write_text('{"before": {"a": 0.1}, "after": {"a": 0.9}}')
    (tmp_path / "manifest.json").write_text('{"run": "memorize", "seconds": 3.5, "seed": 1}')
    found = memorization_record(tmp_path / "checkpoint")
    assert found == {"before": {"a": 0.1}, "after": {"a": 0.9}, "run": "memorize", "seconds": 3.5}
