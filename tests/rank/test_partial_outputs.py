"""Many orders behind one prompt give the loss and the gradients of the separate sequences."""

import pytest
import torch
from shared_prompt import (
    CANDIDATES,
    EOV_ID,
    EXAMPLES,
    GROUPS,
    NOTHING_SEEN,
    NUM_CODES,
    PAD_ID,
    PROMPT_WEIGHT,
    WITHOUT_ORDERS,
    assert_same_gradients,
    collated_loss,
    separate_loss,
)
from transformers import MistralConfig, MistralForCausalLM

from rank import row_chunks
from rank.candidate_head import read_candidates_only
from rank.config import LossConfig
from rank.loss import stage_two_loss
from rank.partial_outputs import PartialOutputCollator, RankingDataset, RankingExample
from rank.prompt import Prompt
from rank.wide.recurrence import Recurrence


def prompt(ids, visits=()):
    return Prompt(ids, [list(places) for places in visits])


def tiny_mistral(sliding_window=None, tied=False):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=sliding_window,
        tie_word_embeddings=tied,
    )
    model = MistralForCausalLM(config)
    model.recurrence = Recurrence(NUM_CODES)
    torch.nn.init.normal_(model.recurrence.per_code)
    return model


@pytest.mark.parametrize("examples", [EXAMPLES, WITHOUT_ORDERS], ids=["orders", "no orders"])
@pytest.mark.parametrize("known", ["negative", "ignore"])
@pytest.mark.parametrize("sliding_window", [None, 4])
@pytest.mark.parametrize("tied", [False, True])
def test_shared_prompt_equals_separate_sequences(examples, known, sliding_window, tied, monkeypatch):
    """Prompts of 6, 2 and 4 tokens, so there is padding; rows go through the loss five at a time."""
    monkeypatch.setattr(row_chunks, "CHUNK_ELEMENTS", 5 * (NUM_CODES + 1))
    config = LossConfig(levels=("all", "chapter"), known=known, threshold_weight=0.7, temperature=(1.0, 0.5))
    together, apart = tiny_mistral(sliding_window, tied), tiny_mistral(sliding_window, tied)
    read_candidates_only(together, CANDIDATES, EOV_ID)
    fast, slow = collated_loss(together, examples, config), separate_loss(apart, examples, config)
    (3.0 * fast).backward()
    (3.0 * slow).backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    assert_same_gradients(together, apart)


def test_a_window_that_is_too_short_would_be_noticed():
    config = LossConfig(levels=("all", "chapter"))
    model = tiny_mistral(sliding_window=4)
    separate = separate_loss(model, EXAMPLES, config).item()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    assert abs(collated_loss(model, EXAMPLES, config, sliding_window=None).item() - separate) > 1e-5


def test_batch_split_in_two_adds_up_to_the_whole():
    config = LossConfig(levels=("all", "chapter"))
    model = tiny_mistral()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    whole = collated_loss(model, EXAMPLES, config)
    collator = PartialOutputCollator(CANDIDATES, PAD_ID, False, PROMPT_WEIGHT)
    parts = [EXAMPLES[:1], EXAMPLES[1:]]
    batches = [collator(part) for part in parts]
    keys = ("weight_of_rows", "weight_of_positive_rows")
    step_rows = torch.tensor([sum(batch[key] for batch in batches) for key in keys])
    total = sum(collated_loss(model, part, config, step_rows=step_rows) for part in parts)
    torch.testing.assert_close(total, whole)


def test_a_hundred_targets_are_positives_though_forty_are_given():
    candidates = torch.arange(10, 130)
    targets = list(range(5, 105))
    dataset = RankingDataset([prompt([1, 3])], [targets], [NOTHING_SEEN], num_orders=2, max_targets=40, seed=0)
    batch = PartialOutputCollator(candidates, PAD_ID, False)([dataset[0]])
    assert batch["input_ids"].shape == (1, 2 + 2 * 40)
    assert batch["weight_of_rows"] == 2 * 41
    assert batch["positive"].sum(dim=1).tolist() == 2 * list(range(100, 59, -1))


def test_without_orders_there_is_one_row_per_example():
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, False)(WITHOUT_ORDERS)
    assert batch["logits_to_keep"].sum(dim=1).tolist() == [1, 1, 1]
    assert batch["positive"].sum(dim=1).tolist() == [3, 1, 4]


def test_rows_of_one_order():
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, True)(
        [RankingExample([1, 3], [4, 6, 9], [[6, 9, 4]], NOTHING_SEEN)]
    )
    assert [row.nonzero().flatten().tolist() for row in batch["positive"]] == [[4, 6, 9], [4, 9], [4], []]
    assert [row.nonzero().flatten().tolist() for row in batch["ignored"]] == [[], [6], [6, 9], [4, 6, 9]]
    assert (batch["weight_of_rows"], batch["weight_of_positive_rows"]) == (4, 3)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4]]


def test_the_prompts_end_has_its_weight_in_every_order():
    collator = PartialOutputCollator(CANDIDATES, PAD_ID, False, prompt_weight=3.0)
    batch = collator([RankingExample([1, 3], [4, 6], [[6, 4], [4, 6]], NOTHING_SEEN)])
    assert batch["row_weights"].tolist() == [3, 1, 1, 3, 1, 1]
    assert (batch["weight_of_rows"], batch["weight_of_positive_rows"]) == (10, 8)


def test_orders_depend_on_seed_epoch_and_example_alone():
    dataset = RankingDataset(
        [prompt([1])] * 3, [[0, 1, 2, 3, 4]] * 3, [NOTHING_SEEN] * 3, num_orders=2, max_targets=4, seed=7
    )
    first = dataset[1]
    assert dataset[1] == first
    assert all(len(order) == 4 for order in first.orders)
    assert dataset[2].orders != first.orders
    dataset.set_epoch(1)
    assert dataset[1].orders != first.orders
    dataset.set_epoch(0)
    assert dataset[1] == first
    assert dataset.lengths() == [9, 9, 9]


def test_history_dropout_leaves_out_codes_and_nothing_else():
    ids = [1, 20, 21, 22, 23, 24, 25, 26, 27, 3]
    dataset = RankingDataset(
        [prompt(ids, [range(1, 10)])],
        [[0]],
        [NOTHING_SEEN],
        num_orders=0,
        max_targets=1,
        seed=0,
        history_dropout=0.5,
    )
    kept = []
    for epoch in range(50):
        dataset.set_epoch(epoch)
        read = dataset[0].prompt_ids
        assert (read[0], read[-1]) == (1, 3)
        assert read == [token for token in ids if token in read]
        kept.append(len(read) - 2)
    assert 3 < sum(kept) / len(kept) < 5


def test_codes_are_shuffled_within_their_visit():
    """The first visit's codes are one token each, the second's are two: they move as a whole."""
    visit, ids = 9, [1, 9, 20, 21, 22, 9, 23, 33, 24, 34, 25, 35, 3]
    dataset = RankingDataset(
        [prompt(ids, [[2, 3, 4, 5], [6, 8, 10, 12]])],
        [[0]],
        [NOTHING_SEEN],
        num_orders=0,
        max_targets=1,
        seed=0,
        shuffle_codes=True,
    )
    seen = set()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        read = dataset[0].prompt_ids
        assert (read[0], read[1], read[5], read[-1]) == (1, visit, visit, 3)
        assert (sorted(read[2:5]), sorted(read[6:12:2])) == ([20, 21, 22], [23, 24, 25])
        assert [token + 10 for token in read[6:12:2]] == read[7:12:2]
        seen.add(tuple(read))
    assert len(seen) > 12


def test_codes_that_are_left_out_are_as_if_they_were_no_candidates():
    """loss.untrained: ignore"""
    left_out = torch.zeros(NUM_CODES, dtype=torch.bool)
    left_out[[6, 9]] = True  # targets of no example
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, ignore_known=True, left_out=left_out)(EXAMPLES)
    plain = PartialOutputCollator(CANDIDATES, PAD_ID, ignore_known=True)(EXAMPLES)
    assert torch.equal(batch["ignored"], plain["ignored"] | left_out)
    assert torch.equal(batch["positive"], plain["positive"])
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(len(batch["positive"]), NUM_CODES, generator=draw)
    eov = torch.randn(len(scores), generator=draw)
    for form in ("atlop", "probability"):
        config = LossConfig(levels=("all", "chapter"), threshold_form=form)
        ignoring = stage_two_loss(scores, eov, batch["positive"], batch["ignored"], GROUPS, config)
        fewer = [part[:, ~left_out] for part in (scores, plain["positive"], plain["ignored"])]
        without = stage_two_loss(fewer[0], eov, *fewer[1:], GROUPS[:, ~left_out], config)
        torch.testing.assert_close(ignoring, without)
