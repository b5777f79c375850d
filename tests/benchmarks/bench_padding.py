"""How many of the tokens that a training computes are padding: batches are of like length, and this is what is left.

python tests/benchmarks/bench_padding.py --task prepared/diabetes130
python tests/benchmarks/bench_padding.py --task prepared/mimic4-demo --stages rank --recipe tiny

The batches of one whole epoch, as the trainer makes them, with a model that has no weights; the recipe's batch size
and half of it, twice and four times.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

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
from rank.attention.masks import PADDING
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
    tables = None if wide is None else wide.scorer.tables
    validation = Validation(task, builder, ranking.evaluation_batch_size, tables)
    examples = training_examples(task, builder, ranking, wide)
    return stage_two(network, tokenizer, task, examples, validation, ranking, run, wide)


def padding_and_all(trainer: StageTrainer) -> tuple[int, int]:
    """Tokens of an epoch that are padding, and all."""
    padding = tokens = 0
    for batch in trainer.get_train_dataloader():
        is_padding = _is_padding(batch)
        padding += int(is_padding.sum())
        tokens += is_padding.numel()
    return padding, tokens


def _is_padding(batch: dict[str, Tensor]) -> Tensor:
    return batch["order_ids"] == PADDING if "order_ids" in batch else batch["attention_mask"] == 0


def sizes(stage: str, recipe: str, task: str, more: list[str]) -> Iterator[tuple[int, int, int]]:
    """(batch size, padding, tokens)."""
    words = ["--config", str(ROOT / "configs" / stage / f"{recipe}.yaml"), "--task", task, *more]
    base = ["--model.base", "null"] if stage == "rank" else []
    shape = '{"model_type": "mistral", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}'
    words += [*base, "--model.architecture", shape]
    with tempfile.TemporaryDirectory() as folder:
        size = trainer_of(stage, words, f"{folder}/recipe").args.per_device_train_batch_size
        for batch_size in (size // 2, size, 2 * size, 4 * size):
            trainer = trainer_of(
                stage,
                [*words, "--training.batch_size", str(batch_size), "--training.min_epoch_steps", "0"],
                str(Path(folder) / str(batch_size)),
            )
            yield batch_size, *padding_and_all(trainer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="a prepared task with histories")
    parser.add_argument("--stages", nargs="+", default=("memorize", "rank"), choices=("memorize", "rank"))
    parser.add_argument("--recipe", default="tiny")
    arguments, more = parser.parse_known_args()
    print("| stage | examples a batch | tokens an epoch | padding |\n|---|---|---|---|")
    for stage in arguments.stages:
        for batch_size, padding, tokens in sizes(stage, arguments.recipe, arguments.task, more):
            print(f"| {stage} | {batch_size} | {tokens:,} | {padding / tokens:.1%} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
