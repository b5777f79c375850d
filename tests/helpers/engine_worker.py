"""Trains several small models, one after the other, under the engine it was launched with; writes their step losses.

accelerate launch --config_file launch/accelerate/zero2.yaml --num_processes 2 \\
    tests/helpers/engine_worker.py RUNS.json OUTPUT

RUNS.json: a list of {"name", "trainer", "task", "config"}, and, where a run is to be gone on with, "stop_after" a step,
at which it saves. OUTPUT/NAME.json gets the losses, OUTPUT/NAME the model; runs that are there already are resumed.
"""

import json
import sys
from pathlib import Path

from small_model import ARCHITECTURE
from transformers import TrainerCallback, set_seed

from bi_encoder.config import BiEncoderConfig
from bi_encoder.start import model_for_task
from bi_encoder.start import training_examples as bi_encoder_examples
from bi_encoder.trainer import build_trainer as build_bi_encoder_trainer
from bi_encoder.validation import Validation as BiEncoderValidation
from data.task import load_task
from memorize.code_sets.code_set import task_codes
from memorize.config import MemorizeConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.questions import QuestionBook, tokenizer_texts
from memorize.trainer import build_trainer as build_memorize_trainer
from mera.config import load_config
from mera.language_models.code_tokens import add_code_tokens
from mera.language_models.lora import add_lora
from mera.language_models.models import load_base_model
from mera.runs.run_directory import RunDirectory
from mera.training import engine
from mera.training.checkpoint import save_checkpoint
from mera.training.engine import zero_stage
from mera.training.entry_point import run_entry_point
from rank.config import RankConfig
from rank.prompt import PromptBuilder
from rank.start import model_for_task as model_for_rank
from rank.start import training_examples
from rank.trainer import build_trainer as build_rank_trainer
from rank.validation import Validation

TRAINING = {"training.epochs": 20, "training.learning_rate": 2e-3}  # more epochs than the 20 steps that are run
LANGUAGE_MODEL = {"model.architecture": ARCHITECTURE, "model.tokenizer_size": 600, "model.lora.dropout": 0.0}
ENCODER = {
    "encoder.architecture": {
        "model_type": "modernbert",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
    "encoder.tokenizer_size": 600,
    "encoder.max_query_tokens": 96,
    "encoder.window_overlap": 16,
    "encoder.rotation": "principal",
    "encoder.rotation_learning_rate": 4e-3,
    "objective.widths": [16, 32],
    "objective.synonym_probability": 0.0,
}
STEPS = 20
STOP_AFTER = {}
"""step by the name of the run"""


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def memorize(task, config, run):
    codes = task_codes(task)
    model, tokenizer = load_base_model(config.model, tokenizer_texts(codes))
    code_tokens = add_code_tokens(model, tokenizer, codes.meanings())
    book, encoder = QuestionBook(codes, config.questions), QuestionEncoder.of(model, tokenizer, config.questions)
    examples = tokenized(book.training(), encoder, config.model.max_length)
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora)

    def train(path):
        trainer = build_memorize_trainer(model, tokenizer, examples, book, encoder, config, run)
        some_steps(trainer, run, config)
        save_checkpoint(trainer, tokenizer, code_tokens, path)
        return trainer

    return train


def rank(task, config, run):
    model, tokenizer, code_tokens = model_for_rank(config, task)
    builder = PromptBuilder(tokenizer, config.prompt, code_tokens.definitions)
    validation = Validation(task, builder, config.evaluation_batch_size)
    examples = training_examples(task, builder, config)

    def train(path):
        trainer = build_rank_trainer(model, tokenizer, task, examples, validation, config, run)
        some_steps(trainer, run, config)
        save_checkpoint(trainer, tokenizer, code_tokens, path, "recurrence.")
        return trainer

    return train


def bi_encoder(task, config, run):
    model = model_for_task(config, task)
    examples = bi_encoder_examples(task, model.tokenizer, config.encoder)
    validation = BiEncoderValidation(task, model.tokenizer, config)

    def train(path):
        trainer = build_bi_encoder_trainer(model, task, examples, validation, config, run)
        some_steps(trainer, run, config)
        return trainer

    return train


def some_steps(trainer, run, settings):
    trainer.args.logging_steps, trainer.args.max_steps = 1, STEPS
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    trainer.args.load_best_model_at_end = False
    if zero_stage(trainer) == 3:  # else it would leave these small matrices whole
        config = trainer.accelerator.state.deepspeed_plugin.deepspeed_config
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    if run.final.name in STOP_AFTER:
        trainer.add_callback(StopAfter(STOP_AFTER[run.final.name]))
    trainer.resume_and_train(run, settings.training)


STAGES = {
    "memorize": (MemorizeConfig, LANGUAGE_MODEL, memorize),
    "rank": (RankConfig, LANGUAGE_MODEL, rank),
    "bi_encoder": (BiEncoderConfig, ENCODER, bi_encoder),
}


def main():
    engine.multiplies_bfloat16 = lambda: True  # the small models' products are quick on any processor
    runs, output = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    ready = {}
    # All models are built before the first trainer is: it starts the engine, which changes how models are built.
    for wanted in runs:
        set_seed(0)
        if "stop_after" in wanted:
            STOP_AFTER[wanted["name"]] = wanted["stop_after"]
        config_class, small, build = STAGES[wanted["trainer"]]
        places = {"task": wanted["task"], "output": str(output / "runs" / wanted["name"])}
        config = load_config(config_class, None, TRAINING | small | places | wanted["config"])
        ready[wanted["name"]] = build(load_task(wanted["task"]), config, RunDirectory(config.output))
    for name, train in ready.items():
        trainer = train(output / name)
        if trainer.is_world_process_zero():
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            (output / f"{name}.json").write_text(json.dumps(losses))


if __name__ == "__main__":
    run_entry_point(main)
