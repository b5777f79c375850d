"""ModernBERT's local layers in blocks: the states and gradients of transformers' sdpa, padded or not."""

import copy
import json

import pytest
import torch
from small_encoder import SMALL_ARCHITECTURE, make_encoder, save_plain
from torch.nn import functional
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from bi_encoder.network.attention_in_blocks import IN_BLOCKS, attend_in_blocks
from bi_encoder.network.encoder import load_encoder, open_sentence_transformer

WINDOW = SMALL_ARCHITECTURE["local_attention"]


def both():
    """The same weights under `sdpa` and in blocks; four layers, of which the first and the last look at all tokens."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(**SMALL_ARCHITECTURE | {"num_hidden_layers": 4}, vocab_size=50, pad_token_id=0)
    plain = AutoModel.from_config(config, attn_implementation="sdpa").train()
    assert plain.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    for weight in plain.parameters():
        weight.data.mul_(8 if weight.ndim > 1 else 1)  # else attention is nearly even and a lost key not seen
    in_blocks = copy.deepcopy(plain)
    attend_in_blocks(in_blocks)
    return plain, in_blocks


def run(model, ids, mask):
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    model.zero_grad()
    (states * mask[..., None]).square().cumsum(1).mean().backward()
    return states, {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(
    "lengths", [[5], [WINDOW * 4 - 1], [WINDOW * 4], [WINDOW * 4 + 1], [97, 20, 64], [130, 3, 129]]
)
def test_states_and_gradients_are_those_of_sdpa(lengths):
    plain, in_blocks = both()
    ids = torch.randint(1, 50, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    expected, gradients = run(plain, ids, mask)
    states, of_blocks = run(in_blocks, ids, mask)
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], rtol=1e-5, atol=1e-5)
    assert states.isfinite().all()
    for name, gradient in gradients.items():
        torch.testing.assert_close(of_blocks[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max() + 1))
    assert max(float(gradient.abs().max()) for gradient in gradients.values()) > 1e-2


def test_a_long_text_computes_a_part_of_the_pairs(monkeypatch):
    pairs = []
    plain_attention = functional.scaled_dot_product_attention

    def counting(query, key, value, **options):
        pairs.append(query.shape[0] * query.shape[2] * key.shape[2])
        return plain_attention(query, key, value, **options)

    monkeypatch.setattr(attend_in_blocks.__globals__["functional"], "scaled_dot_product_attention", counting)
    _, in_blocks = both()
    ids = torch.randint(1, 50, (1, 512))
    with torch.no_grad():
        in_blocks(input_ids=ids, attention_mask=torch.ones_like(ids))
    full, local = 512 * 512, 512 * 2 * WINDOW
    assert pairs == [full, local, local, full]


def test_encoders_read_so_unless_told_otherwise_and_save_as_others_do(tmp_path):
    encoder = make_encoder(["heart failure", "kidney disease"])
    assert encoder.model.config._attn_implementation == IN_BLOCKS
    folder = save_plain(encoder, tmp_path / "saved")
    assert IN_BLOCKS not in "".join(path.read_text() for path in (tmp_path / "saved").rglob("*.json"))
    assert "attn" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    assert open_sentence_transformer(folder)[0].model.config._attn_implementation == IN_BLOCKS
    from bi_encoder.config import EncoderConfig

    told = EncoderConfig(pretrained=folder, max_query_tokens=64, attention_implementation="sdpa")
    assert load_encoder(told, []).model.config._attn_implementation == "sdpa"


def test_other_models_stay_as_they_are():
    model = BertModel(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    before = model.config._attn_implementation
    attend_in_blocks(model)
    assert model.config._attn_implementation == before
