"""The retrieval baseline: texts and codes in one space, in three variants.

accelerate launch bi_encoder/train.py --config configs/bi_encoder/tiny.yaml --task prepared/diabetes130 \\
    --output runs/laa_mrl --variant laa_mrl
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import sys

from transformers import set_seed

from bi_encoder.config import BiEncoderConfig
from bi_encoder.outputs import write_outputs
from bi_encoder.refine import refine
from bi_encoder.start import examples_to_learn, model_for_task, with_carried_evidence
from bi_encoder.trainer import build_trainer
from bi_encoder.validation import Validation
from data.task import load_task, with_few_held_out
from mera.config import config_dict
from mera.doctor.dry_run import FEW_EXAMPLES, open_run, parse_training_config, rehearse
from mera.runs.figures import print_end
from mera.runs.manifest import RunClock
from mera.training.entry_point import run_entry_point


def main() -> None:
    config, dry_run = parse_training_config(BiEncoderConfig, __doc__)
    run, clock = open_run(config.output, dry_run), RunClock()
    set_seed(config.training.seed)
    task = with_few_held_out(load_task(config.task), FEW_EXAMPLES) if dry_run else load_task(config.task)
    run.claim(config_dict(config), task.fingerprint)
    task, of_evidence = with_carried_evidence(task, config)
    model = model_for_task(config, task)
    examples, of_examples = examples_to_learn(task, model.tokenizer, config)
    sys.stderr.writelines(f"{sentence}\n" for sentence in [*of_evidence, *of_examples])
    validation = Validation(task, model.tokenizer, config)
    trainer = build_trainer(model, task, examples, validation, config, run)

    if dry_run:
        return rehearse(trainer, trainer.evaluate, dry_run)
    trainer.resume_and_train(run, config.training)
    trainer.gather_model()

    if trainer.is_world_process_zero():
        trained, log, tokens = trainer.bi_encoder, trainer.state.log_history, trainer.tokens_trained_on()
        if config.refine.steps:
            refine(trained, task, config)
        metrics = write_outputs(run, config, task, trained, validation, log=log, tokens=tokens, clock=clock)
        if metrics.codes_without_definition:
            print(f"codes without a definition, read by the name of their group: {metrics.codes_without_definition}")
        has_notes = "text" in task.splits["train"].column_names
        print_end(run.finish(), config.task, ("mera", "retrieval-baselines" if has_notes else "baselines"))


if __name__ == "__main__":
    run_entry_point(main)
