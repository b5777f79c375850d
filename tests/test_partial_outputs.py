"""Many orders behind one prompt give the loss and the gradients of the separate sequences."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from rank.config import LossConfig
from rank.partial_outputs import PartialOutputCollator, RankingDataset, RankingExample
from rank.recurrence import seen_codes
from rank.trainer import stage_two_loss

NUM_CODES, FIRST_CODE, EOV_ID, PAD_ID = 12, 20, 40, 0
CANDIDATES = torch.arange(FIRST_CODE, FIRST_CODE + NUM_CODES)
GROUPS = torch.stack([torch.zeros(NUM_CODES, dtype=torch.long), torch.arange(NUM_CODES) // 4])
NOTHING_SEEN = seen_codes([], {})
EXAMPLES = [
    RankingExample([1, 5, 6, 7, 8, 3], [0, 4, 7], [[4, 0, 7], [7, 4, 0], [0, 7, 4]], NOTHING_SEEN),
    RankingExample([1, 3], [2], [[2], [2], [2]], NOTHING_SEEN),
    RankingExample([1, 9, 10, 3], [11, 5, 1, 8], [[5, 11, 8, 1], [1, 8, 5, 11], [8, 1, 11, 5]], NOTHING_SEEN),
]


def tiny_mistral(sliding_window=None):
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=48,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=sliding_window,
    )
    return MistralForCausalLM(config)


def collated_loss(model, examples, config, sliding_window=None):
    collator = PartialOutputCollator(CANDIDATES, PAD_ID, config.known == "ignore", sliding_window)
    batch = collator(examples)
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        position_ids=batch["position_ids"],
        logits_to_keep=batch["logits_to_keep"],
    ).logits
    rows = (batch["row_example"], batch["row_position"])
    scores, eov = logits[..., CANDIDATES][rows], logits[..., EOV_ID][rows]
    return stage_two_loss(scores, eov, batch["positive"], batch["ignored"], GROUPS, config)


def separate_loss(model, examples, config):
    """Each order and each number of known codes is a sequence of its own, without padding and without a mask."""
    scores, eov, positive, ignored = [], [], [], []
    for example in examples:
        for order in example.orders:
            for known in range(len(order) + 1):
                ids = [*example.prompt_ids, *(FIRST_CODE + code for code in order[:known])]
                last = model(input_ids=torch.tensor([ids])).logits[0, -1]
                scores.append(last[CANDIDATES])
                eov.append(last[EOV_ID])
                positive.append(torch.zeros(NUM_CODES, dtype=torch.bool))
                ignored.append(torch.zeros(NUM_CODES, dtype=torch.bool))
                positive[-1][[code for code in example.targets if code not in order[:known]]] = True
                if config.known == "ignore":
                    ignored[-1][order[:known]] = True
    stacked = (torch.stack(part) for part in (scores, eov, positive, ignored))
    return stage_two_loss(*stacked, GROUPS, config)


@pytest.mark.parametrize("known", ["negative", "ignore"])
@pytest.mark.parametrize("sliding_window", [None, 4])
def test_shared_prompt_equals_separate_sequences(known, sliding_window):
    config = LossConfig(levels=("all", "chapter"), known=known)
    together, apart = tiny_mistral(sliding_window), tiny_mistral(sliding_window)
    fast, slow = collated_loss(together, EXAMPLES, config, sliding_window), separate_loss(apart, EXAMPLES, config)
    fast.backward()
    slow.backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    for (name, first), (_, second) in zip(together.named_parameters(), apart.named_parameters(), strict=True):
        error = (first.grad - second.grad).norm() / second.grad.norm()
        assert error < 1e-5, f"{name}: relative error {error:.1e}"


def test_a_window_that_is_too_short_would_be_noticed():
    config = LossConfig(levels=("all", "chapter"))
    model = tiny_mistral(sliding_window=4)
    without_window = collated_loss(model, EXAMPLES, config, sliding_window=None)
    assert abs(without_window.item() - separate_loss(model, EXAMPLES, config).item()) > 1e-5


def test_batch_split_in_two_adds_up_to_the_whole():
    config = LossConfig(levels=("all", "chapter"))
    model = tiny_mistral()
    collator = PartialOutputCollator(CANDIDATES, PAD_ID, False)
    whole = collated_loss(model, EXAMPLES, config)
    parts = [EXAMPLES[:1], EXAMPLES[1:]]
    batches = [collator(part) for part in parts]
    step_rows = torch.tensor([sum(batch[key] for batch in batches) for key in ("num_rows", "num_positive_rows")])
    total = 0.0
    for batch in batches:
        logits = model(**{key: batch[key] for key in ("input_ids", "attention_mask", "position_ids", "logits_to_keep")})
        rows = (batch["row_example"], batch["row_position"])
        total += stage_two_loss(
            logits.logits[..., CANDIDATES][rows],
            logits.logits[..., EOV_ID][rows],
            batch["positive"],
            batch["ignored"],
            GROUPS,
            config,
            step_rows,
        )
    torch.testing.assert_close(total, whole)


def test_without_orders_there_is_one_row_per_example():
    examples = [RankingExample(example.prompt_ids, example.targets, [], NOTHING_SEEN) for example in EXAMPLES]
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, False)(examples)
    assert batch["logits_to_keep"] == 1
    assert batch["positive"].sum(dim=1).tolist() == [3, 1, 4]


def test_rows_of_one_order():
    batch = PartialOutputCollator(CANDIDATES, PAD_ID, True)(
        [RankingExample([1, 3], [4, 6, 9], [[6, 9, 4]], NOTHING_SEEN)]
    )
    assert [row.nonzero().flatten().tolist() for row in batch["positive"]] == [[4, 6, 9], [4, 9], [4], []]
    assert [row.nonzero().flatten().tolist() for row in batch["ignored"]] == [[], [6], [6, 9], [4, 6, 9]]
    assert (batch["num_rows"], batch["num_positive_rows"]) == (4, 3)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4]]


def test_orders_depend_on_seed_epoch_and_example_alone():
    dataset = RankingDataset([[1]] * 3, [[0, 1, 2, 3, 4]] * 3, [NOTHING_SEEN] * 3, num_orders=2, max_targets=4, seed=7)
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
    prompts = [[1, 20, 21, 22, 23, 24, 25, 26, 27, 3]]
    dataset = RankingDataset(
        prompts,
        [[0]],
        [NOTHING_SEEN],
        num_orders=0,
        max_targets=1,
        seed=0,
        code_ids=frozenset(range(20, 28)),
        history_dropout=0.5,
    )
    kept = []
    for epoch in range(50):
        dataset.set_epoch(epoch)
        prompt = dataset[0].prompt_ids
        assert (prompt[0], prompt[-1]) == (1, 3)
        assert prompt == [token for token in prompts[0] if token in prompt]
        kept.append(len(prompt) - 2)
    assert 3 < sum(kept) / len(kept) < 5


def test_codes_are_shuffled_within_their_visit():
    visit, prompts = 9, [[1, 9, 20, 21, 22, 9, 23, 24, 25, 26, 3]]
    dataset = RankingDataset(
        prompts,
        [[0]],
        [NOTHING_SEEN],
        num_orders=0,
        max_targets=1,
        seed=0,
        code_ids=frozenset(range(20, 28)),
        shuffle_codes=True,
    )
    seen = set()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        prompt = dataset[0].prompt_ids
        assert (prompt[0], prompt[1], prompt[5], prompt[-1]) == (1, visit, visit, 3)
        assert (sorted(prompt[2:5]), sorted(prompt[6:10])) == ([20, 21, 22], [23, 24, 25, 26])
        seen.add(tuple(prompt))
    assert len(seen) > 20
