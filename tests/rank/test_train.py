"""Stage one and stage two as a user starts them, on a tiny task: `accelerate launch`, on the CPU."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from ready_python import begin_ready, run_ready
from tiny_task import make_tiny_task

from data.task import load_task
from mera.evaluation.metrics import f1
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions
from rank.predict import Ranker

SMALL_MODEL = "{model_type: mistral, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, " + (
    "num_attention_heads: 4, num_key_value_heads: 2, sliding_window: null}"
)


LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml"]


def launch(script, *arguments, environment=None):
    return run_ready([*LAUNCH, script, *arguments], cwd=ROOT, env=environment)


def rank_arguments(folder, output):
    return (
        *("--config", "configs/rank/demo.yaml", "--model.base", folder / "memorize" / "checkpoint"),
        *("--task", folder / "task", "--output", output, "--training.epochs", 2, "--orders", 2),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a task, a stage-one run and a stage-two run."""
    folder = tmp_path_factory.mktemp("two_stages")
    make_tiny_task(folder / "task")
    memorize = launch(
        "memorize/train.py",
        *("--config", "configs/memorize/tiny.yaml", "--task", folder / "task", "--output", folder / "memorize"),
        *("--model.architecture", SMALL_MODEL, "--training.epochs", 45, "--training.min_steps", 0),
        *("--training.learning_rate", 4e-3),
    )
    assert memorize.returncode == 0, memorize.stderr[-2000:]
    rank = launch("rank/train.py", *rank_arguments(folder, folder / "rank"))
    assert rank.returncode == 0, rank.stderr[-2000:]
    return folder


def test_stage_one_learns_the_codes(runs):
    recall = json.loads((runs / "memorize" / "recall.json").read_text())
    assert recall["codes"] == 30
    assert recall["before"]["definition_to_code"] < 0.3
    assert min(recall["after"][kind] for kind in ("code_to_definition", "definition_to_code")) > 0.9


def test_a_run_is_complete_and_leaves_nothing_beside_it(runs):
    assert sorted(path.name for path in runs.iterdir()) == ["memorize", "rank", "task"]
    manifest = json.loads((runs / "rank" / "predictions" / "manifest.json").read_text())
    assert manifest["kind"] == "rank"
    assert manifest["task"]["fingerprint"] == load_task(runs / "task").fingerprint
    assert manifest["config"]["orders"] == 2
    assert manifest["seconds"] > 0
    threshold = manifest["threshold"]
    validation = read_validation(runs / "rank")
    assert validation.example_ids == list(load_task(runs / "task").splits["validation"]["example_id"])
    reached = f1(validation.predicted, validation.targets, "micro")
    assert reached == pytest.approx(threshold["validation_micro_f1"], abs=1e-6)
    assert 0 < threshold["validation_micro_f1_fixed"] < 1
    assert threshold["validation_micro_f1"] >= threshold["validation_micro_f1_eov"]
    # Two epochs; an example has a prompt of at least <next>, two orders, and no more than its codes and demographics.
    rows = load_task(runs / "task").splits["train"]
    targets = sum(len(row["targets"]) for row in rows)
    history = sum(len(visit["codes"]) + 8 for row in rows for visit in row["history"])
    assert 2 * (len(rows) + 2 * targets) < manifest["tokens"] < 2 * (20 * len(rows) + 2 * targets + history)


def test_the_same_seed_gives_the_same_predictions(runs):
    arguments = map(str, rank_arguments(runs, runs / "elsewhere" / "again"))
    command = [sys.executable, *LAUNCH, "rank/train.py", *arguments]  # a new Python has an order of sets of its own
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr[-2000:]
    first, second = read_predictions(runs / "rank"), read_predictions(runs / "elsewhere" / "again")
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.thresholds, second.thresholds)


def test_accumulated_batches_equal_one_large_batch(runs):
    arguments = rank_arguments(runs, runs / "elsewhere" / "accumulated")
    split = launch("rank/train.py", *arguments, "--training.batch_size", 8, "--training.gradient_accumulation", 4)
    assert split.returncode == 0, split.stderr[-2000:]
    whole, parts = read_predictions(runs / "rank"), read_predictions(runs / "elsewhere" / "accumulated")
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-3, atol=1e-3)


def test_packed_rows_train_as_a_row_for_each_patient(runs):
    """The whole run, with the full wide part: `packing: never` is what `auto` takes on the CPU."""
    arguments = rank_arguments(runs, runs / "elsewhere" / "packed")
    packed = launch("rank/train.py", *arguments, "--packing", "always")
    assert packed.returncode == 0, packed.stderr[-2000:]
    apart, together = read_predictions(runs / "rank"), read_predictions(runs / "elsewhere" / "packed")
    np.testing.assert_allclose(together.scores, apart.scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(together.thresholds, apart.thresholds, rtol=1e-3, atol=1e-3)


def test_a_killed_run_resumes_to_the_same_predictions(runs):
    whole, cut = runs / "elsewhere" / "whole", runs / "elsewhere" / "cut"
    assert launch("rank/train.py", *rank_arguments(runs, whole), "--training.epochs", 12).returncode == 0
    arguments = [*rank_arguments(runs, cut), "--training.epochs", 12]
    on_cpu = os.environ | {"ACCELERATE_USE_CPU": "true"}
    killed = begin_ready(["rank/train.py", *arguments], runs / "elsewhere" / "log", cwd=ROOT, env=on_cpu)
    partial = cut.parent / f".{cut.name}.partial"
    deadline = time.monotonic() + 120
    while not list(partial.glob("trainer/checkpoint-*/trainer_state.json")):
        assert killed.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not cut.exists()
    before = (partial / "log.txt").read_text().count("eval_recall_at_20")
    resumed = launch("rank/train.py", *arguments)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert 0 < (cut / "log.txt").read_text().count("eval_recall_at_20") - before < 12
    np.testing.assert_array_equal(read_predictions(cut).scores, read_predictions(whole).scores)


def test_a_loaded_checkpoint_ranks_as_the_run_did(runs):
    predictions = read_predictions(runs / "rank")
    ranker, rows = Ranker.load(runs / "rank" / "checkpoint"), list(load_task(runs / "task").splits["test"])
    scores, eov = ranker.score(rows)
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ranker.rule.thresholds(scores, eov), predictions.thresholds, rtol=1e-4, atol=1e-4)


def test_padding_does_not_change_a_score(runs):
    ranker, rows = Ranker.load(runs / "rank" / "checkpoint"), list(load_task(runs / "task").splits["test"])
    together = ranker.score(rows, batch_size=len(rows))
    apart = [ranker.score([row]) for row in rows]
    np.testing.assert_allclose(together[0], np.concatenate([scores for scores, _ in apart]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together[1], np.concatenate([eov for _, eov in apart]), rtol=1e-4, atol=1e-4)


def test_ranking_one_patient(runs):
    ranker = Ranker.load(runs / "rank" / "checkpoint")
    ranked = ranker.rank([["I10", "E11.9"], ["I10"]], days_before=[300, 20], age=70, sex="M")
    assert [code.code for code in ranked] != sorted(code.code for code in ranked)
    assert sorted(code.code for code in ranked) == sorted(ranker.candidates)
    assert [code.score for code in ranked] == sorted((code.score for code in ranked), reverse=True)
    assert {code.code for code in ranked if code.known} == {"I10", "E11.9"}
    assert all(0 <= code.probability <= 1 for code in ranked)
    predicted = [code.predicted for code in ranked]
    assert predicted == sorted(predicted, reverse=True)
    with pytest.raises(ValueError, match="got 1 for 2 visits"):
        ranker.rank([["I10"], ["I10"]], days_before=[3])
    with pytest.raises(ValueError, match="nothing to rank from"):
        ranker.rank([])


def test_decoding_and_a_history_in_words_are_keys_of_the_recipe(runs):
    output = runs / "elsewhere" / "decoded"
    keys = {
        "decoding": "autoregressive",
        "prompt.history": "codes+definitions",
        "loss.temperature": "[1, 0.5, 0.5, 2]",
        "training.epochs": 1,
    }
    arguments = [part for key, value in keys.items() for part in (f"--{key}", value)]
    trained = launch("rank/train.py", *rank_arguments(runs, output), *arguments)
    assert trained.returncode == 0, trained.stderr[-2000:]
    predictions = read_predictions(output)
    assert predictions.manifest["config"]["decoding"] == "autoregressive"
    assert not {"calibration", "threshold"} & set(predictions.manifest)
    scores, thresholds = Ranker.load(output / "checkpoint").decode(list(load_task(runs / "task").splits["test"]))
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(thresholds, predictions.thresholds, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can train with flex")
def test_flex_attention_without_a_gpu_is_one_sentence(runs):
    result = launch("rank/train.py", *rank_arguments(runs, runs / "elsewhere" / "flex"), "--attention", "flex")
    assert result.returncode != 0
    assert "error: attention: flex trains on a GPU only" in result.stderr


def test_tracking_records_numbers_and_no_patient(runs):
    output = runs / "elsewhere" / "tracked"
    arguments = [*rank_arguments(runs, output), "--training.tracking", "wandb", "--training.epochs", 1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    tracked = launch("rank/train.py", *arguments, environment=environment | {"HOME": str(runs / "elsewhere")})
    assert tracked.returncode == 0, tracked.stderr[-2000:]
    written = b"".join(path.read_bytes() for path in (output / "wandb").rglob("*") if path.is_file())
    assert b"eval_recall_at_20" in written or b"recall_at_20" in written
    task = load_task(runs / "task")
    for split in task.splits.values():
        for name in (*split["patient_id"], *split["example_id"]):
            assert name.encode() not in written


def test_the_python_page_runs(runs, tmp_path, monkeypatch, capsys):
    baselines = ["-m", "mera.cli", "baselines", "--only", "popularity", "gbdt", "--gbdt.rounds", "5"]
    (tmp_path / "prepared").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "prepared" / "mine").symlink_to(runs / "task")
    (tmp_path / "runs" / "rank").symlink_to(runs / "rank")
    assert run_ready([*baselines, "--task", runs / "task", "--output", tmp_path / "runs"]).returncode == 0
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, names)
    assert names["code"] == "I50.9"
    assert names["targets"].shape == names["seen"].shape
    assert names["trees"].called == "LightGBM on pairs"
    assert capsys.readouterr().out.count("\n") >= 8
    assert (tmp_path / "report" / "index.html").is_file()


def test_predict_on_the_command_line(runs):
    command = ["-m", "mera.cli", "predict", runs / "rank" / "checkpoint", "--history", "i10;E11.9"]
    result = run_ready([*command, "--top", "3", "--json"])
    assert result.returncode == 0, result.stderr
    ranked = json.loads(result.stdout)["codes"]
    assert len(ranked) == 3
    assert set(ranked[0]) == {"code", "definition", "score", "probability", "predicted", "known"}


def test_bad_input_is_one_sentence(runs, tmp_path):
    exists = launch("rank/train.py", *rank_arguments(runs, runs / "rank"))
    assert exists.returncode != 0
    assert f"error: {runs / 'rank'} already exists" in exists.stderr
    other = make_tiny_task(tmp_path / "other")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for file in (runs / "memorize" / "checkpoint").iterdir():
        (checkpoint / file.name).write_bytes(file.read_bytes())
    tokens = json.loads((checkpoint / "code_tokens.json").read_text())
    removed = other.codes[0]
    del tokens["definitions"][removed]
    (checkpoint / "code_tokens.json").write_text(json.dumps(tokens))
    foreign = launch(
        "rank/train.py",
        *("--config", "configs/rank/demo.yaml", "--model.base", checkpoint, "--task", tmp_path / "other"),
        *("--output", tmp_path / "rank"),
    )
    assert foreign.returncode != 0
    assert f"has no token for 1 of the task's 30 codes (for example {removed})" in foreign.stderr
    assert not (tmp_path / "rank").exists()


def test_a_finished_run_can_be_scored_again_in_another_way(runs):
    trained = read_predictions(runs / "rank")
    command = ["rank/ablations/rescore.py", "--run", runs / "rank", "--task", runs / "task", "--output"]

    def rescore(name, *options):
        done = run_ready([*command, runs / "again" / name, *options], cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return read_predictions(runs / "again" / name)

    same = rescore("same")
    np.testing.assert_allclose(same.scores, trained.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(same.predicted, trained.predicted)
    plain = rescore("plain", "--eov_offset", "none")
    unmoved, eov = Ranker.load(runs / "rank" / "checkpoint").unmoved_scores(
        list(load_task(runs / "task").splits["test"])
    )
    np.testing.assert_allclose(np.sort(plain.scores), np.sort(unmoved), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(plain.thresholds, eov, rtol=1e-4, atol=1e-4)
    assert np.abs(plain.thresholds - trained.thresholds).max() > 1e-3
    written = rescore("written", "--decoding", "autoregressive", "--name", "decoding")
    decoded = written.predicted.any(axis=1)
    first = written.scores.argmax(axis=1)  # the first code written
    np.testing.assert_array_equal(first[decoded], unmoved.argmax(axis=1)[decoded])
    assert written.manifest["config"] == trained.manifest["config"] | {"decoding": "autoregressive"}
    assert written.manifest["model"] == "decoding"
    assert written.records["training"] == trained.records["training"]
    kept = read_validation(runs / "rank")
    np.testing.assert_allclose(read_validation(runs / "again" / "same").scores, kept.scores, rtol=1e-4, atol=1e-4)
    assert not np.allclose(read_validation(runs / "again" / "written").scores, kept.scores)

    other = make_tiny_task(runs / "again" / "other-task", seed=5)
    refused = run_ready([*command[:4], other.path, "--output", runs / "again" / "refused"], cwd=ROOT)
    assert refused.returncode == 1
    assert f"{runs / 'rank'} was trained on another task than {other.path}" in refused.stderr
    assert not (runs / "again" / "refused").exists()
