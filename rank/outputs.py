"""What a run of stage two leaves behind: a ranker for any patient, and predictions for those of the test split.

`rank/train.py` makes both; `rank/ablations/rescore.py` makes the predictions alone, with the ranker of a finished run.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from mera.config import config_dict
from mera.language_models.code_tokens import CodeTokens
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.trained_on import with_those_of
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.records import memorization_record, task_record
from mera.runs.run_directory import RunDirectory
from mera.training.checkpoint import save_checkpoint
from rank.config import Decoding, RankConfig
from rank.decision import DecisionRecord, DecisionRule, calibrated, decision_record, fit_decision_rule, order_quality
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker
from rank.start import codes_written_out, wide_loss
from rank.trainer import RankTrainer
from rank.validation import Validation
from rank.wide.rare_codes import fit_rare_bonus, move_up
from rank.wide.recurrence import SeenCodes, recurrence_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedPatients:
    """The patients of a split. N patients, C candidates."""

    scores: np.ndarray
    """(N, C), larger is more likely"""
    thresholds: np.ndarray
    """(N,) the score above which a patient's codes are predicted"""
    sentences: list[str]
    """what the prompts do not hold of the patients, in counts (`reading_sentences`)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedDecision:
    """What is fitted on the validation patients' scores, and these patients with it."""

    rule: DecisionRule
    rare_bonus: np.ndarray
    """(C,) what rare codes of the last visit are moved up by"""
    record: DecisionRecord
    """what the manifest says of it"""
    ranked: RankedPatients


def fit_decision(
    scores: np.ndarray,
    eov: np.ndarray,
    seen: Sequence[SeenCodes],
    task: Task,
    *,
    uses_eov: bool,
    fit_offset: bool,
    fit_rare: bool,
    sentences: Sequence[str] = (),
) -> FittedDecision:
    """First the threshold, which says what is predicted; then how far rare codes of the last visit move up on their
    side of it (without `fit_rare` they stay); then the probabilities that the scores stand for once they have moved.

    scores (N, C), eov (N,), `seen` N: of the validation patients; `sentences`: as `RankedPatients` has them.
    """
    targets = task.targets("validation")
    rule = fit_decision_rule(scores, eov, targets, uses_eov, fit_offset)
    thresholds, bonus = rule.thresholds(scores, eov), np.zeros(scores.shape[1], dtype=np.float32)
    if fit_rare:
        bonus = fit_rare_bonus(scores, thresholds, seen, task.train_counts, lambda moved: order_quality(moved, targets))
    moved = move_up(scores, thresholds, seen, bonus)
    rule = calibrated(rule, moved, eov, targets)
    return FittedDecision(
        rule=rule,
        rare_bonus=bonus,
        record=decision_record(rule, scores, eov, targets, uses_eov),
        ranked=RankedPatients(scores=moved, thresholds=thresholds, sentences=[*sentences]),
    )


def fit_ranker(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens,
    task: Task,
    validation: Validation,
    config: RankConfig,
) -> tuple[Ranker, DecisionRecord, RankedPatients]:
    """A ranker of the trained `model`, with what is fitted on validation: the threshold, the bonus of rare codes and
    the calibration; what the manifest says of them; and the validation patients as the ranker ranks them. Every
    process must call this."""
    wide, deep_share = None, None
    if validation.wide is not None:
        wide, deep_share = validation.best_wide_part(model, wide_loss(config, task))
    scores, eov = validation.scores(model, wide)
    fitted = fit_decision(
        scores,
        eov,
        validation.seen,
        task,
        uses_eov=config.loss.threshold_weight > 0,
        fit_offset=config.eov_offset == "fitted",
        fit_rare=config.wide != "none" and config.rare_recurrence == "fitted",
    )
    trained_on = TrainedOn.of_task(task, config.prompt)
    definitions, prompt = code_tokens.definitions, config.prompt
    ranker = Ranker(
        model,
        tokenizer,
        task.codes,
        definitions,
        prompt,
        fitted.rule,
        recurrence_weights(model, len(task.codes)),
        trained_on,
        task.rules,
        wide,
        code_tokens.events,
        fitted.rare_bonus,
        codes_written_out(task, definitions),
    )
    ranker.add_definitions(task.all_definitions)
    decision = fitted.record
    if deep_share is not None:
        decision["deep_share"] = deep_share
    if config.decoding == "rank":
        return ranker, decision, fitted.ranked
    ranked = rank_split(ranker, task, "validation", config.decoding, config.evaluation_batch_size, config.max_targets)
    return ranker, decision, ranked


def fit_decision_again(
    ranker: Ranker, task: Task, fit_offset: bool, fit_rare: bool, batch_size: int
) -> tuple[DecisionRecord, RankedPatients]:
    """Fit the rule and the bonus of rare codes of a loaded ranker on validation once more; they change in place, and
    the rule uses EOV if it did before. Returns what the manifest says of them, and the validation patients as ranked by
    the first output token."""
    sentences: list[str] = []
    rows = list(task.splits["validation"])
    fitted = fit_decision(
        *ranker.unmoved_scores(rows, batch_size, sentences.append),
        ranker.seen(rows),
        task,
        uses_eov=ranker.rule.eov_share > 0,
        fit_offset=fit_offset,
        fit_rare=fit_rare,
        sentences=sentences,
    )
    ranker.rule, ranker.rare_bonus = fitted.rule, fitted.rare_bonus
    return fitted.record, fitted.ranked


def rank_split(
    ranker: Ranker, task: Task, split: str, decoding: Decoding, batch_size: int, max_codes: int
) -> RankedPatients:
    """Rank the patients of a split by the first output token, or by writing up to `max_codes` codes one after the
    other."""
    rows = list(task.splits[split])
    sentences: list[str] = []
    if decoding == "rank":
        scores, eov = ranker.score(rows, batch_size, sentences.append)
        thresholds = ranker.rule.thresholds(scores, eov)
    else:
        scores, thresholds = ranker.decode(rows, batch_size, max_codes, sentences.append)
    return RankedPatients(scores=scores, thresholds=thresholds, sentences=sentences)


def save_ranker(trainer: RankTrainer, ranker: Ranker, code_tokens: CodeTokens, run: RunDirectory) -> None:
    """Write `checkpoint/`, which `Ranker.load` reads; every process must call this."""
    path = run.path("checkpoint")
    save_checkpoint(trainer, ranker.tokenizer, code_tokens, path, leave_out=("recurrence.", "wide."))
    if trainer.is_world_process_zero():
        ranker.save_settings(path)


def write_outputs(
    trainer: RankTrainer,
    task: Task,
    test: RankedPatients,
    validation: RankedPatients,
    decision: DecisionRecord,
    config: RankConfig,
    run: RunDirectory,
    clock: RunClock,
) -> None:
    """Write the `predictions/` and the `validation/` of a run that trained; says on stderr what the model did not read
    of the test patients."""
    sys.stderr.writelines(f"{sentence}\n" for sentence in test.sentences)
    write_ranked(
        task,
        test,
        validation,
        run,
        name=config.name,
        config=config_dict(config),
        seed=config.training.seed,
        decision=decision if config.decoding == "rank" else None,
        records={"training": trainer.state.log_history, "memorization": memorization_record(config.model.base)},
        clock=clock,
        tokens=trainer.tokens_trained_on(),
    )


def write_ranked(
    task: Task,
    test: RankedPatients,
    validation: RankedPatients,
    run: RunDirectory,
    *,
    name: str,
    config: dict[str, object],
    seed: int,
    decision: DecisionRecord | None,
    records: Mapping[str, object],
    clock: RunClock,
    tokens: int | None = None,
) -> None:
    """Write `predictions/` and `validation/`. `name`: the model's name in the report; `decision`: None where codes were
    written one after the other, whose scores are mere places; `records` as in mera/runs/predictions.py; `tokens`:
    tokens trained on."""
    manifest = build_manifest(
        run=run.final.name,
        model=name,
        kind="rank",
        config=config,
        seed=seed,
        task=task_record(task, "test"),
        clock=clock,
        tokens=tokens,
    )
    if decision is not None:
        manifest["calibration"], manifest["threshold"] = decision["calibration"], decision["threshold"]
        if "deep_share" in decision:
            manifest["deep_share"] = decision["deep_share"]
    model = config.get("model")
    base = model["base"] if isinstance(model, dict) else None
    predictions = predictions_for_task(task, "test", test.scores, test.thresholds, manifest, records)
    predictions = replace(predictions, trained_on=with_those_of(base, predictions.trained_on))
    write_predictions(run.path("predictions"), predictions)
    write_validation(run, task, validation.scores, validation.thresholds, manifest)
