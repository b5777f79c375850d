"""Losses of annotated evidence, against loops over texts, codes and tokens; values and gradients."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from bi_encoder.evidence.supervision import SpanTargets, fragments_of, log_mass_on, phrases_of, span_loss, span_pairs
from bi_encoder.network.attention import LabelAttention, attended_similarities

OWNERS = torch.tensor([2, 4, 5, 7, 9, 4, 7])
"""Definitions of five codes, a further name of two of them."""
SPANS = torch.tensor([[0, 4, 1, 3], [0, 4, 6, 7], [0, 9, 2, 5], [2, 7, 0, 2], [2, 2, 5, 9], [2, 8, 3, 4]])
"""Code 8 has no view in the step; text 1 has no span."""
LENGTHS = [9, 5, 10]


def batch(seed=0, width=6):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(3, 10, width, generator=generator, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(len(OWNERS), width, generator=generator, dtype=torch.float64, requires_grad=True)
    content = torch.arange(10) < torch.tensor(LENGTHS)[:, None]
    return states, keys, content


def attention():
    return LabelAttention(0.3).double()


def targets(fragment_tokens=0):
    return SpanTargets(SPANS, OWNERS, fragment_tokens, True)


def gold_tokens(text, column):
    return {
        token
        for row, code, first, end in SPANS.tolist()
        if (row, code) == (text, column)
        for token in range(first, end)
    }


def vectorised_loss(states, keys, content):
    pairs = span_pairs(targets(), *content.shape)
    logits = attention().logits(normalize(states, dim=-1), content, normalize(keys, dim=-1)[pairs.views])
    return span_loss(log_mass_on(logits, pairs.is_gold), pairs.is_pair)


def loop_loss(states, keys, content):
    of_texts = []
    for text, length in enumerate(LENGTHS):
        losses = []
        for view, column in enumerate(OWNERS.tolist()):
            gold = gold_tokens(text, column)
            if not gold:
                continue
            key = keys[view] / keys[view].norm()
            weights = [torch.exp(key @ states[text, t] / states[text, t].norm() / 0.3) for t in range(length)]
            losses.append(-torch.log(sum(weights[t] for t in sorted(gold)) / sum(weights)))
        if losses:
            of_texts.append(sum(losses) / len(losses))
    return sum(of_texts) / len(of_texts)


def test_the_loss_of_the_attention_is_that_of_a_loop_and_so_is_its_gradient():
    inputs = batch()
    loss, twin = vectorised_loss(*inputs), loop_loss(*inputs)
    assert loss.item() == pytest.approx(twin.item(), abs=1e-6)
    for gradient, expected in zip(
        torch.autograd.grad(loss, inputs[:2]), torch.autograd.grad(twin, inputs[:2]), strict=True
    ):
        assert torch.allclose(gradient, expected, atol=1e-6)


def test_even_attention_on_two_of_nine_tokens_costs_the_logarithm_of_their_share():
    logits = torch.zeros(1, 1, 9)
    is_gold = torch.tensor([[[True, False, False, True] + 5 * [False]]])
    loss = span_loss(log_mass_on(logits, is_gold), torch.tensor([[True]]))
    assert loss.item() == pytest.approx(math.log(9 / 2), rel=1e-6)


def test_texts_without_a_span_cost_nothing_and_have_no_gradient():
    states, keys, content = batch()
    vectorised_loss(states, keys, content).backward()
    assert (states.grad[1] == 0).all()
    assert (states.grad[0, :9].abs().sum(1) > 0).all()
    assert span_loss(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool)) == 0


def test_an_annotated_phrase_is_the_mean_of_its_tokens_and_no_negative_of_a_code_that_shares_one():
    states, _, _ = batch()
    means, positive = phrases_of(states, targets())
    for row, (text, _, first, end) in enumerate(SPANS.tolist()):
        assert torch.allclose(means[row], states[text, first:end].mean(0))
        tokens = set(range(first, end))
        for view, column in enumerate(OWNERS.tolist()):
            shares = any(
                other == text and code == column and tokens & set(range(begin, stop))
                for other, code, begin, stop in SPANS.tolist()
            )
            assert positive[row, view] == shares


@pytest.mark.parametrize("size", [3, 4, 10, 16])
def test_fragments_have_the_codes_with_a_token_of_a_span_in_them(size):
    states, keys, content = batch()
    pieces, mask, positive = fragments_of(states, content, targets(size))
    expected = []
    for text in range(3):
        for start in range(0, 10, size):
            place = set(range(start, start + size))
            true = [bool(gold_tokens(text, column) & place) for column in OWNERS.tolist()]
            if any(true):
                expected.append((text, start, true))
    assert positive.tolist() == [true for *_, true in expected]
    scores = attended_similarities(attention(), pieces, mask, keys)
    for row, (text, start, _) in enumerate(expected):
        part, read = states[text : text + 1, start : start + size], content[text : text + 1, start : start + size]
        assert torch.allclose(scores[row], attended_similarities(attention(), part, read, keys)[0], atol=1e-9)


def test_padding_changes_no_loss():
    states, keys, content = batch()
    wider = torch.cat([states, torch.randn(3, 4, 6, dtype=torch.float64)], dim=1)
    mask = torch.cat([content, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    assert vectorised_loss(wider, keys, mask).item() == pytest.approx(vectorised_loss(states, keys, content).item())
