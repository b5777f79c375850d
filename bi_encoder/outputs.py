"""What a bi-encoder run leaves behind: checkpoint, code index, predictions, metrics. N examples, C codes, D width."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np

from bi_encoder.checkpoint import ModelRecord, save_bi_encoder
from bi_encoder.config import BiEncoderConfig, matryoshka_widths, training_widths
from bi_encoder.evidence import evidence_record
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.texts import codes_without_definition, query_texts
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_codes, score_windows, split_windows
from bi_encoder.prior import best_weight, quality_by_weight
from bi_encoder.validation import METRICS, Validation, ranking_metrics
from data.task import Task
from mera.config import config_dict
from mera.evaluation.calibration import fit_platt
from mera.evaluation.threshold import best_threshold
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.predictions import predictions_for_task, task_record, write_predictions
from mera.runs.run_directory import RunDirectory, write_json

SPEED_QUERIES = 512
"""Searches timed at each width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMetrics:
    """What `metrics.json` holds."""

    prior_weight: float
    """Weight of log(1 + train count) in the scores."""
    threshold: float
    """Codes that score above it are predicted."""
    validation: dict[str, float]
    """`ranking_metrics` with the prior, at full width."""
    validation_by_width_without_prior: dict[str, dict[str, float]]
    """`ranking_metrics` of each Matryoshka width."""
    queries_in_several_windows: dict[str, int]
    """Split -> examples longer than the encoder's window."""
    codes_without_definition: int
    """Candidates that are read by the name of their group."""
    epochs: list[dict[str, float]]
    """Epoch, step and validation metrics of each evaluation in training."""


class WidthRecord(TypedDict):
    """What the report shows of a Matryoshka width."""

    width: int
    metrics: dict[str, float]
    queries_per_second: float
    """Searches of an index of this width."""
    bytes_per_code: int


def write_outputs(
    run: RunDirectory,
    config: BiEncoderConfig,
    task: Task,
    model: BiEncoder,
    validation: Validation,
    *,
    log: list[dict[str, float]],
    tokens: int,
    clock: RunClock,
) -> RunMetrics:
    """Choose prior and threshold on validation, score the test split once, write everything into `run`.

    `log`: the trainer's log history. `tokens`: how many it was trained on.
    """
    encoder, selection, full_width = config.encoder, config.selection, model.hidden_size
    widths = matryoshka_widths(config.objective.widths, full_width)
    scores_by_width = validation.scores(model, widths, progress="scoring validation")
    targets, prior = validation.targets, task.log_prior
    prior_weight = best_weight(
        quality_by_weight(
            scores_by_width[full_width], targets, prior, selection.prior_weights, METRICS[selection.keep_best_by]
        )
    )
    validation_scores = scores_by_width[full_width] + prior_weight * prior
    threshold = best_threshold(validation_scores, targets)
    test_windows = split_windows(task, "test", model.tokenizer, encoder)
    test_scores = score_windows(model, task, test_windows, [full_width], config, progress="scoring test")[full_width]
    test_scores += prior_weight * prior

    record = ModelRecord(
        variant=config.variant,
        temperature=config.objective.temperature,
        max_query_tokens=encoder.max_query_tokens,
        max_key_tokens=encoder.max_key_tokens,
        window_overlap=encoder.window_overlap,
        rerank_candidates=selection.rerank_candidates if selection.scoring == "rerank" else None,
        widths=training_widths(config, full_width)[0],
        task_fingerprint=task.fingerprint,
        prior_weight=prior_weight,
        threshold=threshold,
        codes=task.codes,
    )
    save_bi_encoder(model, run.path("checkpoint"), record)
    keys = embed_codes(model, task, encoder.max_key_tokens, selection.batch_size)
    embeddings = keys.cpu().numpy()
    CodeIndex.build(embeddings, task.codes, model.fingerprint()).save(run.path("index") / "codes.safetensors")
    metrics = RunMetrics(
        prior_weight=prior_weight,
        threshold=threshold,
        validation=ranking_metrics(validation_scores, targets),
        validation_by_width_without_prior={
            str(width): ranking_metrics(scores, targets) for width, scores in scores_by_width.items()
        },
        queries_in_several_windows={
            split: sum(len(windows) > 1 for windows in texts)
            for split, texts in (("validation", validation.windows), ("test", test_windows))
        },
        codes_without_definition=len(codes_without_definition(task)),
        epochs=[dict(entry) for entry in log if "eval_recall_at_20" in entry],
    )
    write_json(run.path("metrics.json"), asdict(metrics))
    manifest = build_manifest(
        run=run.final.name,
        model=f"bi-encoder {config.variant}",
        kind="bi_encoder",
        config=config_dict(config),
        seed=config.training.seed,
        task=task_record(task, "test"),
        clock=clock,
        tokens=tokens,
    )
    manifest["calibration"] = fit_platt(validation_scores - threshold, targets)
    records = {
        "training": log,
        "widths": width_records(metrics.validation_by_width_without_prior, embeddings, task.codes),
    }
    if model.attention is not None:
        queries = query_texts(task, "test")
        window = {"max_tokens": encoder.max_query_tokens, "overlap": encoder.window_overlap}
        records["evidence"] = evidence_record(model, queries, keys, test_scores, task.codes, **window)
    predictions = predictions_for_task(task, "test", test_scores, threshold, manifest, records)
    write_predictions(run.path("predictions"), predictions)
    return metrics


def width_records(
    metrics_by_width: dict[str, dict[str, float]], embeddings: np.ndarray, codes: Sequence[str]
) -> list[WidthRecord]:
    """For each width its metrics, how fast an index of it answers, and its size; embeddings (C, D)."""
    records: list[WidthRecord] = []
    queries = np.resize(embeddings, (SPEED_QUERIES, embeddings.shape[1]))
    for width, metrics in metrics_by_width.items():
        prefixes = embeddings[:, : int(width)]
        index = CodeIndex.build(prefixes, list(codes))
        start = time.perf_counter()
        index.search(queries[:, : int(width)], k=20)
        speed = SPEED_QUERIES / (time.perf_counter() - start)
        records.append(
            {
                "width": int(width),
                "metrics": metrics,
                "queries_per_second": speed,
                "bytes_per_code": prefixes[:1].astype(np.float32).nbytes,
            }
        )
    return records
