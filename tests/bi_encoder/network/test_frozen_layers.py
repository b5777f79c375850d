"""Layers that do not train: the same states as the whole encoder, computed once, without gradients."""

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from small_encoder import make_encoder
from transformers import BertConfig, BertModel

from bi_encoder.network.frozen_layers import FrozenLayers
from mera.system.errors import UserError


@pytest.fixture
def encoder(tmp_path):
    """BERT of three layers with random weights."""
    tokenizer = make_encoder(["weak heart", "sugar in the kidneys"] * 20).tokenizer
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=max(len(tokenizer), 60),
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
    )
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return Transformer(str(tmp_path))


def batch():
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(6, 40, (4, 9), generator=generator)
    return ids, torch.arange(9) < torch.tensor([9, 4, 7, 2])[:, None]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_states_are_those_of_the_whole_encoder(encoder, num_layers):
    encoder.eval()
    ids, mask = batch()
    frozen = FrozenLayers(encoder, num_layers)
    whole = encoder.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    for _ in range(2):  # computed, then remembered
        assert torch.allclose(frozen.states(ids, mask)[mask], whole[mask], atol=5e-3)
    narrower = frozen.states(ids[1:2, :4], mask[1:2, :4])
    assert torch.allclose(narrower[0], whole[1, :4], atol=5e-3), "whatever a text is padded to"


def test_only_the_layers_above_have_gradients_and_dropout(encoder):
    encoder.train()
    ids, mask = batch()
    frozen = FrozenLayers(encoder, 2)
    first, second = frozen.states(ids, mask), frozen.states(ids, mask)
    assert not torch.equal(first, second), "the layer above has dropout"
    first.sum().backward()
    with_gradient = {name for name, weight in encoder.model.named_parameters() if weight.grad is not None}
    assert with_gradient == {
        name for name, _ in encoder.model.named_parameters() if name.startswith("encoder.layer.2.")
    }
    assert {name for name, weight in encoder.model.named_parameters() if not weight.requires_grad} == {
        name
        for name, _ in encoder.model.named_parameters()
        if name.startswith(("embeddings.", "encoder.layer.0.", "encoder.layer.1."))
    }


def test_more_layers_than_there_are_and_another_kind_of_encoder_are_refused(encoder):
    with pytest.raises(UserError, match=r"encoder.frozen_layers is 4, but the encoder has 3 layers"):
        FrozenLayers(encoder, 4)
    encoder.model = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="built as BERT is"):
        FrozenLayers(encoder, 1)
