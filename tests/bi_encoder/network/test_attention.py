"""Label-aware attention."""

import math

import pytest
import torch

from bi_encoder.network.attention import LabelAttention


def random_states(seed=0, texts=3, tokens=7, labels=5, width=4):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(texts, tokens, width, generator=generator)
    lengths = torch.tensor([7, 4, 1])
    mask = torch.arange(tokens)[None, :] < lengths[:, None]
    return states, mask, torch.randn(labels, width, generator=generator)


def test_equals_the_naive_loop():
    states, mask, labels = random_states()
    evidence, weights = LabelAttention(temperature=0.3)(states, mask, labels)
    for b in range(3):
        for c in range(5):
            exponentials = [
                math.exp(float(labels[c] @ states[b, t]) / 0.3) if mask[b, t] else 0.0 for t in range(states.shape[1])
            ]
            expected = [value / sum(exponentials) for value in exponentials]
            assert weights[b, c].tolist() == pytest.approx(expected, abs=1e-6)
            mean = sum(weight * states[b, t] for t, weight in enumerate(expected))
            assert evidence[b, c].tolist() == pytest.approx(mean.tolist(), abs=1e-5)


def test_padding_changes_nothing_and_gets_no_gradient():
    states, mask, labels = random_states()
    attention = LabelAttention()
    evidence, weights = attention(states, mask, labels)
    padded = torch.cat([states, torch.full((3, 6, 4), 1e4)], dim=1).requires_grad_()
    padded_mask = torch.cat([mask, torch.zeros(3, 6, dtype=torch.bool)], dim=1)
    padded_evidence, padded_weights = attention(padded, padded_mask, labels)
    assert torch.allclose(padded_evidence, evidence)
    assert torch.allclose(padded_weights[:, :, :7], weights)
    assert (padded_weights[:, :, 7:] == 0).all()
    padded_evidence.sum().backward()
    assert (padded.grad[~padded_mask] == 0).all()


def test_labels_in_chunks_give_the_same():
    states, mask, labels = random_states()
    attention = LabelAttention()
    chunks = torch.cat([attention(states, mask, chunk)[0] for chunk in labels.split(2)], dim=1)
    assert torch.allclose(chunks, attention(states, mask, labels)[0])


def test_a_text_without_tokens_gives_zeros():
    states, mask, labels = random_states()
    mask[2] = False
    evidence, weights = LabelAttention()(states, mask, labels)
    assert (evidence[2] == 0).all()
    assert (weights[2] == 0).all()


def test_equal_tokens_share_the_attention_equally():
    _, weights = LabelAttention()(torch.ones(1, 4, 2), torch.tensor([[True, True, True, False]]), torch.ones(1, 2))
    assert weights[0, 0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
