"""What a checkpoint knows of the codes: exact match both ways, groups, held-out synonyms and wording, and its errors.

mera recall runs/memorize/checkpoint
mera recall runs/rank/checkpoint --task prepared/diabetes130 --json recall.json
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
from pathlib import Path

from memorize.breakdown import breakdown, print_breakdown
from memorize.encoding import QuestionEncoder
from memorize.forgetting import measured_text
from memorize.measurement import measure, what_to_ask
from memorize.questions import QuestionBook
from memorize.recall import print_shares
from mera.language_models.models import open_checkpoint
from mera.system.errors import CommandLine, UserError
from mera.system.terminal import as_json
from mera.training.entry_point import run_entry_point


def main() -> None:
    parser = CommandLine(prog="mera recall", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint directory that memorize/train.py or rank/train.py wrote"
    )
    parser.add_argument(
        "--task", type=Path, help="measure the candidates of this prepared task, also by their frequency in training"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="questions asked at once (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    arguments = parser.parse_args()
    if arguments.batch_size < 1:
        raise UserError(f"--batch-size must be 1 or more, got {arguments.batch_size}")
    code_set, questions = what_to_ask(arguments.checkpoint, arguments.task)
    model, tokenizer = open_checkpoint(arguments.checkpoint)
    length = getattr(model.config, "max_position_embeddings", None) or 1024
    measurement = measure(
        model,
        QuestionEncoder.of(model, tokenizer, questions),
        QuestionBook(code_set, questions),
        measured_text(None),
        length,
        arguments.batch_size,
    )
    where = breakdown(measurement.answers, code_set)
    print_shares(
        {"share": measurement.shares()}, title=f"What {arguments.checkpoint} knows of {len(code_set.codes):,} codes"
    )
    print_breakdown(where)
    print(f"perplexity of general text: {measurement.perplexity:.1f}")
    if arguments.json is not None:
        record = {
            "codes": len(code_set.codes),
            "recall": measurement.shares(),
            "perplexity": measurement.perplexity,
            **where,
        }
        arguments.json.write_text(as_json(record), encoding="utf-8")


if __name__ == "__main__":
    run_entry_point(main)
