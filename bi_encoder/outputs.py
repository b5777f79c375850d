"""What a bi-encoder run leaves behind: checkpoint, code index, predictions, metrics. N examples, C codes, D width."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypedDict

import numpy as np

from bi_encoder.checkpoint import ModelRecord, save_bi_encoder
from bi_encoder.config import BiEncoderConfig, matryoshka_widths, training_widths
from bi_encoder.evidence.attended_spans import evidence_record
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.texts import codes_without_definition, query_texts
from bi_encoder.model import BiEncoder
from bi_encoder.predict import code_vectors_of, score_windows, split_windows
from bi_encoder.scoring.prior import Prior, fit_prior
from bi_encoder.validation import Validation, ranking_measure, ranking_metrics
from data.task import Task
from mera.config import config_dict
from mera.evaluation.calibration import fit_platt
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.trained_on import with_those_of
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.records import task_record
from mera.runs.run_directory import RunDirectory, write_json

SPEED_QUERIES = 512
"""Searches timed at each width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMetrics:
    """What `metrics.json` holds."""

    prior_weight: float
    """Weight of log(1 + train count) in the scores."""
    prior_offsets: dict[str, float]
    """Group of codes by train count -> what their scores have added beside that."""
    threshold: float
    """Codes that score above it are predicted."""
    validation: dict[str, float]
    """`ranking_metrics` with the prior, at full width."""
    validation_without_prior: dict[str, float]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chosen:
    """What the validation split decided. N its examples."""

    scores_by_width: dict[int, np.ndarray]
    """Width -> (N, C), without the prior."""
    prior: Prior
    scores: np.ndarray
    """(N, C), at full width with the prior."""
    threshold: float


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
    encoder, full_width = config.encoder, model.hidden_size
    targets, counts = task.targets("test"), task.train_counts
    chosen = _choose(config, task, model, validation)
    windows = split_windows(task, "test", model.tokenizer, encoder)
    scores = score_windows(model, task, windows, [full_width], config, progress="scoring test")[full_width]
    without_prior = ranking_metrics(scores, targets, counts)
    scores += chosen.prior.of_codes(counts)

    save_bi_encoder(model, run.path("checkpoint"), _model_record(config, task, model, chosen))
    vectors = code_vectors_of(model, task, config)
    index = CodeIndex.build(
        vectors.embeddings.cpu().numpy(), task.codes, model.fingerprint(), owner=vectors.owner.cpu().numpy()
    )
    index.save(run.path("index") / "codes.safetensors")
    metrics = _run_metrics(task, validation, chosen, {"validation": validation.windows, "test": windows}, log)
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
    manifest["calibration"] = fit_platt(chosen.scores - chosen.threshold, validation.targets)
    manifest["prior"] = {
        "form": config.selection.prior_form,
        "weight": chosen.prior.weight,
        "offsets": dict(chosen.prior.offsets),
        "validation": metrics.validation,
        "validation_without": metrics.validation_without_prior,
        "test": ranking_metrics(scores, targets, counts),
        "test_without": without_prior,
    }
    records = {
        "training": log,
        "widths": width_records(metrics.validation_by_width_without_prior, index),
    }
    if model.attention is not None:
        queries = query_texts(task, "test")
        window = {"max_tokens": encoder.max_query_tokens, "overlap": encoder.window_overlap}
        records["evidence"] = evidence_record(model, queries, vectors, scores, task.codes, **window)
    predictions = predictions_for_task(task, "test", scores, chosen.threshold, manifest, records)
    predictions = replace(predictions, trained_on=with_those_of(config.encoder.pretrained, predictions.trained_on))
    write_predictions(run.path("predictions"), predictions)
    write_validation(run, task, chosen.scores, chosen.threshold, manifest)
    return metrics


def _choose(config: BiEncoderConfig, task: Task, model: BiEncoder, validation: Validation) -> _Chosen:
    """Prior, then threshold."""
    selection, counts, full_width = config.selection, task.train_counts, model.hidden_size
    widths = matryoshka_widths(config.objective.widths, full_width)
    scores_by_width = validation.scores(model, widths, progress="scoring validation")
    measure = ranking_measure(selection.prior_by or selection.keep_best_by, counts)
    prior = fit_prior(
        scores_by_width[full_width], validation.targets, counts, selection.prior_form, selection.prior_weights, measure
    )
    scores = scores_by_width[full_width] + prior.of_codes(counts)
    return _Chosen(
        scores_by_width=scores_by_width,
        prior=prior,
        scores=scores,
        threshold=best_threshold(scores, validation.targets),
    )


def _model_record(config: BiEncoderConfig, task: Task, model: BiEncoder, chosen: _Chosen) -> ModelRecord:
    encoder, selection = config.encoder, config.selection
    return ModelRecord(
        variant=config.variant,
        temperature=config.objective.temperature,
        max_query_tokens=encoder.max_query_tokens,
        max_key_tokens=encoder.max_key_tokens,
        window_overlap=encoder.window_overlap,
        rerank_candidates=selection.rerank_candidates if selection.scoring == "rerank" else None,
        widths=training_widths(config, model.hidden_size)[0],
        task_fingerprint=task.fingerprint,
        prior_weight=chosen.prior.weight,
        prior_offsets=dict(chosen.prior.offsets),
        code_vectors=selection.code_vectors,
        views_per_code=selection.views_per_code,
        spans_per_code=selection.spans_per_code,
        rerank_views=selection.rerank_views,
        definition_weight=selection.definition_weight,
        threshold=chosen.threshold,
        codes=task.codes,
    )


def _run_metrics(
    task: Task,
    validation: Validation,
    chosen: _Chosen,
    windows: Mapping[str, Sequence[Sequence[object]]],
    log: list[dict[str, float]],
) -> RunMetrics:
    """`windows`: split -> the windows of each of its examples."""
    targets, counts = validation.targets, task.train_counts
    by_width = {width: ranking_metrics(scores, targets, counts) for width, scores in chosen.scores_by_width.items()}
    return RunMetrics(
        prior_weight=chosen.prior.weight,
        prior_offsets=dict(chosen.prior.offsets),
        threshold=chosen.threshold,
        validation=ranking_metrics(chosen.scores, targets, counts),
        validation_without_prior=by_width[max(by_width)],
        validation_by_width_without_prior={str(width): metrics for width, metrics in by_width.items()},
        queries_in_several_windows={
            split: sum(len(of_example) > 1 for of_example in texts) for split, texts in windows.items()
        },
        codes_without_definition=len(codes_without_definition(task)),
        epochs=[dict(entry) for entry in log if "eval_recall_at_20" in entry],
    )


def width_records(metrics_by_width: dict[str, dict[str, float]], index: CodeIndex) -> list[WidthRecord]:
    """For each width its metrics, how fast an index of such prefixes answers by exact search, and its size."""
    records: list[WidthRecord] = []
    queries = np.resize(index.embeddings, (SPEED_QUERIES, index.embeddings.shape[1]))
    for width, metrics in metrics_by_width.items():
        prefixes = index.embeddings[:, : int(width)]
        narrow = CodeIndex.build(prefixes, index.codes, owner=index.groups.owner)
        narrow.search(queries[:1, : int(width)], k=20, first_pass_dim=int(width))
        start = time.perf_counter()
        narrow.search(queries[:, : int(width)], k=20, first_pass_dim=int(width))
        speed = SPEED_QUERIES / (time.perf_counter() - start)
        records.append(
            {
                "width": int(width),
                "metrics": metrics,
                "queries_per_second": speed,
                "bytes_per_code": round(prefixes.astype(np.float32).nbytes / len(index.codes)),
            }
        )
    return records
