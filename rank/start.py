"""What stage two starts from: a model with a token for each candidate, and the training examples."""

import sys
from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from mera.code_tokens import CodeTokens, stored_or_new_code_tokens
from mera.models import load_base_model
from rank.config import PromptConfig, RankConfig
from rank.partial_outputs import RankingDataset
from rank.prompt import PromptBuilder, build_prompts
from rank.recurrence import seen_codes


def require_past_notes(task: Task, prompt: PromptConfig) -> None:
    """Raise ValueError where the prompt is to hold notes of past visits and the task has none."""
    if prompt.past_note_tokens and not task.has_past_notes:
        raise ValueError(
            f"prompt.past_note_tokens is {prompt.past_note_tokens}, but {task.path} has no notes of past visits; "
            f"prepare it with `mera prepare SOURCE --past-notes`, or set prompt.past_note_tokens to 0"
        )


def load_for_task(config: RankConfig, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, CodeTokens]:
    """A checkpoint of stage one as it is; any other base model gets its code tokens here (no stage one).

    Raises ValueError where the checkpoint lacks tokens for the task's codes.
    """
    model, tokenizer = load_base_model(config.model, task.definitions)
    definitions = dict(zip(task.codes, task.definitions, strict=True))
    code_tokens = stored_or_new_code_tokens(config.model.base, model, tokenizer, definitions, config.initialisation)
    return model, tokenizer, code_tokens


def training_examples(task: Task, builder: PromptBuilder, config: RankConfig) -> RankingDataset:
    """The task's training rows as prompts and target columns. Rows are read once, one at a time: notes are long.

    True codes that are no candidates have no column, so they are neither positives nor negatives; stderr says how many.
    """
    column = task.column
    seen = []
    outside = task.outside_sentence("train")
    if outside is not None:
        print(outside, file=sys.stderr)

    def rows() -> Iterator[dict[str, Any]]:
        for row in task.splits["train"]:
            seen.append(seen_codes(row["history"], column))
            yield row

    return RankingDataset(
        build_prompts(builder, rows(), "train"),
        task.target_columns("train"),
        seen,
        num_orders=config.orders,
        max_targets=config.max_targets,
        seed=config.training.seed,
        history_dropout=config.history_dropout,
        shuffle_codes=config.shuffle_codes,
    )
