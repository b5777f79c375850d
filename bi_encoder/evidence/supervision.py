"""Annotated evidence as a training signal: attention mass on the annotated tokens, and fragments with their own codes.

B texts, T tokens, V views of codes (their texts), D width, S spans, P the most pairs of a view and a text with a span,
F fragments.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class SpanTargets(NamedTuple):
    """What a step knows of evidence."""

    spans: Tensor
    """(S, 4) int: text, column of the code, first token, token behind the last."""
    owners: Tensor
    """(V,) int: the column of the code that each view of the step belongs to."""
    fragment_tokens: int
    """Length of a fragment; 0: none are scored."""
    score_phrases: bool
    """Whether the spans themselves are scored."""


class SpanPairs(NamedTuple):
    """For each text the views of the codes that have a span in it."""

    views: Tensor
    """(B, P) int, filled up with other views."""
    is_pair: Tensor
    """(B, P) bool"""
    is_gold: Tensor
    """(B, P, T) bool: tokens of a span of the view's code."""


class EvidenceScores(NamedTuple):
    """What the losses of evidence are computed from."""

    log_mass: Tensor
    """(B, P): log of the attention that each view has on its spans."""
    is_pair: Tensor
    """(B, P) bool"""
    phrases: Tensor | None
    """(S, V): cosine similarities of the annotated phrases in their notes; None where they are not scored."""
    phrase_positive: Tensor | None
    """(S, V) bool: the view's code has a span that shares a token with the phrase."""
    fragments: Tensor | None
    """(F, V): cosine similarities of the fragments with a span; None where fragments are not scored."""
    fragment_positive: Tensor | None
    """(F, V) bool: the view's code has a span in the fragment."""


def span_pairs(targets: SpanTargets, num_texts: int, num_tokens: int) -> SpanPairs:
    """Which views look for what in a batch of texts of `num_tokens` tokens, padding included."""
    spans, owners = targets.spans, targets.owners
    text, column = spans[:, 0], spans[:, 1]
    is_of_view = column[:, None] == owners[None, :]
    has_span = torch.zeros((num_texts, len(owners)), device=owners.device).index_add_(0, text, is_of_view.float()) > 0
    most = max(int(has_span.sum(1).max()), 1)
    views = has_span.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    in_span = _tokens_of_spans(spans, num_tokens)
    is_of_pair = owners[views][text] == column[:, None]
    gold = torch.zeros((num_texts, most, num_tokens), device=owners.device)
    gold.index_add_(0, text, (is_of_pair[:, :, None] & in_span[:, None, :]).float())
    return SpanPairs(views, has_span.gather(1, views), gold > 0)


def log_mass_on(logits: Tensor, is_gold: Tensor) -> Tensor:
    """logits (B, P, T) of the attention before its softmax, is_gold (B, P, T) bool -> (B, P): log of the share of the
    attention on the gold tokens."""
    gold = logits.masked_fill(~is_gold, torch.finfo(logits.dtype).min)
    return torch.logsumexp(gold, dim=-1) - torch.logsumexp(logits, dim=-1)


def span_loss(log_mass: Tensor, is_pair: Tensor) -> Tensor:
    """-log of the attention on the spans, log_mass and is_pair (B, P): mean over the pairs of a text, then over the
    texts that have one; 0 if none has."""
    num_pairs = is_pair.sum(dim=1)
    of_text = -torch.where(is_pair, log_mass, 0.0).sum(dim=1) / num_pairs.clamp(min=1)
    return of_text.sum() / (num_pairs > 0).sum().clamp(min=1)


def phrases_of(states: Tensor, targets: SpanTargets) -> tuple[Tensor, Tensor]:
    """states (B, T, D) -> the mean state of each span (S, D), as it stands in its note, and positive (S, V) bool.

    What label attention should see for the code of the span, so that the code's vector is compared with the right
    tokens from the first step on. The code of a span that shares a token with it is no negative.
    """
    spans = targets.spans
    lengths = spans[:, 3] - spans[:, 2]
    place = torch.arange(int(lengths.max()), device=spans.device)
    is_in = place < lengths[:, None]
    tokens = (spans[:, 2, None] + place).clamp(max=states.shape[1] - 1)
    means = (states[spans[:, 0, None], tokens] * is_in[..., None]).sum(1) / lengths[:, None]
    text, first, end = spans[:, 0], spans[:, 2], spans[:, 3]
    is_shared = (text[:, None] == text) & (first[:, None] < end) & (first < end[:, None])
    is_of_view = spans[:, 1, None] == targets.owners[None, :]
    return means, (is_shared.float() @ is_of_view.float()) > 0


def fragments_of(states: Tensor, content: Tensor, targets: SpanTargets) -> tuple[Tensor, Tensor, Tensor]:
    """The fragments with a span: states (B, T, D), content (B, T) bool -> states (F, N, D), content (F, N), positive
    (F, V) bool, with N `fragment_tokens`.

    Pieces of a text, one behind the other, that keep the states they have in the whole text; each is labelled with the
    codes that have a token of a span in it (Lopez-Garcia et al. 2021, doi 10.1109/ACCESS.2021.3080085, where pieces are
    encoded alone). The other codes of the text are negatives of the fragment.
    """
    size, (num_texts, num_tokens) = targets.fragment_tokens, content.shape
    missing = -num_tokens % size
    states, content = pad(states, (0, 0, 0, missing)), pad(content, (0, missing))
    per_text = (num_tokens + missing) // size
    in_fragment = _tokens_of_spans(targets.spans, num_tokens + missing).view(-1, per_text, size).any(dim=2)
    is_of_view = targets.spans[:, 1, None] == targets.owners[None, :]
    positive = torch.zeros((num_texts, per_text, len(targets.owners)), device=states.device)
    both = in_fragment[:, :, None] & is_of_view[:, None, :]
    positive = positive.index_add_(0, targets.spans[:, 0], both.float()).flatten(0, 1) > 0
    rows = positive.any(dim=1)
    return states.view(-1, size, states.shape[-1])[rows], content.view(-1, size)[rows], positive[rows]


def _tokens_of_spans(spans: Tensor, num_tokens: int) -> Tensor:
    """spans (S, 4) -> (S, T) bool."""
    token = torch.arange(num_tokens, device=spans.device)
    return (token >= spans[:, 2, None]) & (token < spans[:, 3, None])
