"""Adapt an encoder to notes without codes: continued pretraining by masked tokens, before bi_encoder/train.py.

accelerate launch bi_encoder/adapt.py --notes notes.csv --column note --pretrained intfloat/multilingual-e5-small \\
    --training.epochs 1 --output runs/adapted
accelerate launch bi_encoder/train.py ... --encoder.pretrained runs/adapted/encoder
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import hashlib
import sys
from contextlib import nullcontext
from dataclasses import asdict

from transformers import set_seed
from transformers.trainer_utils import get_last_checkpoint

from bi_encoder.adaptation.config import AdaptationConfig
from bi_encoder.adaptation.masked_tokens import build_trainer, measure, open_masked_model
from bi_encoder.adaptation.notes import read_notes, split_into_pieces
from mera.config import config_dict, parse_config
from mera.language_models.compiled_blocks import compiled_blocks
from mera.runs.run_directory import RunDirectory, write_json
from mera.training.entry_point import run_entry_point


def main() -> None:
    config = parse_config(AdaptationConfig, __doc__)
    run = RunDirectory(config.output)
    set_seed(config.training.seed)
    notes = read_notes(config.notes, config.column)
    run.claim(config_dict(config), hashlib.sha256("\0".join(notes.texts).encode()).hexdigest())
    if notes.num_empty:
        print(f"{notes.num_empty:,} rows without a note are left out", file=sys.stderr)
    model, tokenizer = open_masked_model(config.pretrained)
    pieces = split_into_pieces(notes.texts, tokenizer, config.max_tokens, config.held_out, config.training.seed)
    trainer = build_trainer(model, tokenizer, pieces, config, run)

    measured = (pieces.held_out, config.mask_probability, config.training.batch_size)
    before = measure(model, tokenizer, *measured)
    folder = run.path("trainer")
    kept = config.training.kept_activations
    with compiled_blocks(model, of_any_length=True, kept=kept) if config.training.compile else nullcontext():
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.is_dir() else None)
    if trainer.is_world_process_zero():
        adapted = trainer.accelerator.unwrap_model(trainer.model)
        after = measure(adapted, tokenizer, *measured)
        adapted.base_model.save_pretrained(run.path("encoder"))
        tokenizer.save_pretrained(run.path("encoder"))
        write_json(run.path("metrics.json"), {"before": asdict(before), "after": asdict(after)})
        for name, recall in (("before", before), ("after", after)):
            print(f"{name}: masked tokens guessed {recall.accuracy:.1%}, perplexity {recall.perplexity:.1f}")
        print(f"encoder: {run.finish() / 'encoder'}")


if __name__ == "__main__":
    run_entry_point(main)
