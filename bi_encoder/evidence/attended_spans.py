"""Evidence: the character spans of a note that label attention looked at for a code.

T tokens; `offsets` (T, 2) int: characters `[start, end)` of each token; `weights` (T,): what the model gives each.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from bi_encoder.inputs.batches import to_device
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import window_batch, windows_with_offsets
from bi_encoder.model import BiEncoder
from bi_encoder.predict import evaluation_mode
from bi_encoder.scoring.similarities import CodeVectors
from mera.system.errors import UserError

EVIDENCE_ROWS, EVIDENCE_CODES = 20, 10
"""Examples and codes of each whose evidence is kept with the predictions, for the report's example pages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Characters `[start, end)` of the note, and the share of the attention that fell on them (of a dictionary's phrase
    its precision, of BM25's sentence 1)."""

    start: int
    end: int
    weight: float


def evidence_spans(
    model: BiEncoder,
    query: QueryText,
    keys: Tensor,
    *,
    max_tokens: int,
    overlap: int = 32,
    mass: float = 0.5,
    owner: Tensor | None = None,
) -> list[list[Span]]:
    """For each code of `keys` (C, D), the fewest tokens of the note that hold `mass` of its attention; with `owner`
    (V,) int the keys are V vectors of C codes, and a code's attention is that of its best vector.

    Tokens with nothing but space between them are one span; spans come in text order, without surrounding spaces.
    Raises UserError where the model has no label attention or the query was not written from a note.
    """
    if query.note_start is None:
        raise UserError("evidence is looked for in a note, but this example has none")
    windows, offsets = windows_with_offsets(model.tokenizer, query.text, max_tokens, overlap)
    batch = window_batch(model.tokenizer, [windows], overlap)
    with evaluation_mode(model):
        weights_CT = model.token_weights(to_device(batch, model.device), keys, owner)[0].cpu().numpy()
    note, note_offsets = query.text[query.note_start :], np.maximum(offsets - query.note_start, 0)
    return [_spans(weights, note_offsets, note, mass) for weights in weights_CT]


def evidence_record(
    model: BiEncoder,
    queries: list[QueryText],
    vectors: CodeVectors,
    scores: np.ndarray,
    codes: list[str],
    *,
    max_tokens: int,
    overlap: int = 32,
) -> dict[str, dict[str, list[list[int]]]] | None:
    """Row -> code -> [start, end] in the note, for the EVIDENCE_CODES best codes of the first EVIDENCE_ROWS queries.

    What a prediction folder keeps as `evidence.json`; scores (N, C). None where no query was written from a note.
    """
    evidence = {}
    for row, query in enumerate(queries[:EVIDENCE_ROWS]):
        if query.note_start is None:
            continue
        best = np.argsort(-scores[row], kind="stable")[:EVIDENCE_CODES]
        of_best = vectors.of_codes(best)
        spans = evidence_spans(
            model, query, of_best.embeddings, max_tokens=max_tokens, overlap=overlap, owner=of_best.owner
        )
        evidence[str(row)] = {
            codes[column]: [[span.start, span.end] for span in places]
            for column, places in zip(best, spans, strict=True)
        }
    return evidence or None


def _spans(weights_T: np.ndarray, offsets: np.ndarray, note: str, mass: float) -> list[Span]:
    """offsets (T, 2): characters of the note; (0, 0) before it."""
    weights_T = np.where(offsets[:, 1] > offsets[:, 0], weights_T, 0.0)  # what stands before the note is none of it
    order = np.argsort(-weights_T, kind="stable")
    enough = int(np.searchsorted(np.cumsum(weights_T[order]), mass * weights_T.sum())) + 1
    spans: list[Span] = []
    for token in sorted(order[:enough]):
        start, end = offsets[token].tolist()
        if not note[start:end].strip():
            continue
        weight = float(weights_T[token])
        if spans and not note[spans[-1].end : start].strip():
            last = spans.pop()
            start, end, weight = last.start, max(end, last.end), weight + last.weight
        spans.append(Span(start=start, end=end, weight=weight))
    return [_trim(span, note) for span in spans]


def _trim(span: Span, note: str) -> Span:
    """The tokenizer counts a leading space to its token; evidence should not."""
    words = note[span.start : span.end]
    start = span.start + len(words) - len(words.lstrip())
    return Span(start=start, end=span.start + len(words.rstrip()), weight=span.weight)
