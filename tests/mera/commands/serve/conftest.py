"""Models that were never trained, and the server's parts on them."""

import json

import pytest
from served import LocalEngine
from small_note_run import make_note_run
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of a checkpoint of stage two and of a run of the bi-encoder."""
    folder = tmp_path_factory.mktemp("serve")
    task = make_tiny_task(folder / "task")
    notes = make_tiny_task(folder / "notes", kind="coding")
    checkpoint = make_checkpoint(task, folder / "two" / "checkpoint")
    settings = json.loads((checkpoint / "ranking.json").read_text())
    settings["trained_on"] = {"ontology": "icd10cm", "edition": "ICD-10-CM 2026 (x)", "history": True, "note": False}
    (checkpoint / "ranking.json").write_text(json.dumps(settings))
    return checkpoint, make_note_run(notes, folder / "laa_mrl")


@pytest.fixture(scope="session")
def event_checkpoint(tmp_path_factory):
    """Of stage two on a task with events."""
    folder = tmp_path_factory.mktemp("serve-events")
    return make_checkpoint(make_tiny_task(folder / "task", events=True), folder / "two" / "checkpoint")


@pytest.fixture(scope="session")
def engines(models):
    """The same as engines in this process."""
    from bi_encoder.search.note_prediction.answers import NoteAnswers
    from bi_encoder.search.note_prediction.note_ranker import NoteRanker
    from rank.predict import Ranker
    from rank.task_prediction.answers import PatientAnswers

    return (
        LocalEngine(PatientAnswers(Ranker.load(models[0])), "rank", "code"),
        LocalEngine(NoteAnswers(NoteRanker.load(models[1])), "note", "code"),
    )
