"""Stage two: the language model ranks a patient's next diagnoses.

accelerate launch rank/train.py --config configs/rank/tiny.yaml --model.base runs/memorize/checkpoint \\
    --task prepared/diabetes130 --output runs/rank
"""

import torch
from transformers import set_seed

from data.task import load_task, with_few_held_out
from mera.config import config_dict
from mera.doctor.dry_run import FEW_EXAMPLES, open_run, parse_training_config, rehearse
from mera.language_models.code_tokens import EOV, marker_id, token_ids
from mera.language_models.models import add_lora
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.predictions import memorization_record, predictions_for_task, task_record, write_predictions
from mera.training.checkpoint import save_checkpoint
from mera.training.entry_point import run_entry_point
from rank.attention import use_kernel
from rank.candidate_head import read_candidates_only
from rank.config import RankConfig
from rank.decision import best_micro_f1, fit_decision_rule, threshold_record
from rank.partial_outputs import PartialOutputCollator
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker
from rank.prompt import PromptBuilder
from rank.recurrence import Recurrence, add_recurrence, fit_rare_bonus, recurrence_weights
from rank.start import load_for_task, require_past_notes, training_examples
from rank.trainer import build_trainer
from rank.validation import Validation


def main() -> None:
    config, dry_run = parse_training_config(RankConfig, __doc__)
    run, clock = open_run(config.output, dry_run), RunClock()
    set_seed(config.training.seed)
    task = with_few_held_out(load_task(config.task), FEW_EXAMPLES) if dry_run else load_task(config.task)
    require_past_notes(task, config.prompt)
    run.claim(config_dict(config), task.fingerprint)
    model, tokenizer, code_tokens = load_for_task(config, task)
    builder = PromptBuilder(tokenizer, config.prompt, task.all_definitions | code_tokens.definitions)
    candidate_ids, eov_id = token_ids(tokenizer, task.codes), marker_id(tokenizer, EOV)
    group_ids = torch.from_numpy(task.group_ids(config.loss.levels))
    validation = Validation(task, builder, config.evaluation_batch_size)
    collator = PartialOutputCollator(
        candidate_ids, tokenizer.pad_token_id, config.loss.known == "ignore", config.prompt_weight
    )
    use_kernel(model, config.attention)
    if config.recurrence:
        model.recurrence = Recurrence(len(task.codes))
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora, whole=["recurrence"] if config.recurrence else [])
    read_candidates_only(model, candidate_ids, eov_id)
    trainer = build_trainer(
        model, training_examples(task, builder, config), collator, group_ids, validation, config, run
    )
    if dry_run:
        return rehearse(trainer, trainer.evaluate, dry_run)
    trainer.resume_and_train(run, config.training)

    trained = trainer.accelerator.unwrap_model(trainer.model)
    uses_eov = config.loss.threshold_weight > 0
    recurrence = recurrence_weights(trained, len(task.codes))
    scores, eov = validation.scores(trained)
    if config.recurrence and config.rare_recurrence == "fitted":
        rare_bonus = fit_rare_bonus(
            scores,
            validation.seen,
            validation.targets,
            task.train_counts,
            micro_f1=lambda raised: best_micro_f1(raised, eov, validation.targets, uses_eov),
        )
        recurrence = recurrence + rare_bonus
        scores = add_recurrence(scores, validation.seen, rare_bonus)
    rule = fit_decision_rule(scores, eov, validation.targets, uses_eov, config.eov_offset == "fitted")
    threshold = threshold_record(rule, scores, eov, validation.targets, uses_eov)
    trained_on = TrainedOn.of_task(task, config.prompt)
    ranker = Ranker(
        trained, tokenizer, task.codes, code_tokens.definitions, config.prompt, rule, recurrence, trained_on
    )
    ranker.add_definitions(task.all_definitions)
    rows = list(task.splits["test"])
    if config.decoding == "rank":
        scores, eov = ranker.score(rows, config.evaluation_batch_size)
        thresholds = rule.thresholds(scores, eov)
    else:
        scores, thresholds = ranker.decode(rows, config.evaluation_batch_size, config.max_targets)
    save_checkpoint(trainer, tokenizer, code_tokens, run.path("checkpoint"), leave_out="recurrence.")
    if trainer.is_world_process_zero():
        ranker.save_settings(run.path("checkpoint"))
        manifest = build_manifest(
            run=run.final.name,
            model=config.name,
            kind="rank",
            config=config_dict(config),
            seed=config.training.seed,
            task=task_record(task, "test"),
            clock=clock,
            tokens=trainer.tokens_trained_on(),
        )
        if config.decoding == "rank":
            manifest |= {"calibration": {"slope": rule.slope, "intercept": rule.intercept}, "threshold": threshold}
        records = {
            "training": trainer.state.log_history,
            "memorization": memorization_record(config.model.base),
        }
        predictions = predictions_for_task(task, "test", scores, thresholds, manifest, records)
        write_predictions(run.path("predictions"), predictions)
        print(f"checkpoint and predictions: {run.finish()}")


if __name__ == "__main__":
    run_entry_point(main)
