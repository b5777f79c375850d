"""`mera export`: each stage's model works from the exported folder, which holds nothing of a patient and no path."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import yaml
from huggingface_hub import ModelCard
from ready_python import run_ready
from small_note_run import make_note_run
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from data.task import SPLITS
from mera.commands.export.run_export import export_run, rounded_figures
from mera.metrics import recall_at_k
from mera.root import ROOT
from mera.runs.figures import figure_intervals
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.predictions import predictions_for_task, read_predictions, write_predictions
from mera.runs.records import task_record
from rank.predict import Ranker

HISTORY = [["I10", "E11.9"], ["I10", "N17.9"]]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("export") / "hospital-x", kind="coding")


@pytest.fixture(scope="module")
def note_run(task, tmp_path_factory):
    return make_note_run(task, tmp_path_factory.mktemp("export") / "laa_mrl")


@pytest.fixture(scope="module")
def ranking_run(task, tmp_path_factory):
    """As rank/train.py leaves it, with a base model whose place and card are this machine's."""
    folder = tmp_path_factory.mktemp("export")
    run = folder / "stage-two"
    run.mkdir()
    make_checkpoint(task, run / "checkpoint")
    base = folder / "of-somebody" / "memorize" / "checkpoint"
    base.mkdir(parents=True)
    (base / "README.md").write_text("---\nlicense: Apache-2.0\n---\n")
    scores = np.random.default_rng(0).normal(size=task.targets("test").shape)
    settings = {
        "task": str(task.path),
        "output": str(run),
        "model": {"base": str(base)},
        "prompt": {"history": "codes"},
    }
    manifest = build_manifest(
        run="stage-two",
        model="stage two",
        kind="rank",
        config=settings,
        seed=3,
        task=task_record(task, "test"),
        clock=RunClock(),
    )
    write_predictions(run / "predictions", predictions_for_task(task, "test", scores, 0.5, manifest))
    return run


def words_of_patients(task):
    rows = [row for split in SPLITS for row in task.splits[split]]
    return {row[key] for row in rows for key in ("patient_id", "example_id", "text")}


def every_file(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["note_run", "ranking_run"])
def test_nothing_of_a_patient_and_no_path_is_in_any_file(kind, task, request, tmp_path):
    run = request.getfixturevalue(kind)
    settings = json.loads((run / "checkpoint" / "config.json").read_text())
    (run / "checkpoint" / "config.json").write_text(json.dumps(settings | {"_name_or_path": str(tmp_path)}))
    (run / "checkpoint" / "notes.txt").write_text("a note")
    exported = export_run(run, tmp_path / "models" / "mine")
    assert exported.left_behind == ["notes.txt"]
    assert [path.name for path in exported.folder.parent.iterdir()] == ["mine"]
    files = every_file(exported.folder)
    assert not {"predictions", "validation", "run.json", "notes.txt"} & {path.parts[0] for path in files}
    private = [*words_of_patients(task), str(tmp_path), str(task.path), str(run), "of-somebody", task.fingerprint]
    for path, content in files.items():
        for word in private:
            assert word.encode() not in content, f"{word} in {path}"
    in_run = b"".join(every_file(run).values())
    assert all(word.encode() in in_run for word in (task.fingerprint, next(iter(task.splits["test"]))["example_id"]))


def test_the_bi_encoder_ranks_the_same_from_the_export(note_run, tmp_path):
    folder = export_run(note_run, tmp_path / "mine").folder
    text = "Patient has congestive heart failure."
    assert NoteRanker.load(folder).rank(text=text) == NoteRanker.load(note_run).rank(text=text)
    told = run_ready(["-m", "mera.cli", "predict", folder, "--text", text, "--json"], cwd=ROOT)
    assert told.returncode == 0, told.stderr


def test_stage_two_ranks_the_same_from_the_export(ranking_run, tmp_path):
    folder = export_run(ranking_run / "checkpoint", tmp_path / "mine").folder
    assert Ranker.load(folder).rank(HISTORY) == Ranker.load(ranking_run).rank(HISTORY)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe == {"model": {"base": "memorize/checkpoint"}, "prompt": {"history": "codes"}}
    about = json.loads((folder / "mera.json").read_text())
    assert (about["task"]["name"], about["seed"], about["kind"]) == ("hospital-x", 3, "rank")


@pytest.mark.parametrize(("kind", "library"), [("note_run", "sentence-transformers"), ("ranking_run", "transformers")])
def test_the_card_is_one_that_a_hub_reads(kind, library, task, request, tmp_path):
    run = request.getfixturevalue(kind)
    folder = export_run(run, tmp_path / "mine").folder
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == library
    figures = {result.metric_type: result.metric_value for result in card.data.eval_results}
    predictions = read_predictions(run)
    assert figures == rounded_figures(predictions)
    assert figures["recall@10"] == pytest.approx(recall_at_k(predictions.scores, predictions.targets, 10), abs=1e-4)
    assert {result.dataset_name for result in card.data.eval_results} == {"hospital-x"}
    low, high = figure_intervals(predictions)["recall@10"]
    assert f"| Recall@10 | {100 * figures['recall@10']:.1f} ({100 * low:.1f} to {100 * high:.1f}) |" in card.text
    assert f"{len(task.splits['test'])} patients; percent, with 95% intervals" in card.text
    assert "is no medical device" in card.text
    if kind == "ranking_run":
        assert card.data.license == "apache-2.0"
        assert "Base model: memorize/checkpoint" in card.text
        assert "- `recurrence.npy`" in card.text
    else:
        assert "- `candidates.parquet`: how often each code was a target" in card.text


def test_the_card_says_that_a_model_reads_and_names_events(ranking_run, tmp_path):
    plain = (export_run(ranking_run, tmp_path / "plain").folder / "README.md").read_text()
    assert "procedures" not in plain
    assert "Every candidate code is named in it." in plain
    run = shutil.copytree(ranking_run, tmp_path / "run")
    tokens = run / "checkpoint" / "code_tokens.json"
    events = {"drug:furosemide": "furosemide", "lab:50912:high": "Creatinine high"}
    tokens.write_text(json.dumps(json.loads(tokens.read_text()) | {"events": events}))
    card = (export_run(run, tmp_path / "mine").folder / "README.md").read_text()
    assert ", with 2 procedures, drugs and labs\n- Trained on" in card
    assert "Every candidate code, procedure, drug and lab, as the data call it, is named in it." in card


def test_the_card_of_a_t5_says_that_it_writes_a_text_for_a_text(ranking_run, tmp_path):
    run = shutil.copytree(ranking_run, tmp_path / "run")
    settings = run / "checkpoint" / "config.json"
    for is_encoder_decoder, tag in ((False, "text-generation"), (True, "text2text-generation")):
        saved = json.loads(settings.read_text()) | {"is_encoder_decoder": is_encoder_decoder}
        settings.write_text(json.dumps(saved))
        card = ModelCard.load(export_run(run, tmp_path / tag).folder / "README.md")
        assert card.data.pipeline_tag == tag
        assert {result.task_type for result in card.data.eval_results} == {tag}


def test_stage_ones_own_card_goes_along(tmp_path):
    run = tmp_path / "one"
    (run / "checkpoint").mkdir(parents=True)
    (run / "checkpoint" / "README.md").write_text("---\nlibrary_name: transformers\n---\n# It memorized\n")
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "memorized.json"):
        (run / "checkpoint" / name).write_text("{}")
    manifest = {"kind": "memorize", "model": "stage one", "task": {"name": "t"}, "config": {}, "versions": {}}
    (run / "manifest.json").write_text(json.dumps(manifest | {"git_commit": None, "seed": 0}))
    folder = export_run(run, tmp_path / "mine").folder
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "recipe.yaml", "mera.json", "memorized.json"),
        *("model-00001-of-00002.safetensors", "model.safetensors.index.json"),
    }
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n---\n# It memorized\n")
    assert "hold no row, id, note or prediction of a patient" in card


def test_vectors_of_phrases_of_notes_are_refused_unless_asked_for(note_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(note_run, run)
    record = json.loads((run / "checkpoint" / "bi_encoder.json").read_text())
    (run / "checkpoint" / "bi_encoder.json").write_text(json.dumps(record | {"spans_per_code": 2}))
    with pytest.raises(ValueError, match="by up to 2 phrases that annotators marked in training notes"):
        export_run(run, tmp_path / "mine")
    assert not list(tmp_path.glob("*mine*"))
    assert export_run(run, tmp_path / "mine", with_note_phrases=True).folder.is_dir()


def test_what_cannot_be_exported_is_said_and_nothing_is_left(note_run, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError, match="there already exists; choose another --to"):
        export_run(note_run, tmp_path / "there")
    with pytest.raises(ValueError, match=r"is no finished run: it has no manifest\.json"):
        export_run(tmp_path / "there", tmp_path / "new")
    shutil.copytree(note_run, tmp_path / "baseline", ignore=lambda *_: ["checkpoint"])
    with pytest.raises(ValueError, match="keeps no model to export"):
        export_run(tmp_path / "baseline", tmp_path / "new")
    monkeypatch.setattr("mera.commands.export.run_export.read_predictions", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_run(note_run, tmp_path / "new")
    assert not list(tmp_path.glob("*new*"))


def test_the_command(note_run, tmp_path):
    done = run_ready(["-m", "mera.cli", "export", note_run, "--to", tmp_path / "mine"], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "mine")
    assert "totals over training patients, no patient: candidates.parquet" in done.stderr
    assert pl.read_parquet(tmp_path / "mine" / "candidates.parquet").columns == ["code", "definition", "train_count"]
    again = run_ready(["-m", "mera.cli", "export", note_run, "--to", tmp_path / "mine"], cwd=ROOT)
    assert again.returncode == 1
    assert "already exists" in again.stderr
