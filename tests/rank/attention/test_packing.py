"""Several patients in one row give the loss and the gradients of a row for each, and leave hardly any padding."""

import random

import pytest
import torch
from model_families import FAMILIES, tiny_model
from shared_prompt import (
    CANDIDATES,
    EOV_ID,
    EXAMPLES,
    GROUPS,
    NOTHING_SEEN,
    NUM_CODES,
    PAD_ID,
    PROMPT_WEIGHT,
    SEEN,
    assert_same_gradients,
    loss_of_rows,
    separate_loss,
)
from small_model import SMALL_T5
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from rank.attention.kernels import use_kernel
from rank.attention.masks import PADDING, orders_mask
from rank.attention.packing import ALLOWED_PADDING, ROW_TOKENS, packed, packs_rows
from rank.candidate_head import read_candidates_only
from rank.config import LossConfig
from rank.partial_outputs import PartialOutputCollator, RankingExample, read_logits
from rank.wide.recurrence import Recurrence

CONFIG = LossConfig(levels=("all", "chapter"), known="ignore", threshold_weight=0.7, temperature=(1.0, 0.5))


def patients(count, seed=0):
    """Prompts of 2 to 12 tokens and 0 to 3 orders behind each."""
    draw = random.Random(seed)
    examples = []
    for number in range(count):
        targets = draw.sample(range(NUM_CODES), draw.randint(1, 5))
        orders = [draw.sample(targets, len(targets)) for _ in range(number % 4)]
        prompt = [1, *(draw.randint(4, 19) for _ in range(draw.randint(0, 10))), 3]
        examples.append(RankingExample(prompt, targets, orders, draw.choice([SEEN, NOTHING_SEEN])))
    return examples


MANY = [*EXAMPLES, *patients(8)]


def collated(examples, packs):
    return PartialOutputCollator(CANDIDATES, PAD_ID, CONFIG.known == "ignore", PROMPT_WEIGHT, packs=packs)(examples)


def loss_of(model, batch, step_rows=None):
    return loss_of_rows(model, batch, read_logits(model, model, batch), CONFIG, GROUPS, step_rows)


def ranking_model(name):
    model = tiny_model(FAMILIES[name], 48, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.recurrence = Recurrence(NUM_CODES)
    for weight in model.parameters():  # norms that begin at 0 or 1 everywhere would hide some mistakes
        torch.nn.init.normal_(weight, mean=0.3 if weight.ndim == 1 else 0.0, std=0.2)
    use_kernel(model, "sdpa")
    read_candidates_only(model, CANDIDATES, EOV_ID)
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_rows_train_as_a_row_for_each_patient(name):
    """Windows of four tokens, layers that look everywhere and layers that do not, capped scores."""
    together, apart = ranking_model(name), ranking_model(name)
    packed_batch, plain = collated(MANY, packs=True), collated(MANY, packs=False)
    assert len(packed_batch["input_ids"]) < len(plain["input_ids"]) == len(MANY)
    fast, slow = loss_of(together, packed_batch), loss_of(apart, plain)
    (3.0 * fast).backward()
    (3.0 * slow).backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    assert_same_gradients(together, apart)


@pytest.mark.parametrize("name", ["mistral-all-layers-slide", "gemma3"])
def test_packed_rows_train_as_separate_sequences(name):
    together, apart = (
        ranking_model(name),
        tiny_model(FAMILIES[name], 48, bos_token_id=1, eos_token_id=2, pad_token_id=0),
    )
    apart.recurrence = Recurrence(NUM_CODES)
    apart.load_state_dict(together.state_dict())
    fast, slow = loss_of(together, collated(MANY, packs=True)), separate_loss(apart, MANY, CONFIG)
    fast.backward()
    slow.backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    assert_same_gradients(together, apart)


def test_two_processes_share_out_a_step_as_one_takes_it():
    """Six and five patients and a blank one, each packed by itself, against eleven in one batch."""
    model, whole = ranking_model("mistral-all-layers-slide"), ranking_model("mistral-all-layers-slide")
    blank = RankingExample(MANY[0].prompt_ids, [], [], NOTHING_SEEN, is_blank=True)
    batches = [collated(part, packs=True) for part in (MANY[:6], [*MANY[6:], blank])]
    step_rows = torch.tensor(
        [sum(batch[key] for batch in batches) for key in ("weight_of_rows", "weight_of_positive_rows")]
    )
    loss = sum(loss_of(model, batch, step_rows) for batch in batches)
    of_one = loss_of(whole, collated(MANY, packs=True))
    loss.backward()
    of_one.backward()
    torch.testing.assert_close(loss, of_one)
    assert_same_gradients(model, whole)


def test_a_mask_that_lets_patients_see_each_other_would_be_noticed():
    model = ranking_model("mistral-all-layers-slide")
    batch = collated(MANY, packs=True)
    right = loss_of(model, batch).item()
    batch["order_ids"] = torch.where(batch["order_ids"] == PADDING, PADDING, batch["order_ids"] % 2**16)
    assert abs(loss_of(model, batch).item() - right) > 1e-4


def test_who_sees_whom_in_a_packed_row():
    """Every pair of tokens against the rule, told from the examples."""
    batch = collated(MANY, packs=True)
    mask = orders_mask(batch["order_ids"], batch["position_ids"], None, "sdpa")[:, 0]
    columns = 0
    for index, row in enumerate(packed([len(example.prompt_ids) + sum(map(len, example.orders)) for example in MANY])):
        names = []
        for patient in row:
            names += [(patient, 0)] * len(MANY[patient].prompt_ids)
            names += [(patient, n) for n, order in enumerate(MANY[patient].orders, start=1) for _ in order]
        for query, (patient, order) in enumerate(names):
            expected = [key <= query and names[key] in ((patient, 0), (patient, order)) for key in range(len(names))]
            assert mask[index, query, : len(names)].tolist() == expected
        columns += len(names)
        for query in range(len(names), mask.shape[1]):
            assert mask[index, query].nonzero().flatten().tolist() == [query]
    assert columns == int((batch["order_ids"] != PADDING).sum())


@pytest.mark.parametrize("seed", range(20))
def test_rows_hold_every_sequence_once_with_little_padding(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(5, draw.choice([20, 200, 1000])) for _ in range(draw.choice([1, 2, 8, 64]))]
    rows = packed(lengths)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert rows == sorted(sorted(row) for row in rows)
    width = max(sum(lengths[index] for index in row) for row in rows)
    assert sum(lengths) >= (1 - ALLOWED_PADDING) * len(rows) * width or width > ROW_TOKENS / 2


def test_equal_lengths_stay_apart_and_long_rows_are_not_made():
    assert packed([50] * 6) == [[0], [1], [2], [3], [4], [5]]
    assert packed([7]) == [[0]]
    lengths = [ROW_TOKENS, 3, 5]
    assert packed(lengths) == [[0], [1, 2]]
    assert max(sum(lengths[index] for index in row) for row in packed(lengths)) == ROW_TOKENS


def test_which_batches_are_packed():
    causal = ranking_model("mistral-all-layers-slide")
    assert [packs_rows(packing, "sdpa", causal) for packing in ("auto", "always", "never")] == [False, True, False]
    assert packs_rows("auto", "flex", causal)
    settings = dict(SMALL_T5)
    t5 = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(settings.pop("model_type"), vocab_size=80, **settings))
    assert not packs_rows("auto", "sdpa", t5)
    with pytest.raises(
        ValueError, match="packing: always is for causal models; an encoder-decoder takes a row for each"
    ):
        packs_rows("always", "sdpa", t5)
