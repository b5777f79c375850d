"""The texts a code is seen by in training: its definition and its synonyms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.inputs.batches import tokenize
from bi_encoder.inputs.texts import key_texts
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelViews:
    """Every text of every code. The first C views are the definitions, in column order; C codes, V views."""

    token_ids: list[list[int]]
    owner: Tensor
    """(V,) int: the column of the code that a view belongs to."""
    synonyms: list[list[int]]
    """The views of each code's synonyms; may be empty."""

    @classmethod
    def of_task(cls, task: Task, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> "LabelViews":
        texts, owner, synonyms = key_texts(task), list(range(len(task.codes))), []
        for column, row in enumerate(task.synonyms):
            synonyms.append(list(range(len(texts), len(texts) + len(row))))
            texts += row
            owner += [column] * len(row)
        return cls(token_ids=tokenize(tokenizer, texts, max_tokens), owner=torch.tensor(owner), synonyms=synonyms)

    def draw(self, columns: Sequence[int], views: Literal["sampled", "both"], synonym_probability: float) -> Tensor:
        """Views of the codes `columns`: one of each, or the definition and, where there is one, a synonym of each.

        Draws from torch's global generator, which checkpoints restore.
        """
        drawn = []
        for column in columns:
            synonyms = self.synonyms[column]
            synonym = synonyms[int(torch.randint(len(synonyms), ()))] if synonyms else None
            if views == "both":
                drawn += [column] if synonym is None else [column, synonym]
            elif synonym is not None and torch.rand(()) < synonym_probability:
                drawn.append(synonym)
            else:
                drawn.append(column)
        return torch.tensor(drawn)
