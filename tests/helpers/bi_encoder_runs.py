"""A small bi-encoder, configured, started and written as bi_encoder/train.py does it."""

from transformers import set_seed

from bi_encoder.config import BiEncoderConfig
from bi_encoder.evidence.annotated import SpanCounts
from bi_encoder.outputs import write_outputs
from bi_encoder.predict import score_windows, split_windows
from bi_encoder.start import model_for_task, training_examples
from bi_encoder.trainer import build_trainer
from bi_encoder.validation import Validation
from mera.config import load_config
from mera.root import ROOT
from mera.runs.manifest import RunClock
from mera.runs.run_directory import RunDirectory

SMALL = {
    "encoder.architecture": {
        "model_type": "modernbert",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
    "encoder.tokenizer_size": 800,
    "encoder.max_query_tokens": 128,
    "objective.widths": [16, 64],
    "training.epochs": 3,
    "training.min_steps": 0,
    "training.batch_size": 16,
    "training.learning_rate": 2e-3,
}


def configuration(task, output, **changes):
    overrides = SMALL | {"task": str(task.path), "output": str(output)} | changes
    return load_config(BiEncoderConfig, ROOT / "configs" / "bi_encoder" / "tiny.yaml", overrides)


def start(task, config):
    """What bi_encoder/train.py does before it trains."""
    run = RunDirectory(config.output)
    set_seed(config.training.seed)
    model = model_for_task(config, task)
    span_counts = SpanCounts() if config.evidence.is_on else None
    examples = training_examples(task, model.tokenizer, config.encoder, span_counts=span_counts)
    validation = Validation(task, model.tokenizer, config)
    return run, build_trainer(model, task, examples, validation, config, run)


def score_split(trainer, task, config, split, widths):
    """Width -> scores of the trainer's model, without the popularity prior."""
    model = trainer.bi_encoder
    return score_windows(model, task, split_windows(task, split, model.tokenizer, config.encoder), widths, config)


def outputs_of(trainer, task, config, run):
    """What bi_encoder/train.py does after it has trained."""
    model, log, tokens = trainer.bi_encoder, trainer.state.log_history, trainer.tokens_trained_on()
    validation = Validation(task, model.tokenizer, config)
    return write_outputs(run, config, task, model, validation, log=log, tokens=tokens, clock=RunClock())
