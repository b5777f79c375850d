"""The texts a code is seen by in training: its definition and its further names."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.inputs.batches import tokenize
from bi_encoder.inputs.code_names import further_names
from bi_encoder.inputs.texts import key_texts
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelViews:
    """Every text of every code. The first C views are the definitions, in column order; C codes, V views."""

    texts: list[str]
    token_ids: list[list[int]]
    owner: Tensor
    """(V,) int: the column of the code that a view belongs to."""
    names: list[list[list[int]]]
    """For each code the views of its further names, a list for each kind of name; no kind is empty."""

    @classmethod
    def of_task(cls, task: Task, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> "LabelViews":
        texts = key_texts(task)
        owner: list[int] = list(range(len(texts)))
        names: list[list[list[int]]] = []
        for column, kinds in enumerate(further_names(task)):
            names.append([])
            for kind in kinds:
                names[-1].append(list(range(len(texts), len(texts) + len(kind))))
                texts += kind
                owner += [column] * len(kind)
        token_ids = tokenize(tokenizer, texts, max_tokens)
        return cls(texts=texts, token_ids=token_ids, owner=torch.tensor(owner), names=names)

    def draw(
        self,
        columns: Sequence[int],
        views: Literal["sampled", "both"],
        synonym_probability: float,
        views_per_code: int = 2,
    ) -> Tensor:
        """Views of the codes `columns`: one of each; or (`both`) the definition and, where there are any, further names
        of each, up to `views_per_code` in all.

        Draws from torch's global generator, which checkpoints restore.
        """
        drawn = []
        for column in columns:
            if views == "both":
                of_code = [column]
                for _ in range(views_per_code - 1):
                    name = self.draw_name(column, of_code)
                    of_code += [] if name is None else [name]
                drawn += of_code
            else:
                name = self.draw_name(column)
                is_name = name is not None and torch.rand(()) < synonym_probability
                drawn.append(name if name is not None and is_name else column)
        return torch.tensor(drawn)

    def draw_name(self, column: int, without: Container[int] = ()) -> int | None:
        """A view of one of the code's further names: of a random kind, so that many terms do not crowd out a few
        synonyms, a random name that is not in `without`. None where there is none."""
        kinds = [[view for view in kind if view not in without] for kind in self.names[column]]
        kinds = [kind for kind in kinds if kind]
        if not kinds:
            return None
        kind = kinds[int(torch.randint(len(kinds), ()))] if len(kinds) > 1 else kinds[0]
        return kind[int(torch.randint(len(kind), ()))]
