"""The stage-two losses against naive loops, by value and by gradient."""

import math

import pytest
import torch

from rank.loss import hierarchical_info_nce, threshold_loss


def naive_info_nce(scores, positive, ignored, group_ids, temperature=1.0, level_weights=None):
    num_levels, num_codes = group_ids.shape
    weights = level_weights or [1.0] * num_levels
    total = torch.zeros(())
    for level in range(num_levels):
        row_losses = []
        for row in range(scores.shape[0]):
            terms = []
            for code in range(num_codes):
                if not positive[row, code]:
                    continue
                denominator = torch.exp(scores[row, code] / temperature)
                for other in range(num_codes):
                    same_group = group_ids[level, other] == group_ids[level, code]
                    if same_group and not positive[row, other] and not ignored[row, other]:
                        denominator = denominator + torch.exp(scores[row, other] / temperature)
                terms.append(-torch.log(torch.exp(scores[row, code] / temperature) / denominator))
            if terms:
                row_losses.append(torch.stack(terms).mean())
        if row_losses:
            total = total + weights[level] * torch.stack(row_losses).mean()
    return total / sum(weights)


def naive_threshold(scores, eov, positive, ignored):
    row_losses = []
    for row in range(scores.shape[0]):
        codes = range(scores.shape[1])
        positives = [torch.exp(scores[row, c]) for c in codes if positive[row, c]]
        negatives = [torch.exp(scores[row, c]) for c in codes if not positive[row, c] and not ignored[row, c]]
        threshold = torch.exp(eov[row])
        loss = -torch.log(threshold / (threshold + sum(negatives)))
        if positives:
            loss = loss + sum(-torch.log(p / (sum(positives) + threshold)) for p in positives) / len(positives)
        row_losses.append(loss)
    return torch.stack(row_losses).mean()


def random_batch(seed, rows=7, codes=13):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(rows, codes, generator=generator) * 3
    eov = torch.randn(rows, generator=generator)
    kind = torch.randint(0, 4, (rows, codes), generator=generator)
    positive, ignored = kind == 0, kind == 1
    positive[2] = False
    ignored[3] = ~positive[3]
    group_ids = torch.stack(
        [
            torch.zeros(codes, dtype=torch.long),
            torch.randint(0, 3, (codes,), generator=generator),
            torch.randint(0, 6, (codes,), generator=generator),
            torch.arange(codes),
        ]
    )
    return scores, eov, positive, ignored, group_ids


def value_and_gradients(function, *inputs):
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    value = function(*inputs)
    value.backward()
    return value.detach(), [tensor.grad for tensor in inputs]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("temperature", "weights"), [(1.0, None), (0.5, [1.0, 2.0, 0.5, 0.0])])
def test_info_nce_equals_the_naive_loop(seed, temperature, weights):
    scores, _, positive, ignored, groups = random_batch(seed)
    fast = value_and_gradients(
        lambda s: hierarchical_info_nce(s, positive, ignored, groups, temperature, weights), scores
    )
    slow = value_and_gradients(lambda s: naive_info_nce(s, positive, ignored, groups, temperature, weights), scores)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_threshold_loss_equals_the_naive_loop(seed):
    scores, eov, positive, ignored, _ = random_batch(seed)
    fast = value_and_gradients(lambda s, e: threshold_loss(s, e, positive, ignored), scores, eov)
    slow = value_and_gradients(lambda s, e: naive_threshold(s, e, positive, ignored), scores, eov)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)


def test_uniform_scores_give_the_logarithm_of_the_candidates():
    scores = torch.zeros(1, 4)
    positive = torch.tensor([[True, False, False, False]])
    groups = torch.zeros(1, 4, dtype=torch.long)
    nothing = torch.zeros_like(positive)
    assert hierarchical_info_nce(scores, positive, nothing, groups).item() == pytest.approx(math.log(4))
    # One positive against EOV, EOV against three negatives: log 2 + log 4.
    assert threshold_loss(scores, torch.zeros(1), positive, nothing).item() == pytest.approx(math.log(8))


def test_no_positive_gives_zero_with_a_zero_gradient():
    scores = torch.randn(3, 5, requires_grad=True)
    nothing = torch.zeros(3, 5, dtype=torch.bool)
    loss = hierarchical_info_nce(scores, nothing, nothing, torch.zeros(1, 5, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.abs().max() == 0


def test_permuting_the_candidates_changes_nothing():
    scores, eov, positive, ignored, groups = random_batch(11)
    order = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(0))
    permuted = (scores[:, order], positive[:, order], ignored[:, order])
    torch.testing.assert_close(
        hierarchical_info_nce(*permuted, groups[:, order]), hierarchical_info_nce(scores, positive, ignored, groups)
    )
    torch.testing.assert_close(
        threshold_loss(permuted[0], eov, *permuted[1:]), threshold_loss(scores, eov, positive, ignored)
    )


def test_ignored_columns_are_as_if_absent():
    scores, eov, positive, ignored, groups = random_batch(3)
    ignored[:, 5], positive[:, 5] = True, False
    kept = [column for column in range(scores.shape[1]) if column != 5]
    torch.testing.assert_close(
        hierarchical_info_nce(scores, positive, ignored, groups),
        hierarchical_info_nce(scores[:, kept], positive[:, kept], ignored[:, kept], groups[:, kept]),
    )
    torch.testing.assert_close(
        threshold_loss(scores, eov, positive, ignored),
        threshold_loss(scores[:, kept], eov, positive[:, kept], ignored[:, kept]),
    )


def test_bfloat16_logits_are_computed_in_float32():
    scores, eov, positive, ignored, groups = random_batch(4)
    scores, eov = scores.bfloat16(), eov.bfloat16()
    from_bfloat16 = hierarchical_info_nce(scores, positive, ignored, groups)
    assert from_bfloat16.dtype == torch.float32
    torch.testing.assert_close(from_bfloat16, hierarchical_info_nce(scores.float(), positive, ignored, groups))
    torch.testing.assert_close(
        threshold_loss(scores, eov, positive, ignored), threshold_loss(scores.float(), eov.float(), positive, ignored)
    )


def test_a_group_far_below_the_rest_does_not_underflow():
    scores = torch.tensor([[0.0, 0.0, -300.0, -300.0]], requires_grad=True)
    positive = torch.tensor([[False, False, True, False]])
    groups = torch.tensor([[0, 0, 1, 1]])
    loss = hierarchical_info_nce(scores, positive, torch.zeros_like(positive), groups)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    torch.testing.assert_close(scores.grad, torch.tensor([[0.0, 0.0, -0.5, 0.5]]))
