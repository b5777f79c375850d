"""Notes against the names of codes: what scores them, with nothing learnt of notes but how popular a code is.

Q texts, C codes, V names of all codes, D width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from torch.nn.functional import normalize

from bi_encoder.baselines.bm25 import Bm25
from bi_encoder.checkpoint import ModelRecord
from bi_encoder.evidence.attended_spans import Span
from bi_encoder.index.term_index import TermIndex
from bi_encoder.index.vector_groups import VectorGroups
from bi_encoder.index.words import sentences
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_texts
from mera.runs.fitted_contents import Contents
from mera.system.errors import UserError

COSINES_AT_ONCE = 64_000_000
"""Cosines of names in memory at a time, 4 bytes each."""
SENTENCES_AT_ONCE = 500
"""Scored against all codes together, and those of one text more."""
WHOLE_TEXT, BEST_SENTENCE = "whole text", "best sentence"
"""Views of a text."""
Document = Literal["all words", "best name"]
"""Views of a code: all that it is called, or the best of its names."""
OpenModel = Callable[[str], tuple[BiEncoder, ModelRecord]]
"""Name or folder of an encoder -> the encoder."""


class NameScorer(Protocol):
    """Scores texts against the names of codes."""

    kind: ClassVar[str]

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(Q, C) float32."""
        ...

    def contents(self) -> Contents: ...


class WordScorer:
    """Words of the text against words of the code: BM25 over all of them, or `TermIndex`, the best of its names."""

    kind: ClassVar[str] = "BM25"

    def __init__(self, names: Sequence[Sequence[str]], document: Document, meanings: dict[str, str] | None = None):
        """names: those of each code (C). `meanings`: see `TermIndex`. Raises UserError where no name has a word."""
        self._names, self._document, self._meanings = names, document, meanings or {}
        if document == "all words":
            self.scores = Bm25([" ".join(row) for row in names]).scores
        else:
            self.scores = TermIndex.build(names, self._meanings).scores

    def contents(self) -> Contents:
        return Contents(
            settings={"document": self._document},
            arrays={"names_per_code": np.array([len(row) for row in self._names], dtype=np.int32)},
            lists={
                "names": [name for row in self._names for name in row],
                "words": list(self._meanings),
                "meanings": list(self._meanings.values()),
            },
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "WordScorer":
        names, ends = contents.lists["names"], np.cumsum(contents.arrays["names_per_code"]).tolist()
        rows = [names[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        meanings = dict(zip(contents.lists["words"], contents.lists["meanings"], strict=True))
        document: Document = "all words" if contents.text("document") == "all words" else "best name"
        return cls(rows, document, meanings)


class EncoderScorer:
    """Cosine similarity of mean-pooled embeddings, with the best of a code's vectors."""

    kind: ClassVar[str] = "untrained encoder"

    def __init__(self, model: BiEncoder, source: str, keys: torch.Tensor, owner: np.ndarray, max_query_tokens: int):
        """keys (V, D), of length 1; owner (V,) int: the code of each, ascending. `source`: where the model is opened
        from."""
        self._model, self._source, self._max_query_tokens = model, source, max_query_tokens
        self._keys, self._groups = keys, VectorGroups(owner, int(owner[-1]) + 1)

    @classmethod
    def of_names(
        cls, model: BiEncoder, record: ModelRecord, source: str, names: Sequence[Sequence[str]], max_query_tokens: int
    ) -> "EncoderScorer":
        """names: those of each code (C)."""
        owner = np.repeat(np.arange(len(names)), [len(row) for row in names])
        keys = normalize(embed_texts(model, [name for row in names for name in row], record.max_key_tokens), dim=-1)
        return cls(model, source, keys, owner, max_query_tokens)

    def of_definitions(self) -> "EncoderScorer":
        """The same with the first name of each code alone."""
        first, num_codes = torch.from_numpy(self._groups.starts), len(self._groups.starts)
        return EncoderScorer(self._model, self._source, self._keys[first], np.arange(num_codes), self._max_query_tokens)

    @property
    def has_further_names(self) -> bool:
        return not self._groups.single

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(Q, C) float32."""
        queries = normalize(embed_texts(self._model, texts, self._max_query_tokens, tower="query"), dim=-1)
        scores = np.empty((len(texts), len(self._groups.counts)), dtype=np.float32)
        step = max(1, COSINES_AT_ONCE // len(self._keys))
        for start in range(0, len(texts), step):
            cosines = (queries[start : start + step] @ self._keys.T).cpu().numpy()
            scores[start : start + step] = self._groups.best(cosines)
        return scores

    def contents(self) -> Contents:
        return Contents(
            settings={
                "encoder": self._source,
                "encoder_fingerprint": self._model.fingerprint(),
                "max_query_tokens": self._max_query_tokens,
            },
            arrays={"keys": self._keys.cpu().numpy(), "owner": self._groups.owner},
        )

    @classmethod
    def from_contents(cls, contents: Contents, open_model: OpenModel) -> "EncoderScorer":
        """Raises UserError where the encoder cannot be opened, or is another one by now."""
        source = contents.text("encoder")
        model, _ = open_model(source)
        if model.fingerprint() != contents.text("encoder_fingerprint"):
            raise UserError(f"the encoder {source} is another one than the run was made with; make the run again")
        keys = torch.from_numpy(contents.arrays["keys"]).to(model.device)
        return cls(model, source, keys, contents.arrays["owner"], int(contents.number("max_query_tokens")))


@dataclass(frozen=True, kw_only=True, slots=True)
class NameModel:
    """A scorer, how it sees a text, and what is added for how often training showed a code."""

    scorer: NameScorer
    by_sentence: bool
    added: np.ndarray
    """(C,) float32."""

    @property
    def kind(self) -> str:
        return self.scorer.kind

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(Q, C) float32."""
        scores = self.scorer.scores
        plain: np.ndarray = best_sentence_scores(scores, texts) if self.by_sentence else scores(texts)
        return plain + self.added

    def evidence(self, note: str, columns: np.ndarray) -> list[list[Span]]:
        """For each code of `columns` its best sentence; none where no sentence speaks of it, so that the code stands by
        its frequency alone, or where the texts are seen whole."""
        if not self.by_sentence:
            return [[] for _ in columns]
        places = sentence_places(note)
        scores = self.scorer.scores([note[start:end] for start, end in places])[:, columns]
        best = [Span(start=start, end=end, weight=1.0) for start, end in places]
        return [[best[row]] if score > 0 else [] for row, score in zip(scores.argmax(0), scores.max(0), strict=True)]

    def contents(self) -> Contents:
        of_scorer = self.scorer.contents()
        return Contents(
            settings={**of_scorer.settings, "by_sentence": self.by_sentence},
            arrays={**of_scorer.arrays, "added": self.added},
            lists=of_scorer.lists,
        )

    @classmethod
    def from_contents(cls, contents: Contents, scorer: NameScorer) -> "NameModel":
        return cls(scorer=scorer, by_sentence=bool(contents.settings["by_sentence"]), added=contents.arrays["added"])


def best_sentence_scores(score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """(N, C): for each code the score of the sentence that fits it best. `score`: texts -> (Q, C)."""
    split = [sentences(text) for text in texts]
    block = np.cumsum([len(parts) for parts in split]) // SENTENCES_AT_ONCE
    best = []
    for of_block in np.split(np.arange(len(texts)), np.flatnonzero(np.diff(block)) + 1):
        parts = [split[text] for text in of_block]
        starts = np.cumsum([0, *map(len, parts[:-1])])
        best.append(np.maximum.reduceat(score(list(chain.from_iterable(parts))), starts, axis=0))
    return np.concatenate(best)


def sentence_places(text: str) -> list[tuple[int, int]]:
    """Characters `[start, end)` of each of the `sentences` of a text."""
    places, behind = [], 0
    for sentence in sentences(text):
        start = text.index(sentence, behind)
        behind = start + len(sentence)
        places.append((start, behind))
    return places
