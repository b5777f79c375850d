"""Training from task to prediction folder: every variant learns, an interrupted run goes on where it was."""

import json
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from bi_encoder_runs import SMALL, configuration, outputs_of, score_split, start
from ready_python import run_ready
from tiny_task import make_tiny_task
from transformers import TrainerCallback

from bi_encoder.checkpoint import load_bi_encoder
from bi_encoder.config import BiEncoderConfig
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.code_names import names_for_scoring
from bi_encoder.predict import code_vectors_of, embed_codes, score_texts, split_windows
from bi_encoder.refine import refine
from bi_encoder.scoring.prior import Prior, best_weight, quality_by_weight
from bi_encoder.validation import ranking_measure, ranking_metrics
from data.task_folder.book_parts import TERM_SCHEMA
from mera.config import load_config
from mera.evaluation.metrics import mean_average_precision
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions
from mera.training.resume.checkpoints import checkpoints
from mera.training.steps import EpochSeededLengthSampler


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=120)


@pytest.mark.parametrize("variant", ["retrieval", "mean_mrl", "laa_mrl"])
def test_a_variant_trains_and_leaves_a_complete_run(task, tmp_path, variant):
    config = configuration(task, tmp_path / variant, variant=variant)
    run, trainer = start(task, config)
    untrained = score_split(trainer, task, config, "test", [64])[64]
    trainer.train()
    metrics = outputs_of(trainer, task, config, run)
    final = run.finish()

    assert trainer.widths == ([64] if variant == "retrieval" else [16, 64])
    assert set(metrics.validation_by_width_without_prior) == {"16", "64"}
    predictions = read_predictions(final)
    targets = task.targets("test")
    learnt = mean_average_precision(predictions.scores, targets)
    assert learnt > mean_average_precision(untrained, targets) + 0.05
    assert np.array_equal(predictions.targets, targets)
    assert predictions.thresholds == pytest.approx(metrics.threshold, rel=1e-5)
    assert predictions.manifest["model"] == f"bi-encoder {variant}"
    assert predictions.manifest["kind"] == "bi_encoder"
    widths = predictions.records["widths"]
    assert [row["width"] for row in widths] == [16, 64]
    assert all(row["queries_per_second"] > 0 and row["bytes_per_code"] == 4 * row["width"] for row in widths)
    assert {"slope", "intercept"} == set(predictions.manifest["calibration"])
    validation = read_validation(final)
    assert validation.example_ids == list(task.splits["validation"]["example_id"])
    validation_map = mean_average_precision(validation.scores, validation.targets)
    assert validation_map == pytest.approx(metrics.validation["mean_average_precision"])
    assert validation.thresholds == pytest.approx(metrics.threshold, rel=1e-5)
    assert ("evidence" in predictions.records) == (variant == "laa_mrl")
    best = max(entry["eval_mean_average_precision"] for entry in metrics.epochs)
    assert len(metrics.epochs) == 3
    assert metrics.validation["mean_average_precision"] >= best - 1e-6

    model, record = load_bi_encoder(final / "checkpoint", codes=task.codes)
    index = CodeIndex.load(
        final / "index" / "codes.safetensors", model_fingerprint=model.fingerprint(), codes=task.codes
    )
    embeddings = embed_codes(model, task, record.max_key_tokens).embeddings.numpy()
    assert index.search(embeddings, k=1)[0] == [[code] for code in task.codes]
    assert (record.prior_weight, record.variant) == (metrics.prior_weight, variant)
    assert not (final / "trainer").exists()


def test_a_diagnosis_task_trains_with_hard_negatives_both_views_and_separate_towers(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="diagnosis", patients=200)
    changes = {
        "encoder.towers": "separate",
        "encoder.tokens_at_once": 400,
        "encoder.window_overlap": 8,
        "encoder.training_windows": 2,
        "encoder.max_query_tokens": 48,
        "objective.cached_gradients": True,
        "objective.hard_negatives": "both",
        "objective.label_views": "both",
        "objective.refresh_mistakes_every": 2,
        "selection.rerank_candidates": 10,
    }
    config = configuration(task, tmp_path / "run", variant="laa_mrl", **changes)
    run, trainer = start(task, config)
    searches = []
    trainer.add_callback(NoteMistakes(trainer, searches))
    untrained = score_split(trainer, task, config, "validation", [64])[64]
    trainer.train()

    targets = task.targets("validation")
    learnt = mean_average_precision(score_split(trainer, task, config, "validation", [64])[64], targets)
    assert learnt > mean_average_precision(untrained, targets) + 0.05
    first, second, third = searches
    assert first is second, "searched again after two epochs"
    assert third is not second
    assert third != second, "by another model"
    true = trainer.train_dataset["targets"]
    for found in (first, third):
        assert all(len(row) == 8 for row in found)
        assert not any(set(row) & set(codes) for row, codes in zip(found, true, strict=True))
    metrics = outputs_of(trainer, task, config, run)
    assert metrics.queries_in_several_windows["test"] > 0
    assert metrics.codes_without_definition == 0
    model, record = load_bi_encoder(run.finish() / "checkpoint", codes=task.codes)
    assert model.key_encoder is not None
    assert (record.rerank_candidates, record.window_overlap) == (10, 8)


def test_the_bioclinical_recipe_trains_a_tiny_modernbert(task, tmp_path):
    """Its weights are not on the package index: all of its settings but the encoder and the batch."""
    overrides = {
        "task": str(task.path),
        "output": str(tmp_path / "run"),
        "encoder.pretrained": None,
        "encoder.architecture": SMALL["encoder.architecture"],
        "encoder.tokenizer_size": 800,
        "training.epochs": 1,
        "training.batch_size": 16,
        "training.learning_rate": 2e-3,
    }
    config = load_config(BiEncoderConfig, ROOT / "configs" / "bi_encoder" / "bioclinical_modernbert.yaml", overrides)
    _, trainer = start(task, config)
    untrained = score_split(trainer, task, config, "validation", [64])[64]
    trainer.train()
    assert trainer.bi_encoder.cached_gradients
    assert trainer.bi_encoder.encoder.max_seq_length == 8192
    targets = task.targets("validation")
    learnt = mean_average_precision(score_split(trainer, task, config, "validation", [64])[64], targets)
    assert learnt > mean_average_precision(untrained, targets)


class NoteMistakes(TrainerCallback):
    """Keeps the mistakes that each epoch trains with."""

    def __init__(self, trainer, found):
        self.trainer, self.found = trainer, found

    def on_step_begin(self, args, state, control, **kwargs):
        if state.epoch == int(state.epoch):
            self.found.append(self.trainer.hard_negatives.mistakes)


def test_the_map_of_the_rotation_has_its_own_learning_rate_on_the_same_schedule(task, tmp_path):
    moved = {}
    for learning_rate in (None, 1e-3):
        changes = {"training.learning_rate": 1e-5, "training.weight_decay": 0.5, "training.epochs": 1}
        changes |= {"encoder.rotation": "principal", "encoder.rotation_learning_rate": learning_rate}
        _, trainer = start(task, configuration(task, tmp_path / str(learning_rate), **changes))
        weights = dict(trainer.model.named_parameters())
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        trainer.train()
        moved[learning_rate] = {
            name: float((weight - before[name]).abs().max().detach()) for name, weight in weights.items()
        }
        grouped = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
        assert sorted(map(id, grouped)) == sorted(map(id, weights.values())), "each weight is in one group"
        assert trainer.optimizer.param_groups[-1]["weight_decay"] == (0 if learning_rate is None else 0.5)

    # Adam's steps are as long as the learning rate, so a hundred times as long for the map; nothing else moves more.
    name = "rotation.linear.weight"
    assert moved[1e-3][name] > 30 * moved[None][name]
    assert all(moved[1e-3][other] < 3 * moved[None][other] for other in moved[None] if other != name)


def test_a_learning_rate_without_a_rotation_is_refused(task, tmp_path):
    with pytest.raises(ValueError, match=r"rotation_learning_rate is set, but encoder\.rotation is none"):
        configuration(task, tmp_path, **{"encoder.rotation_learning_rate": 1e-3})
    changes = {"encoder.rotation": "principal", "encoder.rotation_learning_rate": 0}
    with pytest.raises(ValueError, match="must be greater than 0, got 0"):
        configuration(task, tmp_path, **changes)


def test_refining_a_run_ranks_its_training_texts_better_at_each_width(task, tmp_path):
    config = configuration(task, tmp_path / "run", variant="mean_mrl", **{"refine.steps": 100})
    _, trainer = start(task, config)
    targets = task.targets("train")
    before = score_split(trainer, task, config, "train", [16, 64])
    refine(trainer.bi_encoder, task, config)
    after = score_split(trainer, task, config, "train", [16, 64])
    for width in (16, 64):
        gained = mean_average_precision(after[width], targets) - mean_average_precision(before[width], targets)
        assert gained > 0.05, width


class StopAfterFirstEpoch(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        raise KeyboardInterrupt


def test_an_interrupted_run_resumes_and_ends_with_the_same_predictions(task, tmp_path):
    changes = {"training.epochs": 2, "encoder.rotation": "principal", "encoder.rotation_learning_rate": 0.01}
    _, whole = start(task, configuration(task, tmp_path / "whole", **changes))
    whole.train()
    config = configuration(task, tmp_path / "resumed", **changes)
    _, interrupted = start(task, config)
    interrupted.add_callback(StopAfterFirstEpoch())
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()

    run, resumed = start(task, config)
    assert len(checkpoints(run.path("trainer"))) == 1
    resumed.resume_and_train(run, config.training)
    assert resumed.state.global_step == whole.state.global_step
    expected = score_split(whole, task, config, "test", [64])[64]
    assert score_split(resumed, task, config, "test", [64])[64] == pytest.approx(expected, abs=1e-4)


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    lengths = torch.randint(1, 100, (200,)).tolist()
    orders = {}
    for process in (0, 1):
        torch.manual_seed(process)
        sampler = EpochSeededLengthSampler(lengths, batch_size=4, seed=3)
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            orders[process, epoch] = list(sampler)
    assert orders[0, 0] == orders[1, 0]
    assert orders[0, 1] == orders[1, 1]
    assert orders[0, 0] != orders[0, 1]
    next_seed = EpochSeededLengthSampler(lengths, batch_size=4, seed=4)
    assert list(next_seed) not in (orders[0, 0], orders[0, 1]), "seeds do not share orders"
    assert sorted(orders[0, 1]) == list(range(200))
    batches = np.array(lengths)[orders[0, 0]].reshape(-1, 4)
    assert np.ptp(batches, axis=1).mean() < np.ptp(lengths) / 4


def test_the_prior_weight_with_the_best_validation_is_chosen():
    targets = np.zeros((2, 30), dtype=bool)
    targets[:, 29] = True
    popularity = np.arange(30, dtype=np.float32)
    recall = ranking_measure("recall_at_20", np.ones(30))
    quality = quality_by_weight(np.zeros((2, 30)), targets, popularity, [0.0, 1.0, 2.0], recall)
    assert best_weight(quality) == 1.0
    scores = np.tile(np.arange(30.0) ** 3, (2, 1))
    assert best_weight(quality_by_weight(scores, targets, popularity, [2.0, 0.0], recall)) == 0.0


def test_the_command_trains_and_refuses_an_unknown_variant(task, tmp_path):
    overrides = SMALL | {"task": task.path, "output": tmp_path / "run", "training.epochs": 1}
    arguments = [part for key, value in overrides.items() for part in (f"--{key}", json.dumps(value, default=str))]
    command = ["bi_encoder/train.py", "--config", "configs/bi_encoder/tiny.yaml", *arguments]
    settings = {"cwd": ROOT, "env": os.environ | {"HOME": str(tmp_path)}}

    refused = run_ready([*command, "--variant", "laa"], **settings)
    assert refused.returncode == 2
    assert "variant: Input should be 'retrieval', 'mean_mrl' or 'laa_mrl' (got 'laa')" in refused.stderr

    command += ["--variant", "mean_mrl", "--encoder.rotation", "principal", "--refine.steps", "20"]
    done = run_ready(command, **settings)
    assert done.returncode == 0, done.stderr
    assert f"checkpoint and predictions: {tmp_path / 'run'}" in done.stdout
    model, _ = load_bi_encoder(tmp_path / "run" / "checkpoint", codes=task.codes)
    weight = model.rotation.linear.weight
    # One epoch, and twenty steps alone, move it a little; without the start it would be no rotation at all.
    assert torch.allclose(weight @ weight.T, torch.eye(64), atol=0.2)
    index = CodeIndex.load(tmp_path / "run" / "index" / "codes.safetensors", model_fingerprint=model.fingerprint())
    assert index.codes == task.codes, "what is saved is the refined model, all of it"


def test_a_task_with_a_code_book_is_scored_by_all_names_and_leaves_what_repeats_its_scores(task, tmp_path):
    terms = [("I50.9", "weak heart"), ("E11.22", "sugar kidneys"), ("E11.22", "kidneys failing from sugar")]
    rows = [{"code": code, "term": term, "language": "en", "kind": "index"} for code, term in terms]
    task = replace(task, terms=pl.DataFrame(rows, schema=TERM_SCHEMA))
    changes = {
        "objective.name_lists": 2,
        "objective.hard_negatives": "mistakes",
        "selection.code_vectors": "best",
        "selection.definition_weight": 0.5,
        "selection.views_per_code": 3,
        "selection.rerank_candidates": 20,
        "selection.prior_form": "by_frequency",
        "selection.prior_by": "map_and_unseen_recall",
    }
    config = configuration(task, tmp_path / "run", variant="laa_mrl", **changes)
    run, trainer = start(task, config)
    trainer.train()
    metrics = outputs_of(trainer, task, config, run)
    final = run.finish()

    model, record = load_bi_encoder(final / "checkpoint", codes=task.codes)
    index = CodeIndex.load(final / "index" / "codes.safetensors", model_fingerprint=model.fingerprint())
    names = names_for_scoring(task, 3)
    assert index.groups.owner.tolist() == names.owner
    assert (record.code_vectors, record.views_per_code, record.definition_weight) == ("best", 3, 0.5)

    vectors = code_vectors_of(model, task, config)
    texts = split_windows(task, "test", model.tokenizer, config.encoder)
    scores = score_texts(
        model,
        texts,
        vectors.embeddings,
        owner=vectors.owner,
        widths=[64],
        temperature=record.temperature,
        overlap=record.window_overlap,
        rerank=record.rerank_candidates,
        rerank_views=record.rerank_views,
        definition_weight=record.definition_weight,
    )[64]
    prior = Prior(weight=record.prior_weight, offsets=record.prior_offsets).of_codes(task.train_counts)
    predictions = read_predictions(final)
    assert predictions.scores == pytest.approx(scores + prior, abs=1e-3)

    described = predictions.manifest["prior"]
    targets = task.targets("test")
    assert described["test_without"] == pytest.approx(ranking_metrics(scores, targets, task.train_counts), abs=1e-3)
    assert described["test"]["mean_average_precision"] == pytest.approx(
        mean_average_precision(predictions.scores, targets), abs=1e-3
    )
    assert described["validation"] == metrics.validation
    assert set(described["offsets"]) <= {"unseen", "1-10", "11-100", "> 100"}
