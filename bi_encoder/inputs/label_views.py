"""The texts a code is seen by in training: its definition and its further names."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from bi_encoder.config import NameKind
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
    names: Mapping[NameKind, list[list[int]]]
    """Kind of name -> for each code the views of its further names of that kind; may be empty."""

    @classmethod
    def of_task(
        cls,
        task: Task,
        tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
        max_terms: int | None = None,
        max_spans: int = 0,
    ) -> "LabelViews":
        """`max_terms`: of the terms of a code book, the shortest of each code; None: all. `max_spans`: of the annotated
        phrases, the most frequent; 0: none."""
        texts = key_texts(task)
        owner: list[int] = list(range(len(texts)))
        names: dict[NameKind, list[list[int]]] = {}
        for kind, by_code in further_names(task, max_terms, max_spans).items():
            names[kind] = []
            for column, of_code in enumerate(by_code):
                names[kind].append(list(range(len(texts), len(texts) + len(of_code))))
                texts += of_code
                owner += [column] * len(of_code)
        token_ids = tokenize(tokenizer, texts, max_tokens)
        return cls(texts=texts, token_ids=token_ids, owner=torch.tensor(owner), names=names)

    @property
    def num_codes(self) -> int:
        return int(self.owner.max()) + 1

    def draw(
        self,
        columns: Sequence[int],
        views: Literal["sampled", "both"],
        synonym_probability: float,
        kinds: Sequence[NameKind] = ("synonyms",),
    ) -> Tensor:
        """Views of the codes `columns`: one of each, or the definition and, where there is one, a further name of each.

        `kinds`: of the names that are drawn. Draws from torch's global generator, which checkpoints restore.
        """
        drawn = []
        for column in columns:
            name = self.draw_name(column, kinds)
            if views == "both":
                drawn += [column] if name is None else [column, name]
            elif name is not None and torch.rand(()) < synonym_probability:
                drawn.append(name)
            else:
                drawn.append(column)
        return torch.tensor(drawn)

    def draw_name(self, column: int, kinds: Sequence[NameKind], without: Container[int] = ()) -> int | None:
        """A view of one of the code's further names: of a random one of `kinds`, so that many terms do not crowd out a
        few synonyms, a random name that is not in `without`. None where there is none."""
        choices = [
            [view for view in self.names[kind][column] if view not in without] for kind in kinds if kind in self.names
        ]
        choices = [views for views in choices if views]
        if not choices:
            return None
        names = choices[int(torch.randint(len(choices), ()))] if len(choices) > 1 else choices[0]
        return names[int(torch.randint(len(names), ()))]
