"""What saves memory or padding changes neither value nor gradient: cached gradients, chunks, unpadded batches."""

import inspect
import itertools

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from small_encoder import SMALL_ARCHITECTURE, make_encoder
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from bi_encoder.config import EncoderConfig
from bi_encoder.inputs.batches import pad, parts_of_similar_length, tokenize
from bi_encoder.inputs.windows import tokenize_windows, window_batch
from bi_encoder.loss import multi_positive_info_nce
from bi_encoder.network.attention import LabelAttention, attended_similarities
from bi_encoder.network.encoder import load_encoder
from bi_encoder.start import build_bi_encoder

TEXTS = [
    "Heart failure, unspecified",
    "72 year old female. Admitted with heart failure and anemia, no fever. " * 12,
    "Anemia",
    "Type 2 diabetes mellitus without complications",
    "Fever and a cough since Monday, crackles on the left.",
]


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(TEXTS)


def step(model, at_once, cached):
    """Loss, gradients, and how many bytes the forward pass left for the backward pass."""
    model.tokens_at_once, model.cached_gradients = at_once, cached
    model.zero_grad()
    queries = window_batch(model.tokenizer, tokenize_windows(model.tokenizer, TEXTS, 64, 16), 16)
    keys = pad(model.tokenizer, tokenize(model.tokenizer, TEXTS, 16))
    kept = []

    def pack(tensor):
        kept.append(tensor.untyped_storage())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        similarities, first_pass, _ = model(queries, keys, [8, 32])
    losses = [multi_positive_info_nce(scores, torch.eye(5).bool(), 0.05) for scores in similarities + first_pass]
    loss = torch.stack(losses).mean()
    loss.backward()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    left = {storage.data_ptr(): storage.nbytes() for storage in kept if storage.data_ptr() not in own}
    return loss.item(), [weight.grad.clone() for weight in model.parameters()], sum(left.values())


@pytest.mark.parametrize("variant", ["mean_mrl", "laa_mrl"])
def test_cached_gradients_equal_the_plain_ones_by_value_and_by_gradient(encoder, variant):
    model = build_bi_encoder(encoder, variant, 0.1)
    plain_loss, plain, plain_bytes = step(model, 80, cached=False)
    cached_loss, cached, cached_bytes = step(model, 80, cached=True)
    assert cached_loss == pytest.approx(plain_loss, rel=1e-6)
    for found, expected in zip(cached, plain, strict=True):
        assert torch.allclose(found, expected, atol=1e-6)
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in plain)
    assert cached_bytes < plain_bytes / 2


def test_texts_are_encoded_with_others_of_their_length_within_a_budget():
    lengths = torch.tensor([40, 3, 39, 9, 10, 0, 40, 20])
    parts = parts_of_similar_length(lengths, tokens_at_once=100)
    assert [sorted(lengths[rows].tolist()) for rows in parts] == [[40, 40], [20, 39], [9, 10], [3], [0]]
    assert sorted(torch.cat(parts).tolist()) == list(range(8))
    without_budget = parts_of_similar_length(lengths, tokens_at_once=None)
    assert [len(rows) for rows in without_budget] == [4, 2, 1, 1]
    assert [len(rows) for rows in parts_of_similar_length(torch.full((5,), 7), tokens_at_once=1)] == [1] * 5


@pytest.mark.parametrize("own_labels", [False, True])
def test_labels_in_chunks_have_the_same_similarities_and_gradients(own_labels):
    torch.manual_seed(0)
    states = torch.randn(3, 7, 8, requires_grad=True)
    labels = torch.randn(*((3,) if own_labels else ()), 11, 8, requires_grad=True)
    mask = torch.arange(7)[None, :] < torch.tensor([7, 4, 0])[:, None]
    attention = LabelAttention(0.3)
    found = {}
    for name, at_once in {"whole": 1 << 25, "chunks": 3 * 15 * 2}.items():
        for tensor in (states, labels, *attention.parameters()):
            tensor.grad = None
        similarities = attended_similarities(attention, states, mask, labels, at_once)
        (similarities * torch.arange(11)).sum().backward()
        with torch.no_grad():
            assert torch.allclose(attended_similarities(attention, states, mask, labels, at_once), similarities)
        found[name] = [similarities, states.grad, labels.grad, attention.log_temperature.grad]
    for whole, chunks in zip(found["whole"], found["chunks"], strict=True):
        assert torch.allclose(whole, chunks, atol=1e-6)
    assert (similarities[2] == 0).all(), "a text without tokens has evidence for nothing"


def variable_length_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """What flash attention's variable-length kernel computes, slowly: each text attends to itself alone."""
    assert attention_mask is None
    bounds = kwargs["cu_seq_lens_q"].tolist()
    window = kwargs.get("sliding_window")
    parts = []
    for start, end in itertools.pairwise(bounds):
        distance = (torch.arange(end - start)[:, None] - torch.arange(end - start)[None, :]).abs()
        near = None if window is None else distance < window
        q, k, v = (states[:, :, start:end] for states in (query, key, value))
        parts.append(scaled_dot_product_attention(q, k, v, attn_mask=near, scale=scaling))
    return torch.cat(parts, dim=2).transpose(1, 2), None


def test_unpadded_batches_give_the_states_of_padded_ones(encoder):
    """The real kernel needs a GPU; a stand-in with its arguments shows that the texts are told apart."""
    AttentionInterface.register("variable_length", variable_length_attention)
    AttentionMaskInterface.register("variable_length", lambda *_, **__: None)
    model = build_bi_encoder(encoder, "laa_mrl", 0.1).eval()
    queries = window_batch(model.tokenizer, tokenize_windows(model.tokenizer, TEXTS, 64, 16), 16)
    with torch.no_grad():
        padded = model.read(queries)
    before = encoder.model.config._attn_implementation
    try:
        encoder.model.set_attn_implementation("variable_length")
        encoder.can_flatten_inputs, encoder._flatten_position_offset = True, 0  # as sentence-transformers sets both
        unpadded = model.read(queries)
        unpadded.states.sum().backward()
    finally:
        encoder.can_flatten_inputs = False
        del encoder._flatten_position_offset
        encoder.model.set_attn_implementation(before)
    assert torch.allclose(unpadded.states[unpadded.mask], padded.states[padded.mask], atol=1e-5)
    assert (unpadded.states[~unpadded.mask] == 0).all()


def test_a_library_without_its_private_position_offset_is_refused_by_name(encoder, monkeypatch):
    """Silence here would give an MPNet or a RoBERTa positions that are off by two, and so worse vectors."""
    model = build_bi_encoder(encoder, "mean_mrl", 0.1).eval()
    queries = window_batch(model.tokenizer, tokenize_windows(model.tokenizer, TEXTS, 64, 16), 16)
    monkeypatch.setattr(encoder, "can_flatten_inputs", True)
    message = (
        r"^sentence-transformers [\d.]+ has no Transformer\._flatten_position_offset, .*encoder\.unpadded to false$"
    )
    with pytest.raises(ValueError, match=message):
        model.read(queries)


def test_sentence_transformers_still_has_the_private_position_offset():
    assert "_flatten_position_offset" in inspect.getsource(Transformer)


def test_an_encoder_without_flash_attention_pads(encoder):
    assert encoder.can_flatten_inputs is False
    config = EncoderConfig(architecture=SMALL_ARCHITECTURE, tokenizer_size=300, max_query_tokens=64, unpadded=False)
    assert load_encoder(config, TEXTS).unpad_inputs is False
