"""Stage two with the full wide part as a user starts it: what the run predicts is what its checkpoint ranks."""

from dataclasses import replace

import numpy as np
import pytest
from ready_python import run_ready
from tiny_task import make_tiny_task

from data.task import load_task
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.predict import Ranker
from rank.wide.rare_codes import STRENGTHS, move_up, rare_bonus

SMALL_MODEL = "{model_type: mistral, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, " + (
    "num_attention_heads: 2, num_key_value_heads: 2, sliding_window: null}"
)
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml"]


def train(folder, name, *arguments):
    fixed = ("--config", "configs/rank/demo.yaml", "--model.base", "null", "--model.architecture", SMALL_MODEL)
    places = ("--task", folder / "task", "--output", folder / name)
    result = run_ready([*LAUNCH, "rank/train.py", *fixed, *places, *arguments], cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    return read_predictions(folder / name), result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide_runs")
    make_tiny_task(folder / "task", seed=3)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    keys = ("--training.epochs", 4, "--training.evaluate_every", 4, "--training.patience", 2)
    return train(folder, "full", "--wide", "full", *keys)[0]


def test_a_reopened_checkpoint_ranks_as_the_run_did(folder, trained):
    ranker, rows = Ranker.load(folder / "full" / "checkpoint"), list(load_task(folder / "task").splits["test"])
    assert ranker.wide is not None
    scores, eov = ranker.score(rows)
    np.testing.assert_allclose(scores, trained.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ranker.rule.thresholds(scores, eov), trained.thresholds, rtol=1e-4, atol=1e-4)
    assert trained.manifest["config"]["wide"] == "full"
    assert 0 <= trained.manifest["deep_share"] <= 1
    first = np.argmax(ranker.decode(rows)[0], axis=1)
    best = np.argmax(scores, axis=1)
    written = scores.max(axis=1) > ranker.rule.thresholds(scores, eov)
    np.testing.assert_array_equal(first[written], best[written])


def test_what_is_written_first_is_ranked_first_of_codes_without_a_training_target_too(folder, trained):
    ranker, rows = Ranker.load(folder / "full" / "checkpoint"), list(load_task(folder / "task").splits["test"])
    tables = replace(ranker.wide.tables, counts=np.where(np.arange(len(ranker.candidates)) % 2, 0, 5))
    start = replace(ranker.wide.weights, bias=ranker.wide.weights.bias[::-1].copy())
    ranker.wide = replace(ranker.wide, tables=tables, start=start)
    ranker.rare_bonus = np.zeros_like(ranker.rare_bonus)
    scores, eov = ranker.score(rows)
    written, best = scores.max(axis=1) > ranker.rule.thresholds(scores, eov), np.argmax(scores, axis=1)
    np.testing.assert_array_equal(np.argmax(ranker.decode(rows)[0], axis=1)[written], best[written])
    assert {0, 1} <= set(best[written] % 2)


def test_without_a_step_it_is_the_wide_part_alone(folder):
    predictions, _ = train(folder, "still", "--wide", "full", "--training.epochs", 1, "--training.learning_rate", 0)
    ranker, task = Ranker.load(folder / "still" / "checkpoint"), load_task(folder / "task")
    assert ranker.wide.weights.gate.tolist() == [0]
    rows = list(task.splits["test"])
    alone = ranker.wide.bonus([ranker.wide.tables.patient(row, task.column) for row in rows])[:, :-1]
    assert not ranker.recurrence.any()
    bonuses = [rare_bonus(task.train_counts, strength).tolist() for strength in STRENGTHS]
    assert ranker.rare_bonus.tolist() in bonuses
    moved = move_up(alone, predictions.thresholds, ranker.seen(rows), ranker.rare_bonus)
    np.testing.assert_allclose(predictions.scores, moved, rtol=1e-4, atol=1e-4)


def test_the_other_forms_have_no_wide_part(folder, trained):
    recurrence, _ = train(folder, "recurrence", "--wide", "recurrence", "--training.epochs", 1)
    none, _ = train(folder, "none", "--wide", "none", "--training.epochs", 1)
    assert not (folder / "none" / "checkpoint" / "wide.safetensors").exists()
    assert Ranker.load(folder / "recurrence" / "checkpoint").wide is None
    assert not np.load(folder / "none" / "checkpoint" / "recurrence.npy").any()
    assert np.load(folder / "recurrence" / "checkpoint" / "recurrence.npy").any()
    assert np.abs(none.scores - recurrence.scores).max() > 1e-3
    assert "deep_share" not in none.manifest
    assert trained.scores.shape == none.scores.shape


def test_with_lora_the_wide_part_trains_whole(folder):
    keys = ("--model.lora.rank", 2, "--training.epochs", 2, "--training.learning_rate", 5e-3)
    predictions, _ = train(folder, "lora", "--wide", "full", *keys)
    ranker, rows = Ranker.load(folder / "lora" / "checkpoint"), list(load_task(folder / "task").splits["test"])
    np.testing.assert_allclose(ranker.score(rows)[0], predictions.scores, rtol=1e-4, atol=1e-4)


def test_few_examples_get_small_batches_and_training_ends_with_patience(folder):
    keys = (
        "--training.warmup",
        0,
        "--training.min_steps",
        400,
        "--training.evaluate_every",
        2,
        "--training.patience",
        1,
    )
    batch = ("--training.batch_size", 64, "--training.min_epoch_steps", 30)
    predictions, _ = train(folder, "patient", "--wide", "full", *keys, *batch, "--training.learning_rate", 0)
    examples = len(load_task(folder / "task").splits["train"])
    looks = [entry for entry in predictions.records["training"] if "eval_recall_at_20" in entry]
    assert [entry["step"] for entry in looks] == [2, 4]  # nothing is learnt, so the second look is no better
    assert looks[0]["epoch"] == pytest.approx(2 / -(-examples // 16), rel=1e-3)
