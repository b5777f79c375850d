"""Both stages of a T5 as a user starts them, on a tiny task: `accelerate launch`, on the CPU."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch
from ready_python import begin_ready, run_ready
from small_model import SMALL_T5, small_t5
from tiny_task import make_tiny_task
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from data.task import load_task
from mera.config import load_config
from mera.language_models.code_tokens import token_ids
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.config import RankConfig
from rank.predict import Ranker
from rank.verification.start import verifier_for_task

LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml"]


def launch(script, *arguments):
    done = run_ready([*LAUNCH, script, *arguments], cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def rank_arguments(folder, output, *more):
    return (
        *("--config", "configs/rank/demo.yaml", "--model.base", folder / "memorize" / "checkpoint"),
        *("--task", folder / "task", "--output", output, "--training.epochs", 2, "--orders", 2, *more),
    )


TIED = ("--config", "configs/memorize/tiny.yaml", "--training.learning_rate", 4e-3, "--model.architecture")
OWN_HEAD = ("--config", "configs/memorize/tiny_t5.yaml", "--questions.levels", "[chapter]")


@pytest.fixture(
    scope="module",
    params=[pytest.param((*TIED, json.dumps(SMALL_T5)), marks=pytest.mark.slow), OWN_HEAD],
    ids=["tied", "own head"],
)
def runs(request, tmp_path_factory):
    """A folder with a task, a stage-one run and a stage-two run."""
    folder = tmp_path_factory.mktemp("two_stages")
    make_tiny_task(folder / "task")
    launch(
        "memorize/train.py",
        *("--task", folder / "task", "--output", folder / "memorize", "--training.epochs", 4),
        *("--training.min_steps", 0, *request.param),
    )
    launch("rank/train.py", *rank_arguments(folder, folder / "rank"))
    return folder


def test_plain_transformers_and_a_loaded_ranker_rank_as_the_run_did(runs):
    predictions, rows = read_predictions(runs / "rank"), list(load_task(runs / "task").splits["test"])
    checkpoint = runs / "rank" / "checkpoint"
    ranker = Ranker.load(checkpoint)
    scores, eov = ranker.score(rows)
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ranker.rule.thresholds(scores, eov), predictions.thresholds, rtol=1e-4, atol=1e-4)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    columns = token_ids(tokenizer, ranker.candidates)
    logits = []
    for prompt in ranker.prompts(rows):
        ids = torch.tensor([[*prompt.ids, tokenizer.eos_token_id]])
        start = torch.tensor([[model.config.decoder_start_token_id]])
        with torch.no_grad():
            logits.append(model.eval()(input_ids=ids, decoder_input_ids=start).logits[0, 0, columns])
    ranker.wide, ranker.recurrence = None, np.zeros_like(ranker.recurrence)  # what is not the language model's
    np.testing.assert_allclose(ranker.score(rows)[0], torch.stack(logits), rtol=1e-4, atol=1e-4)


def test_padding_does_not_change_a_score(runs):
    ranker, rows = Ranker.load(runs / "rank" / "checkpoint"), list(load_task(runs / "task").splits["test"])
    apart = [ranker.score([row]) for row in rows]
    for together, parts in zip(ranker.score(rows), zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(together, np.concatenate(parts), rtol=1e-4, atol=1e-4)


def test_accumulated_batches_equal_one_large_batch(runs):
    output = runs / "elsewhere" / "accumulated"
    launch(
        "rank/train.py",
        *rank_arguments(runs, output, "--training.batch_size", 8, "--training.gradient_accumulation", 4),
    )
    whole, parts = read_predictions(runs / "rank"), read_predictions(output)
    np.testing.assert_allclose(whole.scores, parts.scores, rtol=1e-3, atol=1e-3)


def test_a_killed_run_resumes_to_the_same_predictions(runs):
    whole, cut = runs / "elsewhere" / "whole", runs / "elsewhere" / "cut"
    launch("rank/train.py", *rank_arguments(runs, whole, "--training.epochs", 12))
    arguments = rank_arguments(runs, cut, "--training.epochs", 12)
    on_cpu = os.environ | {"ACCELERATE_USE_CPU": "true"}
    killed = begin_ready(["rank/train.py", *arguments], runs / "elsewhere" / "log", cwd=ROOT, env=on_cpu)
    deadline = time.monotonic() + 120
    while not list((cut.parent / f".{cut.name}.partial").glob("trainer/checkpoint-*/trainer_state.json")):
        assert killed.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not cut.exists()
    launch("rank/train.py", *arguments)
    np.testing.assert_array_equal(read_predictions(cut).scores, read_predictions(whole).scores)


def test_lora_and_decoding_are_keys_of_the_recipe(runs):
    output = runs / "elsewhere" / "lora"
    keys = ("--model.lora.rank", 4, "--decoding", "autoregressive", "--wide", "recurrence")
    launch("rank/train.py", *rank_arguments(runs, output, *keys))
    scores, thresholds = Ranker.load(output / "checkpoint").decode(list(load_task(runs / "task").splits["test"]))
    predictions = read_predictions(output)
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(thresholds, predictions.thresholds, rtol=1e-3, atol=1e-3)
    plain = AutoModelForSeq2SeqLM.from_pretrained(output / "checkpoint")
    assert not any("lora" in name for name, _ in plain.named_parameters())


def test_the_doctor_and_a_rehearsal_know_it(runs):
    done = run_ready(["-m", "mera.cli", "doctor", *rank_arguments(runs, runs / "elsewhere" / "new")], cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is missing" in done.stdout
    weights = AutoModelForSeq2SeqLM.from_pretrained(runs / "rank" / "checkpoint").num_parameters()
    found = int(done.stdout.split("model: ")[1].split(" parameters")[0].replace(",", ""))
    assert weights < found < 1.1 * weights  # and the wide part
    rehearsed = launch("rank/train.py", *rank_arguments(runs, runs / "elsewhere" / "new", "--dry-run"))
    assert "went well; nothing was kept" in rehearsed.stdout
    assert not (runs / "elsewhere" / "new").exists()


def test_a_verifier_is_a_causal_model(tmp_path):
    task = make_tiny_task(tmp_path / "task", patients=20)
    for part in small_t5():
        part.save_pretrained(tmp_path / "base")
    settings = {"task": str(task.path), "output": "x", "model.base": str(tmp_path / "base"), "candidates": "runs/x"}
    with pytest.raises(ValueError, match=r"candidates: only a causal model can verify them, and model.base is an enc"):
        verifier_for_task(load_config(RankConfig, None, settings), task)
