"""Evidence: the character spans of a note that label attention looked at for a code.

And whether the model looks where the annotators did: attention over a note's tokens against annotated characters.

T tokens; `offsets` (T, 2) int: characters `[start, end)` of each token; `weights` (T,): what the model gives each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from torch import Tensor

from bi_encoder.inputs.batches import to_device
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import window_batch, windows_with_offsets
from bi_encoder.model import BiEncoder
from bi_encoder.predict import evaluation_mode
from bi_encoder.similarities import CodeVectors
from mera.system.errors import UserError

EVIDENCE_ROWS, EVIDENCE_CODES = 20, 10
"""Examples and codes of each whose evidence is kept with the predictions, for the report's example pages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Characters `[start, end)` of the note, and the share of the attention that fell on them."""

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
    Raises ValueError where the model has no label attention or the query was not written from a note.
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
    order = np.argsort(-weights_T, kind="stable")
    enough = int(np.searchsorted(np.cumsum(weights_T[order]), mass)) + 1
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One code of one note. Chance is what equal weights on every token would give."""

    mass: float
    """Share of the weight inside the annotated characters."""
    mass_by_chance: float
    hit: float
    """1 where the heaviest token touches an annotated character (the pointing game, Zhang et al. 2018), else 0."""
    hit_by_chance: float


def gold_shares(offsets: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """(T,) in [0, 1]: the share of each token's characters that lies in any of the spans `[start, end)`.

    A character in two spans counts once; a token without characters has 0.
    """
    end = max([0, *(int(last) for _, last in spans), *offsets[:, 1].tolist()])
    is_gold = np.zeros(end + 1, dtype=bool)
    for first, last in spans:
        is_gold[first:last] = True
    gold_before = np.concatenate([[0], np.cumsum(is_gold)])
    starts, ends = offsets[:, 0], offsets[:, 1]
    return (gold_before[ends] - gold_before[starts]) / np.maximum(ends - starts, 1)


def agreement(weights: np.ndarray, offsets: np.ndarray, spans: Sequence[tuple[int, int]]) -> Agreement | None:
    """How the weights agree with the annotated spans of one code.

    Only tokens with characters count (not padding, nor the tokens added around a text), and only they are in chance.
    None where no token touches a span: annotated characters that the model did not read cannot be found, and are for
    the caller to count. Weights need not sum to 1; where all are zero, the mass is 0 and the first token is pointed at.
    """
    content = offsets[:, 1] > offsets[:, 0]
    weights, shares = weights[content], gold_shares(offsets[content], spans)
    if not (shares > 0).any():
        return None
    total = float(weights.sum())
    return Agreement(
        mass=float(weights @ shares) / total if total > 0 else 0.0,
        mass_by_chance=float(shares.mean()),
        hit=float(shares[np.argmax(weights)] > 0),
        hit_by_chance=float((shares > 0).mean()),
    )


def mean_agreement(agreements: Sequence[Agreement]) -> dict[str, float]:
    """Means over codes and notes, and how many times chance the mass and the hits are. Raises ValueError on none."""
    if not agreements:
        raise UserError("there is no annotated evidence in what the model read, so nothing can be compared with it")
    names = [field.name for field in fields(Agreement)]
    means = {name: float(np.mean([getattr(one, name) for one in agreements])) for name in names}
    return means | {
        "pairs": len(agreements),
        "mass_over_chance": means["mass"] / means["mass_by_chance"],
        "hit_over_chance": means["hit"] / means["hit_by_chance"],
    }
