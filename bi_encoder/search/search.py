"""Searching an index of codes with a text of any kind: a phrase, a note.

A model with label attention finds candidates by the mean of the text's tokens first, then compares each with its own
evidence in the text (a re-rank), unless `exact` asks it to do so for every code.
"""

from dataclasses import dataclass

import numpy as np
import torch

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.evidence import Span, evidence_spans
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.batches import to_device
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import Windows, tokenize_windows, window_batch
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_windows
from mera.system.errors import UserError

CANDIDATES = 1000
"""Codes that the first pass keeps for the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCode:
    code: str
    score: float
    """Cosine similarity."""
    definition: str
    evidence: list[Span]
    """Where in the text the model looked; empty without label attention."""


def check_request(text: str, top: int) -> None:
    """Raises ValueError where there is nothing to search for, or nothing to show."""
    if not text.strip():
        raise UserError("there is nothing to search for: the text is empty")
    if top < 1:
        raise UserError(f"the number of codes to show must be at least 1, got {top}")


class CodeSearch:
    """Ranks the codes of `index` for a text. Raises ValueError where the index is another model's."""

    def __init__(self, model: BiEncoder, record: ModelRecord, index: CodeIndex):
        index.check_model(model.fingerprint())
        self.model, self.record, self.index = model.eval(), record, index

    def search(self, text: str, top: int = 20, exact: bool = False) -> list[FoundCode]:
        """The `top` codes, best first. `exact`: label attention scores every code, not only the first pass's best.

        The popularity prior of a trained model is left out: most codes of an ontology were never counted. Raises
        ValueError where the text is blank or holds no token, or `top` is below 1.
        """
        check_request(text, top)
        columns, scores = self._rank(text, top, exact)
        definitions = self.index.definitions or [""] * len(self.index.codes)
        evidence: list[list[Span]] = [[] for _ in columns]
        if self.model.attention is not None:
            query = QueryText(text=text, note_start=0)
            keys = torch.from_numpy(self.index.embeddings[columns]).to(self.model.device)
            evidence = evidence_spans(
                self.model, query, keys, max_tokens=self.record.max_query_tokens, overlap=self.record.window_overlap
            )
        return [
            FoundCode(code=self.index.codes[column], score=score, definition=definitions[column], evidence=spans)
            for column, score, spans in zip(columns.tolist(), scores.tolist(), evidence, strict=True)
        ]

    def _rank(self, text: str, top: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Columns (top,) and cosine similarities (top,), best first."""
        record = self.record
        windows = tokenize_windows(self.model.tokenizer, [text], record.max_query_tokens, record.window_overlap)
        num_codes, hidden_size = self.index.embeddings.shape
        top = min(top, num_codes)
        attends = self.model.attention is not None
        if attends and exact:
            return self._attended(windows, np.arange(num_codes), top)
        vector = embed_windows(self.model, windows, record.window_overlap).cpu().numpy()
        # A single query compares all codes at full width in some milliseconds, sooner than short vectors are made.
        columns, scores = self.index.search_columns(vector, max(top, CANDIDATES) if attends else top, hidden_size)
        return self._attended(windows, np.sort(columns[0]), top) if attends else (columns[0], scores[0])

    @torch.no_grad()
    def _attended(self, windows: list[Windows], columns: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        batch = window_batch(self.model.tokenizer, windows, self.record.window_overlap)
        inputs = to_device(batch, self.model.device)
        keys = torch.from_numpy(self.index.embeddings[columns]).to(self.model.device)
        cosines = self.model.similarities(inputs, keys, [self.model.hidden_size])[0][0].cpu().numpy()
        best = np.argsort(-cosines, kind="stable")[:top]
        return columns[best], cosines[best]
