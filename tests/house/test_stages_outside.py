"""Trained models, from a task with codes outside its candidates in the rows of every split to the report."""

import json

import numpy as np
from bi_encoder_runs import configuration, outputs_of, start
from ready_python import run_ready
from tiny_task import make_tiny_task

from data.task import load_task
from mera.report import write_report
from mera.root import ROOT
from mera.runs.predictions import read_predictions

OUTSIDE = ("I10", "J18.9", "N17.9")
SMALL_MODEL = "{model_type: mistral, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, " + (
    "num_attention_heads: 2, num_key_value_heads: 1, sliding_window: null}"
)


def test_a_bi_encoder_trains_and_its_predictions_hold_what_it_missed(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", outside=OUTSIDE)
    config = configuration(task, tmp_path / "run", **{"training.epochs": 1})
    run, trainer = start(task, config)
    trainer.train()
    outputs_of(trainer, task, config, run)
    assert_complete(read_predictions(run.finish()), task)


def assert_complete(predictions, task):
    assert predictions.num_candidates == len(task.codes)
    assert np.load(task.path.parent / "run" / "predictions" / "scores.npy").shape[1] == len(task.codes)
    rows = list(task.splits["test"])
    codes = predictions.codes["code"].to_list()
    for row, true in zip(rows, predictions.targets, strict=True):
        assert {codes[column] for column in np.flatnonzero(true)} == set(row["targets"])
    assert np.isneginf(predictions.scores[:, predictions.num_candidates :]).all()
    assert not predictions.predicted[:, predictions.num_candidates :].any()


def test_stage_two_from_start_to_report(tmp_path):
    task = make_tiny_task(tmp_path / "task", outside=OUTSIDE)
    command = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml"]
    arguments = {
        "--config": "configs/rank/demo.yaml",
        "--model.base": "null",
        "--model.architecture": SMALL_MODEL,
        "--model.tokenizer_size": 600,
        "--training.epochs": 1,
        "--prompt.history": "codes+definitions",
        "--task": task.path,
        "--output": tmp_path / "run",
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    ended = run_ready([*command, "rank/train.py", *words], cwd=ROOT)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert_complete(read_predictions(tmp_path / "run"), task)
    page = write_report([tmp_path / "run"], tmp_path / "report", bootstrap_samples=20, with_examples=2)
    section = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    true = sum(len(row["targets"]) for row in task.splits["test"])
    outside = sum(code in OUTSIDE for row in task.splits["test"] for code in row["targets"])
    assert (section["targets"], section["outside_candidates"]["targets"]) == (true, outside)
    assert load_task(task.path).info["outside_candidates"]["test"]["targets"] == outside
