"""What a bi-encoder run leaves behind: checkpoint, code index, predictions, metrics."""

import time
from typing import Any

import numpy as np

from bi_encoder.checkpoint import ModelRecord, save_bi_encoder
from bi_encoder.config import BiEncoderConfig, matryoshka_widths
from bi_encoder.evidence import evidence_record
from bi_encoder.index import CodeIndex
from bi_encoder.predict import embed_codes, popularity
from bi_encoder.texts import codes_without_definition, query_texts
from bi_encoder.trainer import BiEncoderTrainer, choose_prior_weight, ranking_metrics
from data.task import Task
from mera.calibration import fit_platt
from mera.config import config_dict
from mera.manifest import RunClock, build_manifest
from mera.predictions import predictions_for_task, task_record, write_predictions
from mera.run_directory import RunDirectory, write_json
from mera.threshold import best_threshold

SPEED_QUERIES = 512
"""Searches timed at each width."""


def write_outputs(trainer: BiEncoderTrainer, run: RunDirectory, clock: RunClock) -> dict[str, Any]:
    """Choose prior and threshold on validation, score the test split, write everything; return the metrics."""
    config, task, model = trainer.bi_encoder_config, trainer.task, trainer.bi_encoder
    targets = task.targets("validation")
    widths = matryoshka_widths(config.objective.widths, model.hidden_size)
    by_width = trainer.score_split("validation", widths, progress=True)
    prior = popularity(task)
    selection = config.selection
    prior_weight = choose_prior_weight(
        by_width[model.hidden_size], targets, prior, selection.prior_weights, selection.keep_best_by
    )
    validation_scores = by_width[model.hidden_size] + prior_weight * prior
    threshold = best_threshold(validation_scores, targets)
    test_scores = trainer.score_split("test", [model.hidden_size], progress=True)[model.hidden_size]
    test_scores += prior_weight * prior

    record = ModelRecord(
        variant=config.variant,
        temperature=config.objective.temperature,
        max_query_tokens=config.encoder.max_query_tokens,
        max_key_tokens=config.encoder.max_key_tokens,
        window_overlap=config.encoder.window_overlap,
        rerank_candidates=selection.rerank_candidates if selection.scoring == "rerank" else None,
        widths=trainer.widths,
        task_fingerprint=task.fingerprint,
        prior_weight=prior_weight,
        threshold=threshold,
        codes=task.codes,
    )
    save_bi_encoder(model, run.path("checkpoint"), record)
    keys = embed_codes(model, task, config.encoder.max_key_tokens, selection.batch_size)
    embeddings = keys.cpu().numpy()
    CodeIndex.build(embeddings, task.codes, model.fingerprint()).save(run.path("index") / "codes.safetensors")
    measured = {
        "prior_weight": prior_weight,
        "threshold": threshold,
        "validation": ranking_metrics(validation_scores, targets),
        "validation_by_width_without_prior": {
            str(width): ranking_metrics(scores, targets) for width, scores in by_width.items()
        },
        "queries_in_several_windows": {
            split: sum(len(windows) > 1 for windows in trainer.query_windows(split)) for split in ("validation", "test")
        },
        "codes_without_definition": len(codes_without_definition(task)),
        "epochs": trainer.epoch_records(),
    }
    write_json(run.path("metrics.json"), measured)
    manifest = _manifest(config, task, run, clock, trainer.tokens_trained_on())
    manifest["calibration"] = fit_platt(validation_scores - threshold, targets)
    records = {
        "training": trainer.state.log_history,
        "widths": _width_records(measured["validation_by_width_without_prior"], embeddings, task.codes),
    }
    if model.attention is not None:
        queries = query_texts(task, "test")
        window = {"max_tokens": config.encoder.max_query_tokens, "overlap": config.encoder.window_overlap}
        records["evidence"] = evidence_record(model, queries, keys, test_scores, task.codes, **window)
    predictions = predictions_for_task(task, "test", test_scores, threshold, manifest, records)
    write_predictions(run.path("predictions"), predictions)
    return measured


def _width_records(
    quality: dict[str, dict[str, float]], embeddings: np.ndarray, codes: list[str]
) -> list[dict[str, Any]]:
    """For each width its metrics, how fast an index of it answers, and its size; embeddings (C, D)."""
    found = []
    queries = np.resize(embeddings, (SPEED_QUERIES, embeddings.shape[1]))
    for width, measured in quality.items():
        prefixes = embeddings[:, : int(width)]
        index = CodeIndex.build(prefixes, codes)
        start = time.perf_counter()
        index.search(queries[:, : int(width)], k=20)
        speed = SPEED_QUERIES / (time.perf_counter() - start)
        found.append(
            {
                "width": int(width),
                "metrics": measured,
                "queries_per_second": speed,
                "bytes_per_code": prefixes[:1].astype(np.float32).nbytes,
            }
        )
    return found


def _manifest(config: BiEncoderConfig, task: Task, run: RunDirectory, clock: RunClock, tokens: int) -> dict[str, Any]:
    return build_manifest(
        run=run.final.name,
        model=f"bi-encoder {config.variant}",
        kind="bi_encoder",
        config=config_dict(config),
        seed=config.training.seed,
        task=task_record(task, "test"),
        clock=clock,
        tokens=tokens,
    )
