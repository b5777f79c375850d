"""Both stages with the base weights in 4 bits, as a user starts them: learnt, saved as plain checkpoints, resumed."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch
from ready_python import begin_ready, run_ready
from safetensors.torch import load_file
from tiny_task import make_tiny_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.task import load_task
from memorize.encoding import QuestionEncoder
from memorize.measurement import load_memorized
from memorize.questions import QuestionBook
from memorize.recall import BOTH_WAYS, both_ways
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.predict import Ranker

MODEL = {
    "model_type": "mistral",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "sliding_window": None,
}
FOUR_BITS = ("--model.quantization", "nf4", "--model.lora.rank", 8, "--model.lora.dropout", 0)
ON_CPU = os.environ | {"ACCELERATE_USE_CPU": "true"}


def rank_arguments(folder, output):
    return (
        *("rank/train.py", "--config", "configs/rank/demo.yaml", "--model.base", folder / "memorize" / "checkpoint"),
        *("--task", folder / "task", "--output", output, *FOUR_BITS, "--wide", "recurrence", "--orders", 2),
        *("--training.epochs", 12, "--training.batch_size", 8),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a task, a stage-one run and a stage-two run."""
    folder = tmp_path_factory.mktemp("four_bits")
    make_tiny_task(folder / "task")
    memorize = run_ready(
        [
            *("memorize/train.py", "--config", "configs/memorize/tiny.yaml", "--task", folder / "task"),
            *("--output", folder / "memorize", *FOUR_BITS, "--model.architecture", json.dumps(MODEL)),
            *("--questions.mixture.code_to_group", 0.25, "--training.epochs", 60, "--training.min_steps", 0),
            *("--training.learning_rate", 4e-3),
            *("--evaluate_every", 3, "--stop_at", 0.999, "--save_adapter", "true"),
        ],
        cwd=ROOT,
        env=ON_CPU,
    )
    assert memorize.returncode == 0, memorize.stderr[-2000:]
    rank = run_ready(rank_arguments(folder, folder / "rank"), cwd=ROOT, env=ON_CPU)
    assert rank.returncode == 0, rank.stderr[-2000:]
    return folder


def test_stage_one_learns_the_codes_and_plain_transformers_opens_what_it_learnt(runs):
    recall = json.loads((runs / "memorize" / "recall.json").read_text())
    assert recall["codes"] == 30
    assert max(recall["before"][kind] for kind in BOTH_WAYS) < 0.2
    assert min(recall["after"][kind] for kind in BOTH_WAYS) >= 0.99
    checkpoint = runs / "memorize" / "checkpoint"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert "quant" not in (checkpoint / "config.json").read_text()
    adapter = load_file(runs / "memorize" / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name or "embed_tokens" in name or "lm_head" in name for name in adapter)
    code_set, questions = load_memorized(checkpoint)
    encoder = QuestionEncoder(AutoTokenizer.from_pretrained(checkpoint), questions)
    reopened = both_ways(model, encoder, QuestionBook(code_set, questions), 64)
    assert reopened == {kind: recall["after"][kind] for kind in BOTH_WAYS}


def test_stage_two_ranks_from_its_plain_checkpoint_as_it_did_in_four_bits(runs):
    predictions, checkpoint = read_predictions(runs / "rank"), runs / "rank" / "checkpoint"
    ranker, rows = Ranker.load(checkpoint), list(load_task(runs / "task").splits["test"])
    scores, eov = ranker.score(rows)
    # What the 4 bits stand for is computed with in bf16, what was merged in float32.
    np.testing.assert_allclose(scores, predictions.scores, atol=0.1)
    np.testing.assert_allclose(ranker.rule.thresholds(scores, eov), predictions.thresholds, atol=0.1)
    assert predictions.scores.std() > 1
    assert (scores.argmax(axis=1) == predictions.scores.argmax(axis=1)).mean() > 0.9
    before, after = (
        load_file(folder / "model.safetensors") for folder in (runs / "memorize" / "checkpoint", checkpoint)
    )
    assert before.keys() == after.keys()
    assert all(weight.is_floating_point() for weight in after.values())
    assert not any(torch.equal(after[name], before[name]) for name in after if "norm" not in name)
    assert all(torch.equal(after[name], before[name]) for name in after if "norm" in name)


def test_a_killed_run_in_four_bits_resumes_to_the_same_predictions(runs):
    cut = runs / "elsewhere" / "cut"
    killed = begin_ready(rank_arguments(runs, cut), runs / "log", cwd=ROOT, env=ON_CPU)
    deadline = time.monotonic() + 120
    while not list((cut.parent / f".{cut.name}.partial").glob("trainer/checkpoint-*/complete.json")):
        assert killed.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not cut.exists()
    resumed = run_ready(rank_arguments(runs, cut), cwd=ROOT, env=ON_CPU)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    np.testing.assert_array_equal(read_predictions(cut).scores, read_predictions(runs / "rank").scores)


def test_four_bits_and_all_parameters_are_refused_in_one_sentence(runs):
    done = run_ready([*rank_arguments(runs, runs / "none"), "--model.lora.rank", 0], cwd=ROOT, env=ON_CPU)
    assert done.returncode == 2
    assert "model.quantization nf4 freezes the base model, so adapters must train: set" in done.stderr
