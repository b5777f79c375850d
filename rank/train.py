"""Stage two: the language model ranks a patient's next diagnoses.

accelerate launch rank/train.py --config configs/rank/tiny.yaml --model.base runs/memorize/checkpoint \\
    --task prepared/diabetes130 --output runs/rank
... --config configs/rank/verifier.yaml --candidates runs/codiesp/bm25 (docs/verification.md)
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import sys
from functools import partial

from transformers import set_seed

from mera.config import config_dict
from mera.doctor.dry_run import FEW_EXAMPLES, open_run, parse_training_config, rehearse
from mera.runs.figures import print_end
from mera.runs.manifest import RunClock
from mera.training.entry_point import run_entry_point
from rank.config import RankConfig
from rank.outputs import fit_ranker, rank_split, save_ranker, write_outputs
from rank.prompt import PromptBuilder
from rank.start import data_sentences, fitted_wide_part, model_for_task, task_to_rank, training_examples
from rank.trainer import build_trainer
from rank.validation import Validation
from rank.verification.run import train_verifier


def main() -> None:
    config, dry_run = parse_training_config(RankConfig, __doc__)
    run, clock = open_run(config.output, dry_run), RunClock()
    set_seed(config.training.seed)
    task = task_to_rank(config, FEW_EXAMPLES if dry_run else None)
    run.claim(config_dict(config), task.fingerprint)
    if config.candidates is not None:
        return train_verifier(config, task, run, clock, partial(rehearse, dry_run=dry_run) if dry_run else None)
    wide = fitted_wide_part(config, task)
    model, tokenizer, code_tokens = model_for_task(config, task, wide)
    known = task.all_definitions | code_tokens.definitions
    builder = PromptBuilder(tokenizer, config.prompt, known, code_tokens.events)
    validation = Validation(task, builder, config.evaluation_batch_size, None if wide is None else wide.scorer)
    examples = training_examples(task, builder, config, wide)
    sys.stderr.writelines(f"{sentence}\n" for sentence in data_sentences(task, examples, validation, config.prompt))
    trainer = build_trainer(model, tokenizer, task, examples, validation, config, run, wide)
    if dry_run:
        return rehearse(trainer, trainer.evaluate, dry_run)
    trainer.resume_and_train(run, config.training)
    trained = trainer.accelerator.unwrap_model(trainer.model)
    ranker, decision, of_validation = fit_ranker(trained, tokenizer, code_tokens, task, validation, config)
    test = rank_split(ranker, task, "test", config.decoding, config.evaluation_batch_size, config.max_targets)
    save_ranker(trainer, ranker, code_tokens, run)
    if trainer.is_world_process_zero():
        write_outputs(trainer, task, test, of_validation, decision, config, run, clock)
        print_end(run.finish(), config.task, ("mera", "baselines"))


if __name__ == "__main__":
    run_entry_point(main)
