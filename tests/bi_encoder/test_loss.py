"""The contrastive loss."""

import math

import pytest
import torch

from bi_encoder.loss import balancing_offset, matryoshka_info_nce, multi_positive_info_nce, sigmoid_loss


def naive_loss(scores, positive, temperature):
    rows = []
    for row_scores, row_positive in zip(scores.tolist(), positive.tolist(), strict=True):
        exponentials = [math.exp(score / temperature) for score in row_scores]
        negatives = sum(value for value, true in zip(exponentials, row_positive, strict=True) if not true)
        losses = [
            -math.log(value / (value + negatives))
            for value, true in zip(exponentials, row_positive, strict=True)
            if true
        ]
        if losses:
            rows.append(sum(losses) / len(losses))
    return sum(rows) / len(rows) if rows else 0.0


def random_batch(seed, rows=5, codes=9):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, codes, generator=generator)
    positive = torch.rand(rows, codes, generator=generator) < 0.3
    return scores, positive


@pytest.mark.parametrize(("seed", "temperature"), [(0, 1.0), (1, 0.2), (2, 3.0)])
def test_equals_the_naive_loop(seed, temperature):
    scores, positive = random_batch(seed)
    positive[3] = False
    expected = naive_loss(scores, positive, temperature)
    assert multi_positive_info_nce(scores, positive, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_uniform_scores_give_log_of_the_number_of_candidates():
    positive = torch.tensor([[True, False, False, False]])
    assert multi_positive_info_nce(torch.zeros(1, 4), positive).item() == pytest.approx(math.log(4))


def test_permuted_codes_give_the_same_value():
    scores, positive = random_batch(4)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        multi_positive_info_nce(scores, positive, 0.5),
        multi_positive_info_nce(scores[:, order], positive[:, order], 0.5),
    )


def test_a_batch_without_positives_is_zero_and_differentiable():
    scores = torch.randn(2, 3, requires_grad=True)
    loss = multi_positive_info_nce(scores, torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(2, 3))


def test_rows_that_are_all_positive_are_zero_and_keep_gradients_finite():
    scores = torch.randn(2, 3, requires_grad=True)
    loss = multi_positive_info_nce(scores, torch.ones(2, 3, dtype=torch.bool), 0.05)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(scores.grad).all()


def test_each_width_counts_by_its_weight():
    (narrow, positive), (wide, _) = random_batch(5), random_batch(6)
    found = matryoshka_info_nce([narrow, wide], positive, 0.5, [1.6, 0.4])
    expected = (1.6 * naive_loss(narrow, positive, 0.5) + 0.4 * naive_loss(wide, positive, 0.5)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_sigmoid_loss_is_that_of_a_loop_with_as_many_pairs_expected_as_are_true():
    scores, positive = random_batch(3)
    log_odds = scores.double() / 0.4
    offset = balancing_offset(log_odds, positive.sum()).item()
    chances = [[1 / (1 + math.exp(offset - value)) for value in row] for row in log_odds.tolist()]
    assert sum(map(sum, chances)) == pytest.approx(int(positive.sum()), abs=1e-4)
    expected = -sum(
        math.log(chance if true else 1 - chance)
        for row, truth in zip(chances, positive.tolist(), strict=True)
        for chance, true in zip(row, truth, strict=True)
    )
    loss = sigmoid_loss(scores, positive, 0.4)
    assert loss.item() == pytest.approx(expected / int(positive.sum()), rel=1e-4)
    assert sigmoid_loss(scores + 7.0, positive, 0.4).item() == pytest.approx(loss.item(), rel=1e-4)


def test_the_sigmoid_loss_compares_rows_which_info_nce_does_not():
    """A row whose scores are all higher by the same is as well ranked, but no one threshold suits it and the others."""
    scores, positive = random_batch(4)
    shifted = scores + torch.tensor([[3.0], [0.0], [0.0], [-3.0], [0.0]])
    assert multi_positive_info_nce(shifted, positive).item() == pytest.approx(
        multi_positive_info_nce(scores, positive).item(), rel=1e-4
    )
    assert sigmoid_loss(shifted, positive) > sigmoid_loss(scores, positive) + 0.1
    assert sigmoid_loss(scores, torch.zeros_like(positive)) == 0
