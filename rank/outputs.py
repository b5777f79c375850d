"""What a run of stage two leaves behind: a ranker for any patient, and predictions for those of the test split.

`rank/train.py` makes both; `rank/ablations/rescore.py` makes the predictions alone, with the ranker of a finished run.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from mera.config import config_dict
from mera.language_models.code_tokens import CodeTokens
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.other_splits.validation_scores import write_validation
from mera.runs.predictions import predictions_for_task, write_predictions
from mera.runs.records import memorization_record, task_record
from mera.runs.run_directory import RunDirectory
from mera.training.checkpoint import save_checkpoint
from rank.config import Decoding, RankConfig
from rank.decision import DecisionRecord, best_micro_f1, decision_record, fit_decision_rule, ranking_quality
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker
from rank.start import wide_loss
from rank.trainer import RankTrainer
from rank.validation import Validation
from rank.wide.recurrence import add_recurrence, fit_rare_bonus, recurrence_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedPatients:
    """The patients of a split. N patients, C candidates."""

    scores: np.ndarray
    """(N, C), larger is more likely"""
    thresholds: np.ndarray
    """(N,) the score above which a patient's codes are predicted"""
    sentences: list[str]
    """what the prompts do not hold of the patients, in counts (`reading_sentences`)"""


def fit_ranker(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens,
    task: Task,
    validation: Validation,
    config: RankConfig,
) -> tuple[Ranker, DecisionRecord, RankedPatients]:
    """A ranker of the trained `model`, with what is fitted on validation: the bonus of rare codes, the threshold and
    the calibration; what the manifest says of the last two; and the validation patients as the ranker ranks them. Every
    process must call this."""
    recurrence = recurrence_weights(model, len(task.codes))
    wide, deep_share = None, None
    if validation.wide is not None:
        wide, deep_share = validation.best_wide_part(model, wide_loss(config, task))
    scores, eov = validation.scores(model, wide)
    targets, uses_eov = validation.targets, config.loss.threshold_weight > 0
    if config.wide != "none" and config.rare_recurrence == "fitted":
        rare_bonus = fit_rare_bonus(
            scores,
            validation.seen,
            task.train_counts,
            quality=lambda raised: float(np.mean(list(ranking_quality(raised, targets).values()))),
            micro_f1=lambda raised: best_micro_f1(raised, eov, targets, uses_eov),
        )
        recurrence = recurrence + rare_bonus
        scores = add_recurrence(scores, validation.seen, rare_bonus)
    rule = fit_decision_rule(scores, eov, targets, uses_eov, config.eov_offset == "fitted")
    trained_on = TrainedOn.of_task(task, config.prompt)
    definitions, prompt = code_tokens.definitions, config.prompt
    ranker = Ranker(
        model,
        tokenizer,
        task.codes,
        definitions,
        prompt,
        rule,
        recurrence,
        trained_on,
        task.rules,
        wide,
        code_tokens.events,
    )
    ranker.add_definitions(task.all_definitions)
    decision = decision_record(rule, scores, eov, targets, uses_eov)
    if deep_share is not None:
        decision["deep_share"] = deep_share
    if config.decoding == "rank":
        return ranker, decision, RankedPatients(scores=scores, thresholds=rule.thresholds(scores, eov), sentences=[])
    ranked = rank_split(ranker, task, "validation", config.decoding, config.evaluation_batch_size, config.max_targets)
    return ranker, decision, ranked


def fit_decision_again(
    ranker: Ranker, task: Task, fit_offset: bool, batch_size: int
) -> tuple[DecisionRecord, RankedPatients]:
    """Fit the rule of a loaded ranker on validation once more; it changes in place, and uses EOV if it did before.
    Returns what the manifest says of it, and the validation patients as ranked by the first output token."""
    sentences: list[str] = []
    scores, eov = ranker.score(list(task.splits["validation"]), batch_size, sentences.append)
    targets, uses_eov = task.targets("validation"), ranker.rule.eov_share > 0
    ranker.rule = fit_decision_rule(scores, eov, targets, uses_eov, fit_offset)
    ranked = RankedPatients(scores=scores, thresholds=ranker.rule.thresholds(scores, eov), sentences=sentences)
    return decision_record(ranker.rule, scores, eov, targets, uses_eov), ranked


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
    predictions = predictions_for_task(task, "test", test.scores, test.thresholds, manifest, records)
    write_predictions(run.path("predictions"), predictions)
    write_validation(run, task, validation.scores, validation.thresholds, manifest)
