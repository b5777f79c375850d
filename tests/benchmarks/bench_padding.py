"""How many of the tokens that a training computes are padding: batches are of like length, and this is what is left;
in stage two also with packed rows.

python tests/benchmarks/bench_padding.py --task prepared/diabetes130
python tests/benchmarks/bench_padding.py --task prepared/mimic4-demo --stages rank --recipe tiny

The batches of one whole epoch, as the trainer takes and lays them out, with a model that has no weights; the recipe's
batch size (as the cohort wants it) and half of it, twice and four times.
"""

import argparse
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from memorize.config import MemorizeConfig
from memorize.encoding import QuestionEncoder
from memorize.questions import QuestionBook
from memorize.start import load_codes, model_for_codes
from memorize.start import training_examples as questions
from memorize.trainer import build_trainer as stage_one
from mera.doctor.dry_run import parse_training_config
from mera.root import ROOT
from mera.runs.run_directory import RunDirectory
from mera.training.stage_trainer import StageTrainer
from rank.attention.packing import packed
from rank.config import RankConfig
from rank.prompt import PromptBuilder
from rank.start import fitted_wide_part, model_for_task, task_to_rank, training_examples
from rank.trainer import build_trainer as stage_two
from rank.validation import Validation


def trainer_of(stage: str, words: list[str], output: str) -> StageTrainer:
    words = [*words, "--output", output, "--estimate", "unwritten"]
    run = RunDirectory(output)
    if stage == "memorize":
        config, _ = parse_training_config(MemorizeConfig, "", words)
        codes, _ = load_codes(config)
        model, tokenizer, _ = model_for_codes(config, codes)
        book, encoder = QuestionBook(codes, config.questions), QuestionEncoder(tokenizer, config.questions)
        return stage_one(model, tokenizer, questions(book, encoder, model, config), book, encoder, config, run)
    ranking, _ = parse_training_config(RankConfig, "", words)
    task = task_to_rank(ranking, None)
    wide = fitted_wide_part(ranking, task)
    network, tokenizer, tokens = model_for_task(ranking, task, wide)
    builder = PromptBuilder(tokenizer, ranking.prompt, task.all_definitions | tokens.definitions, tokens.events)
    scorer = None if wide is None else wide.scorer
    validation = Validation(task, builder, ranking.evaluation_batch_size, scorer)
    examples = training_examples(task, builder, ranking, wide)
    return stage_two(network, tokenizer, task, examples, validation, ranking, run, wide)


def layouts(stage: str, trainer: StageTrainer) -> Iterator[tuple[int, int, int, int]]:
    """Of each batch of an epoch: its tokens, and those computed in a row for each example; rows and tokens packed."""
    loader = trainer.get_train_dataloader()
    for places in loader.share:
        examples = [loader.dataset[place][1] for place in places]
        if stage == "memorize":
            lengths = [len(example["input_ids"]) for example in examples]
        else:
            lengths = [len(example.prompt_ids) + sum(map(len, example.orders)) for example in examples]
        rows = packed(lengths)
        width = max(sum(lengths[index] for index in row) for row in rows)
        yield sum(lengths), len(lengths) * max(lengths), len(rows), len(rows) * width


class Padding(NamedTuple):
    batch_size: int
    tokens: int
    """of an epoch, padding aside"""
    share: float
    """of the computed tokens, with a row for each example"""
    packed_share: float
    rows: float
    """packed, of a batch in the mean"""
    row_tokens: float
    """of a packed row in the mean over batches"""


def paddings(stage: str, recipe: str, task: str, more: list[str]) -> Iterator[Padding]:
    words = ["--config", str(ROOT / "configs" / stage / f"{recipe}.yaml"), "--task", task, *more]
    base = ["--model.base", "null"] if stage == "rank" else []
    shape = '{"model_type": "mistral", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}'
    words += [*base, "--model.architecture", shape]
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(stage, words, f"{folder}/run")
        size = trainer.args.per_device_train_batch_size
        for batch_size in (size // 2, size, 2 * size, 4 * size):
            trainer.args.per_device_train_batch_size = batch_size
            tokens, computed, rows, packed_tokens = zip(*layouts(stage, trainer), strict=True)
            widths = [whole / count for whole, count in zip(packed_tokens, rows, strict=True)]
            yield Padding(
                batch_size=batch_size,
                tokens=sum(tokens),
                share=1 - sum(tokens) / sum(computed),
                packed_share=1 - sum(tokens) / sum(packed_tokens),
                rows=sum(rows) / len(rows),
                row_tokens=sum(widths) / len(widths),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="a prepared task with histories")
    parser.add_argument("--stages", nargs="+", default=("memorize", "rank"), choices=("memorize", "rank"))
    parser.add_argument("--recipe", default="tiny")
    arguments, more = parser.parse_known_args()
    print("| stage | examples a batch | tokens an epoch | padding | packed | rows a batch x tokens |")
    print("|---|---|---|---|---|---|")
    for stage in arguments.stages:
        for measured in paddings(stage, arguments.recipe, arguments.task, more):
            packed_cells = f"{measured.packed_share:.1%} | {measured.rows:.1f} x {measured.row_tokens:.0f}"
            if stage == "memorize":  # it packs into one row, with flash attention alone
                packed_cells = " |"
            row = f"| {stage} | {measured.batch_size} | {measured.tokens:,} | {measured.share:.1%} | {packed_cells} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
