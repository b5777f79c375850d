"""`mera export` of baselines and of fusions: they rank the same from the export, which holds what the card says."""

import json
import shutil

import polars as pl
import pytest
from huggingface_hub import ModelCard
from note_baselines import OF_NOTES, make_note_baselines
from ready_python import run_ready
from tiny_task import make_tiny_task

from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from data.task import SPLITS
from mera.commands.export.run_export import export_run
from mera.commands.fusion.fuse import fuse_runs
from mera.root import ROOT
from mera.runs.fitted_contents import read_contents
from mera.system.errors import UserError
from rank.task_prediction.open_ranker import open_ranker

NOTE = "Patient has congestive heart failure. Denies fever or chills. AKI."
HISTORY = [["I10", "I50.9"], ["N17.9"]]
OF_PATIENTS = ("own-history", "ease", "linear", "gbdt")


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("of-somebody") / "hospital-x", kind="coding", patients=80)


@pytest.fixture(scope="module")
def coded(notes, tmp_path_factory):
    """Three baselines, these fused by trees, and this with a bi-encoder by a sum."""
    return make_note_baselines(notes, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("of-somebody") / "hospital-y", patients=120)


@pytest.fixture(scope="module")
def ranked(patients, tmp_path_factory):
    """Four baselines, and all fused."""
    folder = tmp_path_factory.mktemp("runs")
    command = ["-m", "mera.cli", "baselines", "--task", patients.path, "--output", folder, "--only", *OF_PATIENTS]
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    fuse_runs([folder / name for name in OF_PATIENTS], folder / "fused")
    return folder


def nothing_private(folder, task, runs):
    """No id, note or place of the task in any file."""
    rows = [row for split in SPLITS for row in task.splits[split]]
    private = {row[key] for row in rows for key in ("patient_id", "example_id", "text") if row[key] is not None}
    private |= {str(task.path), str(runs), task.fingerprint}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not {"predictions", "validation", "train", "run.json"} & {part for path in files for part in path.parts}
    for path in files:
        content = path.read_bytes()
        assert not [word for word in private if word.encode() in content], path


@pytest.mark.parametrize("name", [*OF_NOTES, "trees", "all"])
def test_notes_are_ranked_the_same_from_the_export(coded, notes, name, tmp_path):
    exported = export_run(coded / name, tmp_path / "mine", with_note_phrases=True)
    assert NoteRanker.load(exported.folder).rank(text=NOTE) == NoteRanker.load(coded / name).rank(text=NOTE)
    nothing_private(exported.folder, notes, coded)
    assert exported.left_behind == []
    card = ModelCard.load(exported.folder / "README.md")
    assert ("**Words of notes.**" in card.text) == bool(exported.words_of_notes) == (name != "bm25")
    assert ("hold no row, id, note" in card.text) == (name == "bm25")
    assert {result.dataset_name for result in card.data.eval_results} == {"hospital-x"}


@pytest.mark.parametrize("name", [*OF_PATIENTS, "fused"])
def test_patients_are_ranked_the_same_from_the_export(ranked, patients, name, tmp_path):
    exported = export_run(ranked / name, tmp_path / "mine")
    moved = shutil.move(exported.folder, tmp_path / "elsewhere")
    of_run, of_export = open_ranker(ranked / name), open_ranker(moved)
    assert of_export.rank(HISTORY, age=67, sex="F") == of_run.rank(HISTORY, age=67, sex="F")
    nothing_private(tmp_path / "elsewhere", patients, ranked)
    assert (exported.left_behind, exported.words_of_notes) == ([], [])
    card = ModelCard.load(tmp_path / "elsewhere" / "README.md")
    assert card.data.library_name == "mera"
    assert f"- `{'parts/1-own-history/' if name == 'fused' else ''}fitted/`: what a model without" in card.text


def test_a_fusion_takes_its_parts_along(coded, tmp_path):
    exported = export_run(coded / "all", tmp_path / "mine", with_note_phrases=True)
    parts = sorted(path.relative_to(exported.folder).as_posix() for path in exported.folder.rglob("parts/*"))
    own = "parts/1-trees"
    assert parts == [own, *(f"{own}/parts/{at}-{name}" for at, name in enumerate(OF_NOTES, 1)), "parts/2-laa"]
    with_words = ("2-dictionary", "3-words-and-letters", "4-phrase-trees")
    assert exported.words_of_notes == [f"{own}/parts/{name}/fitted/" for name in with_words]
    assert pl.read_parquet(exported.folder / "candidates.parquet").columns == ["code", "definition", "train_count"]
    text = (exported.folder / "README.md").read_text()
    assert "# 2 fused models that rank" in text
    assert "in the README.md of each folder in `parts`" in text
    assert exported.folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in exported.folder.rglob("*"))
    shutil.move(exported.folder / "parts" / "2-laa", tmp_path / "away")
    with pytest.raises(UserError, match="2-laa, which is not there; move it back"):
        NoteRanker.load(exported.folder)


@pytest.mark.parametrize("name", ["dictionary", "words-and-letters", "phrase-trees", "trees", "all"])
def test_words_of_notes_are_refused_unless_asked_for(coded, name, tmp_path):
    with pytest.raises(UserError, match="was fitted on notes and holds words of them; --with-note-phrases exports"):
        export_run(coded / name, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_what_keeps_no_model_or_an_encoder_elsewhere_is_refused(coded, tmp_path):
    shutil.copytree(coded, tmp_path / "runs")
    contents = json.loads((tmp_path / "runs" / "bm25" / "fitted" / "model.json").read_text())
    path = tmp_path / "runs" / "bm25" / "fitted" / "model.json"
    path.write_text(json.dumps(contents | {"encoder": "/of/somebody/e5-small"}))
    with pytest.raises(UserError, match="reads an encoder that lies outside its folder, e5-small"):
        export_run(tmp_path / "runs" / "bm25", tmp_path / "mine")
    assert read_contents(path.parent).settings["encoder"] == "/of/somebody/e5-small"
    shutil.rmtree(path.parent)
    for name in ("bm25", "trees"):
        with pytest.raises(UserError, match=r"bm25 keeps no model to export, its predictions alone"):
            export_run(tmp_path / "runs" / name, tmp_path / "mine", with_note_phrases=True)
    assert [each.name for each in tmp_path.iterdir()] == ["runs"]
