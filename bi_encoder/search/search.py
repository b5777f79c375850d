"""Searching an index of codes with a text of any kind: a phrase, a note.

A model with label attention finds candidates by the mean of the text's tokens first, then compares each with its own
evidence in the text (a re-rank), unless `exact` asks it to do so for every code.
"""

import numpy as np
import torch

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.evidence.attended_spans import Span, evidence_spans
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.batches import to_device
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import Windows, tokenize_windows, window_batch
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_windows, reading_once
from bi_encoder.search.fusion import reciprocal_ranks
from bi_encoder.search.results import FoundCode, check_request
from bi_encoder.search.word_search import WordSearch

CANDIDATES = 1000
"""Codes that the first pass keeps for the second."""


class CodeSearch:
    """Ranks the codes of `index` for a text. Raises UserError where the index is another model's."""

    def __init__(self, model: BiEncoder, record: ModelRecord, index: CodeIndex):
        index.check_model(model.fingerprint())
        self.model, self.record, self.index = model.eval(), record, index

    def search(self, text: str, top: int = 20, exact: bool = False, words: WordSearch | None = None) -> list[FoundCode]:
        """The `top` codes, best first. `exact`: label attention scores every code, not only the first pass's best.
        `words`: fuse the ranking by meaning with that by words (`bi_encoder.search.fusion`).

        The popularity prior of a trained model is left out: most codes of an ontology were never counted. Raises
        UserError where the text is blank or holds no token, or `top` is below 1.
        """
        check_request(text, top)
        with reading_once(self.model):
            columns, scores = self._rank(text, max(top, CANDIDATES) if words else top, exact)
            if words is not None:
                columns, scores = self._fused(columns, words, text, top)
            evidence = self._evidence(text, columns)
            terms = self._terms(text, columns, words)
        definitions = self.index.definitions or [""] * len(self.index.codes)
        return [
            FoundCode(
                code=self.index.codes[column], score=score, definition=definitions[column], evidence=spans, term=term
            )
            for column, score, spans, term in zip(columns.tolist(), scores.tolist(), evidence, terms, strict=True)
        ]

    def _fused(self, by_meaning: np.ndarray, words: WordSearch, text: str, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns and scores of the best `top` codes of both rankings."""
        column = {code: place for place, code in enumerate(self.index.codes)}
        named = [words.codes[place] for place in words.rank(text, max(top, CANDIDATES))[0].tolist()]
        by_words = np.array([column[code] for code in named if code in column], dtype=np.int64)
        scores = reciprocal_ranks([by_meaning, by_words], len(self.index.codes))
        best = np.argsort(-scores, kind="stable")[:top]
        return best, scores[best]

    def _terms(self, text: str, columns: np.ndarray, words: WordSearch | None) -> list[str]:
        """Which name of each code (n,) speaks for it: by words if there is one that shares any, else by meaning."""
        if self.index.texts is None and self.index.definitions is None:
            return [""] * len(columns)
        vector = self._vector(self._windows(text))
        terms = self.index.best_texts(vector[0], columns)
        if words is None:
            return terms
        scores, place = words.scores(text), {code: number for number, code in enumerate(words.codes)}
        for number, column in enumerate(columns.tolist()):
            named = place.get(self.index.codes[column])
            if named is not None and scores[named] > 0:
                terms[number] = words.best_names(text, np.array([named]))[0]
        return terms

    def _evidence(self, text: str, columns: np.ndarray) -> list[list[Span]]:
        if self.model.attention is None:
            return [[] for _ in columns]
        keys, owner = self._keys(columns)
        return evidence_spans(
            self.model,
            QueryText(text=text, note_start=0),
            keys,
            max_tokens=self.record.max_query_tokens,
            overlap=self.record.window_overlap,
            owner=owner,
        )

    def _rank(self, text: str, top: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Columns (top,) and cosine similarities (top,), best first."""
        windows = self._windows(text)
        num_codes, width = len(self.index.codes), self.index.embeddings.shape[1]
        top = min(top, num_codes)
        attends = self.model.attention is not None
        if attends and exact:
            return self._attended(windows, np.arange(num_codes), top)
        vector = self._vector(windows)
        # A single query compares all codes at full width in some milliseconds, sooner than short vectors are made.
        columns, scores = self.index.search_columns(vector, max(top, CANDIDATES) if attends else top, width)
        return self._attended(windows, np.sort(columns[0]), top) if attends else (columns[0], scores[0])

    def _windows(self, text: str) -> list[Windows]:
        return tokenize_windows(self.model.tokenizer, [text], self.record.max_query_tokens, self.record.window_overlap)

    def _vector(self, windows: list[Windows]) -> np.ndarray:
        """(1, D): the mean of the text's tokens."""
        vector: np.ndarray = embed_windows(self.model, windows, self.record.window_overlap).cpu().numpy()
        return vector

    def _keys(self, columns: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors of codes (n,) and whose they are, counted from 0."""
        rows, _ = self.index.groups.rows_of(columns)
        owner = np.repeat(np.arange(len(columns)), self.index.groups.counts[columns])
        keys = torch.from_numpy(self.index.embeddings[rows])
        return keys.to(self.model.device), torch.from_numpy(owner).to(self.model.device)

    @torch.no_grad()
    def _attended(self, windows: list[Windows], columns: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        batch = window_batch(self.model.tokenizer, windows, self.record.window_overlap)
        inputs = to_device(batch, self.model.device)
        keys, owner = self._keys(columns)
        widths = [self.model.hidden_size]
        cosines = self.model.similarities(inputs, keys, widths, owner=owner)[0][0].cpu().numpy()
        best = np.argsort(-cosines, kind="stable")[:top]
        return columns[best], cosines[best]
