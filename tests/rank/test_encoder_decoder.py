"""Stage two of an encoder-decoder: many orders behind one start token, and the prompt read once, give the loss and the
gradients of the separate sequences."""

import numpy as np
import pytest
import torch
from shared_prompt import PROMPT_WEIGHT, loss_of_rows, loss_of_sequences
from small_model import OWN_HEAD, SMALL_T5
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from mera.language_models.encoder_decoder import end_id, start_id
from rank import row_chunks
from rank.attention.kernels import bias_of_positions, use_kernel
from rank.candidate_head import read_candidates_only, score_prompts
from rank.config import LossConfig
from rank.decision import DecisionRule
from rank.decoding import decode
from rank.partial_outputs import DecoderCollator, PartialOutputCollator, RankingExample, read_logits
from rank.wide.recurrence import Recurrence, seen_codes

NUM_CODES, FIRST_CODE, EOV_ID, PAD_ID, END_ID = 40, 20, 70, 0, 2
CANDIDATES = torch.arange(FIRST_CODE, FIRST_CODE + NUM_CODES)
GROUPS = torch.stack([torch.zeros(NUM_CODES, dtype=torch.long), torch.arange(NUM_CODES) // 4])
NOTHING_SEEN = seen_codes([], {})
SEEN = seen_codes([{"codes": ["a", "b"]}, {"codes": ["b"]}], {"a": 3, "b": 7})
LONG = [0, 39, 3, 8, 17, 22, 5, 31, 12, 9, 28, 14, 36, 1, 19, 25, 7, 33, 11, 38, 2]
"""More targets than the decoder tells apart one by one: T5's bias counts in steps from half its buckets on."""
EXAMPLES = [
    RankingExample([1, 5, 6, 7, 8, 3], [0, 4, 7], [[4, 0, 7], [7, 4, 0], [0, 7, 4]], SEEN),
    RankingExample([1, 3], [2], [[2], [2]], NOTHING_SEEN),
    RankingExample([1, 9, 10, 3], LONG, [LONG, LONG[::-1], LONG[5:] + LONG[:5]], NOTHING_SEEN),
]
WITHOUT_ORDERS = [RankingExample(example.prompt_ids, example.targets, [], example.seen) for example in EXAMPLES]


def tiny_t5(model_type="t5", **settings):
    torch.manual_seed(0)
    architecture = SMALL_T5 | {"model_type": model_type, "vocab_size": 80, "num_layers": 3} | settings
    model_type = architecture.pop("model_type")
    ids = {"pad_token_id": PAD_ID, "eos_token_id": END_ID, "decoder_start_token_id": PAD_ID}
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(model_type, **ids, **architecture))
    for stack in (model.encoder, model.decoder):  # as large as it becomes in training, so that it decides something
        torch.nn.init.normal_(stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight, std=2.0)
    model.recurrence = Recurrence(NUM_CODES)
    torch.nn.init.normal_(model.recurrence.per_code)
    return model


def collated(examples, known="negative"):
    orders = PartialOutputCollator(CANDIDATES, PAD_ID, known == "ignore", PROMPT_WEIGHT)
    return DecoderCollator(orders, start_id=PAD_ID, end_id=END_ID)(examples)


def collated_loss(model, examples, config):
    """What the trainer computes: candidates only, in chunks of rows."""
    batch = collated(examples, config.known)
    logits = read_logits(model, model, batch)
    return loss_of_rows(model, batch, logits, config, GROUPS)


def separate_loss(model, examples, config):
    """Each order and each number of known codes is a sequence of its own, without padding and without a mask."""

    def last_logits(prompt_ids, known):
        written = torch.tensor([[PAD_ID, *(FIRST_CODE + code for code in known)]])
        return model(input_ids=torch.tensor([[*prompt_ids, END_ID]]), decoder_input_ids=written).logits[0, -1]

    return loss_of_sequences(model, examples, config, GROUPS, last_logits, CANDIDATES, EOV_ID)


@pytest.mark.parametrize("examples", [EXAMPLES, WITHOUT_ORDERS], ids=["orders", "no orders"])
@pytest.mark.parametrize("known", ["negative", "ignore"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        OWN_HEAD,
        {"model_type": "mt5"},
        {"checkpoint": True},
    ],
    ids=["t5", "v1.1", "mt5", "recomputed"],
)
def test_shared_prompt_equals_separate_sequences(examples, known, settings, monkeypatch):
    """Prompts of 6, 2 and 4 tokens, decoders of 10, 3 and 64; rows go through the loss five at a time."""
    monkeypatch.setattr(row_chunks, "CHUNK_ELEMENTS", 5 * (NUM_CODES + 1))
    config = LossConfig(levels=("all", "chapter"), known=known, threshold_weight=0.7, temperature=(1.0, 0.5))
    settings = dict(settings)
    recomputes = settings.pop("checkpoint", False)
    together, apart = tiny_t5(**settings), tiny_t5(**settings)
    use_kernel(together, "sdpa")
    read_candidates_only(together, CANDIDATES, EOV_ID)
    if recomputes:
        together.train().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    fast, slow = collated_loss(together, examples, config), separate_loss(apart, examples, config)
    (3.0 * fast).backward()
    (3.0 * slow).backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    for (name, one), (_, other) in zip(together.named_parameters(), apart.named_parameters(), strict=True):
        error = (one.grad - other.grad).norm() / other.grad.norm().clamp(min=1e-6)
        assert error < 1e-5, f"{name}: relative error {error:.1e}"


def test_a_bias_by_columns_would_be_noticed():
    """What a T5 does by itself: its orders would stand further and further from the start."""
    model, config = tiny_t5(), LossConfig(levels=("all", "chapter"))
    separate = separate_loss(model, EXAMPLES, config).item()
    read_candidates_only(model, CANDIDATES, EOV_ID)  # no use_kernel: order_positions come to nothing
    assert abs(collated_loss(model, EXAMPLES, config).item() - separate) > 1e-3


def test_the_bias_of_positions_is_t5s_own_where_these_are_the_columns():
    attention = tiny_t5().decoder.block[0].layer[0].SelfAttention
    own = attention.compute_bias(50, 50)[0]
    ours = bias_of_positions(attention, torch.arange(50)[None].expand(2, -1))
    causal = torch.ones(50, 50, dtype=torch.bool).tril()
    for row in ours:
        torch.testing.assert_close(row[:, causal], own[:, causal])


@torch.no_grad()
def test_ranking_reads_the_decoders_first_step():
    plain, model = tiny_t5().eval(), tiny_t5().eval()
    assert (start_id(model), end_id(model)) == (PAD_ID, END_ID)
    use_kernel(model, "sdpa")
    read_candidates_only(model, CANDIDATES, EOV_ID)
    prompts = [example.prompt_ids for example in EXAMPLES]
    scores, eov = score_prompts(model, prompts, PAD_ID, batch_size=2)
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([[*prompt, END_ID]])
        logits = plain(input_ids=ids, decoder_input_ids=torch.tensor([[PAD_ID]])).logits[0, 0]
        np.testing.assert_allclose(scores[row], logits[CANDIDATES], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(eov[row], logits[EOV_ID], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("offset", "max_codes"), [(0.0, 12), (-99.0, 40), (99.0, 12)])
def test_decoding_equals_the_naive_loop(offset, max_codes):
    plain, model = tiny_t5().eval(), tiny_t5().eval()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    prompts = [example.prompt_ids for example in EXAMPLES]
    bonus = np.random.default_rng(0).normal(size=(3, NUM_CODES + 1)).astype(np.float32)
    rule = DecisionRule(eov_share=1.0, offset=offset, slope=1.0, intercept=0.0)
    written, first = decode(model, prompts, bonus, CANDIDATES, rule, PAD_ID, max_codes)
    for row, prompt in enumerate(prompts):
        ids, expected = [PAD_ID], []
        while len(expected) < min(max_codes, NUM_CODES):
            read = torch.tensor([[*prompt, END_ID]])
            logits = plain(input_ids=read, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
            scores = logits[CANDIDATES].numpy() + bonus[row, :-1]
            if not expected:
                np.testing.assert_allclose(first[row], scores, rtol=1e-4, atol=1e-5)
            scores[expected] = -np.inf
            if scores.max() <= logits[EOV_ID].item() + bonus[row, -1] + offset:
                break
            expected.append(int(scores.argmax()))
            ids.append(int(CANDIDATES[expected[-1]]))
        assert written[row] == expected


def test_flex_attention_is_refused():
    with pytest.raises(ValueError, match="attention: flex is for causal models; an encoder-decoder trains with"):
        use_kernel(tiny_t5(), "flex")
