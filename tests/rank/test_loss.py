"""The stage-two losses against naive loops, by value and by gradient."""

import math

import pytest
import torch

from rank import row_chunks
from rank.config import LossConfig
from rank.loss import hierarchical_info_nce, probability_threshold_loss, stage_two_loss, threshold_loss
from rank.row_chunks import loss_in_chunks


def naive_info_nce(scores, positive, ignored, group_ids, temperature=1.0, level_weights=None):
    num_levels, num_codes = group_ids.shape
    weights = level_weights or [1.0] * num_levels
    temperatures = temperature if isinstance(temperature, list) else [temperature] * num_levels
    total = torch.zeros(())
    for level in range(num_levels):
        temperature = temperatures[level]
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


def naive_probability_threshold(scores, eov, positive, ignored, probability):
    row_losses = []
    for row in range(scores.shape[0]):
        loss = torch.zeros(())
        for code in range(scores.shape[1]):
            odds = torch.exp(scores[row, code] - eov[row]) * probability / (1 - probability)
            if not ignored[row, code]:
                loss = loss - torch.log(odds / (1 + odds) if positive[row, code] else 1 / (1 + odds))
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


FORMS = [(1.0, None), (0.5, [1.0, 2.0, 0.5, 0.0]), ([1.0, 0.5, 2.0, 0.7], None), ([0.3, 1.0, 1.0, 2.0], [0, 1, 1, 3])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("temperature", "weights"), FORMS)
def test_info_nce_equals_the_naive_loop(dtype, seed, temperature, weights):
    scores, _, positive, ignored, groups = random_batch(seed)
    scores = scores.to(dtype)
    fast = value_and_gradients(
        lambda s: hierarchical_info_nce(s, positive, ignored, groups, temperature, weights), scores
    )
    slow = value_and_gradients(
        lambda s: naive_info_nce(s.float(), positive, ignored, groups, temperature, weights), scores
    )
    assert fast[0].dtype == torch.float32
    assert_equal(fast, slow)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("seed", range(3))
def test_threshold_loss_equals_the_naive_loop(dtype, seed):
    scores, eov, positive, ignored, _ = random_batch(seed)
    scores, eov = scores.to(dtype), eov.to(dtype)
    fast = value_and_gradients(lambda s, e: threshold_loss(s, e, positive, ignored), scores, eov)
    slow = value_and_gradients(lambda s, e: naive_threshold(s.float(), e.float(), positive, ignored), scores, eov)
    assert_equal(fast, slow)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_probability_threshold_loss_equals_the_naive_loop(dtype, probability):
    scores, eov, positive, ignored, _ = random_batch(4)
    inputs, more = (scores.to(dtype), eov.to(dtype)), (positive, ignored, probability)
    fast = value_and_gradients(lambda s, e: probability_threshold_loss(s, e, *more), *inputs)
    slow = value_and_gradients(lambda s, e: naive_probability_threshold(s.float(), e.float(), *more), *inputs)
    assert_equal(fast, slow)


def test_the_probability_threshold_is_where_it_was_asked_to_be():
    """Codes that are targets of 1, 2 and 4 of 5 patients: the best scores are log-odds, and EOV's those of 40%."""
    positive = torch.tensor([[row < 1, row < 2, row < 4] for row in range(5)])
    frequencies, eov = torch.tensor([0.2, 0.4, 0.8]), torch.tensor(3.0, requires_grad=True)
    scores = (frequencies.logit() - math.log(0.4 / 0.6) + eov.detach()).requires_grad_()
    inputs = (scores.expand(5, -1), eov.expand(5), positive, torch.zeros_like(positive))
    probability_threshold_loss(*inputs, probability=0.4).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(3))
    torch.testing.assert_close(eov.grad, torch.zeros(()))
    assert ((scores > eov) == (frequencies > 0.4)).all()


def assert_equal(fast, slow):
    """Values to float32's precision; gradients come back in the type of the logits, to that type's precision."""
    torch.testing.assert_close(fast[0], slow[0], rtol=1e-5, atol=1e-6)
    for one, other in zip(fast[1], slow[1], strict=True):
        precise = one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-5 if precise else 1e-2, atol=1e-6 if precise else 1e-4)


def test_one_temperature_per_level_is_a_mean_of_single_levels():
    scores, _, positive, ignored, groups = random_batch(6)
    temperatures, weights = [0.5, 1.0, 2.0, 4.0], [1.0, 0.0, 2.0, 3.0]
    single = [
        hierarchical_info_nce(scores, positive, ignored, groups[level : level + 1], temperature)
        for level, temperature in enumerate(temperatures)
    ]
    expected = sum(weight * loss for weight, loss in zip(weights, single, strict=True)) / sum(weights)
    torch.testing.assert_close(
        hierarchical_info_nce(scores, positive, ignored, groups, temperatures, weights), expected
    )


def test_numbers_are_one_per_level():
    scores, _, positive, ignored, groups = random_batch(0)
    with pytest.raises(ValueError, match="temperature needs one number per level: got 3 for 4 levels"):
        hierarchical_info_nce(scores, positive, ignored, groups, [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="level_weights needs one number per level: got 2 for 4 levels"):
        hierarchical_info_nce(scores, positive, ignored, groups, 1.0, [1.0, 1.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": (1.0, 2.0)}, r"loss.temperature needs 4 numbers, one per level, got 2"),
        ({"level_weights": (1.0,)}, r"loss.level_weights needs 4 numbers, one per level, got 1"),
        ({"temperature": (1.0, 1.0, 0.0, 1.0)}, "a positive temperature"),
        ({"level_weights": (0.0, 0.0, 0.0, 0.0)}, "one of them must be above 0"),
        ({"level_weights": (1.0, -1.0, 1.0, 1.0)}, "cannot be negative"),
        ({"threshold_probability": 1.0}, "above 0 and below 1"),
    ],
)
def test_bad_loss_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**settings)


def test_without_eov_only_info_nce_is_left():
    scores, eov, positive, ignored, groups = random_batch(8)
    config = LossConfig(threshold_weight=0.0)
    eov.requires_grad_()
    scores.requires_grad_()
    loss = stage_two_loss(scores, eov, positive, ignored, groups, config)
    torch.testing.assert_close(loss, hierarchical_info_nce(scores, positive, ignored, groups))
    loss.backward()
    assert eov.grad is None
    with_eov = stage_two_loss(scores, eov, positive, ignored, groups, LossConfig(threshold_weight=0.3))
    expected = loss + 0.3 * threshold_loss(scores, eov, positive, ignored)
    torch.testing.assert_close(with_eov, expected)
    config = LossConfig(threshold_weight=0.1, threshold_form="probability", threshold_probability=0.3)
    with_eov = stage_two_loss(scores, eov, positive, ignored, groups, config)
    expected = loss + 0.1 * probability_threshold_loss(scores, eov, positive, ignored, 0.3)
    torch.testing.assert_close(with_eov, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("form", ["atlop", "probability"])
def test_chunks_of_rows_equal_the_whole(form, chunk, dtype, monkeypatch):
    """7 rows read 4 positions of 3 examples: shared positions and examples add up their gradients."""
    scores, eov, positive, ignored, groups = random_batch(9)
    monkeypatch.setattr(row_chunks, "CHUNK_ELEMENTS", chunk * (scores.shape[1] + 1))
    row_read, row_example = torch.tensor([0, 1, 0, 2, 3, 3, 1]), torch.tensor([0, 0, 0, 1, 2, 2, 0])
    logits, bonus = torch.cat([scores, eov[:, None]], dim=1)[:4].to(dtype), scores[4:] / 3
    config = LossConfig(known="ignore", temperature=0.7, threshold_form=form)
    weights = torch.linspace(0.5, 2.0, 7)
    totals = torch.stack([weights.sum(), weights[positive.any(dim=1)].sum()])

    def share(s, e, rows):
        return stage_two_loss(s, e, positive[rows], ignored[rows], groups, config, weights[rows], totals)

    def whole(logits, bonus):
        read = logits.float()[row_read]
        return stage_two_loss(
            read[:, :-1] + bonus[row_example], read[:, -1], positive, ignored, groups, config, weights
        )

    fast = value_and_gradients(lambda *inputs: loss_in_chunks(*inputs, row_read, row_example, share), logits, bonus)
    slow = value_and_gradients(whole, logits, bonus)
    assert_equal(fast, slow)
    with torch.no_grad():
        torch.testing.assert_close(loss_in_chunks(logits, bonus, row_read, row_example, share), slow[0])


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
    torch.testing.assert_close(
        probability_threshold_loss(permuted[0], eov, *permuted[1:], 0.2),
        probability_threshold_loss(scores, eov, positive, ignored, 0.2),
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


def test_a_group_far_below_the_rest_does_not_underflow():
    scores = torch.tensor([[0.0, 0.0, -300.0, -300.0]], requires_grad=True)
    positive = torch.tensor([[False, False, True, False]])
    groups = torch.tensor([[0, 0, 1, 1]])
    loss = hierarchical_info_nce(scores, positive, torch.zeros_like(positive), groups)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    torch.testing.assert_close(scores.grad, torch.tensor([[0.0, 0.0, -0.5, 0.5]]))


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_the_share_of_a_step_is_the_whole_where_the_rows_are_all_of_it(weight):
    scores, eov, positive, ignored, groups = random_batch(11)
    weights = torch.full((7,), weight)
    rows = torch.stack([weights.sum(), weights[positive.any(dim=1)].sum()])
    whole = stage_two_loss(scores, eov, positive, ignored, groups, LossConfig(), weights)
    of_step = stage_two_loss(scores, eov, positive, ignored, groups, LossConfig(), weights, step_rows=rows)
    torch.testing.assert_close(of_step, whole)
    nothing = torch.zeros_like(positive)
    none = stage_two_loss(
        scores, eov, nothing, ignored, groups, LossConfig(), weights, torch.stack([rows[0], rows[0] * 0])
    )
    assert none.isfinite(), "a step without any positive"


@pytest.mark.parametrize("form", ["atlop", "probability"])
def test_a_row_of_weight_three_counts_as_three_rows(form):
    scores, eov, positive, ignored, groups = random_batch(10)
    times = torch.tensor([3, 1, 1, 2, 1, 1, 4])
    config = LossConfig(threshold_weight=0.7, temperature=0.5, threshold_form=form)

    def repeated(scores, eov):
        rows = torch.repeat_interleave(torch.arange(7), times)
        return stage_two_loss(scores[rows], eov[rows], positive[rows], ignored[rows], groups, config)

    def weighted(scores, eov):
        return stage_two_loss(scores, eov, positive, ignored, groups, config, times.float())

    assert_equal(value_and_gradients(weighted, scores, eov), value_and_gradients(repeated, scores, eov))
