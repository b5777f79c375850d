"""Shared or separate towers, LoRA, and what sentence-transformers opens of them; the rerank of the first pass."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from bi_encoder.checkpoint import ModelRecord, load_bi_encoder, save_bi_encoder
from bi_encoder.config import BiEncoderConfig, EncoderConfig
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.network.encoder import load_encoder
from bi_encoder.predict import embed_texts, embed_windows, score_texts
from bi_encoder.start import build_bi_encoder
from mera.config import load_config
from mera.language_models.lora import LoraSettings

TEXTS = ["Heart failure, unspecified", "Type 2 diabetes mellitus", "Anemia", "Fever and a cough since Monday", "Gout"]
ARCHITECTURE = {
    "model_type": "modernbert",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def make_model(variant="mean_mrl", **settings):
    torch.manual_seed(0)
    config = EncoderConfig(architecture=ARCHITECTURE, tokenizer_size=400, max_query_tokens=64, **settings)
    return build_bi_encoder(load_encoder(config, TEXTS), variant, 0.1, config)


def record(variant, **changes):
    values = {"variant": variant, "temperature": 0.05, "max_query_tokens": 64, "max_key_tokens": 16, "widths": [8, 32]}
    return ModelRecord(**(values | changes))


def train_a_little(model, steps=3):
    inputs = {
        name: torch.tensor(value)
        for name, value in model.tokenizer(TEXTS, padding=True, return_token_type_ids=False).items()
    }
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        similarities, *_ = model(inputs, inputs, [32])
        torch.nn.functional.cross_entropy(similarities[0] / 0.05, torch.arange(len(TEXTS)).flip(0)).backward()
        optimizer.step()


@pytest.mark.parametrize("variant", ["retrieval", "laa_mrl"])
def test_separate_towers_start_equal_part_in_training_and_are_saved_and_opened(tmp_path, variant):
    model = make_model(variant, towers="separate").eval()
    assert torch.equal(embed_texts(model, TEXTS, 64), embed_texts(model, TEXTS, 64, tower="query"))
    train_a_little(model)
    queries, keys = embed_texts(model, TEXTS, 64, tower="query"), embed_texts(model, TEXTS, 64)
    assert not torch.allclose(queries, keys, atol=1e-2)
    save_bi_encoder(model, tmp_path / "checkpoint", record(variant))

    opened, _ = load_bi_encoder(tmp_path / "checkpoint")
    opened.eval()
    assert opened.fingerprint() == model.fingerprint()
    assert torch.allclose(embed_texts(opened, TEXTS, 64), keys, atol=1e-6)
    assert torch.allclose(embed_texts(opened, TEXTS, 64, tower="query"), queries, atol=1e-6)

    plain = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu", truncate_dim=8)
    assert plain.encode_query(TEXTS, show_progress_bar=False) == pytest.approx(queries[:, :8].numpy(), abs=1e-5)
    assert plain.encode_document(TEXTS, show_progress_bar=False) == pytest.approx(keys[:, :8].numpy(), abs=1e-5)


def test_shared_towers_are_one_encoder():
    model = make_model()
    assert model.key_encoder is None
    count = sum(weight.numel() for weight in model.parameters())
    assert sum(weight.numel() for weight in make_model(towers="separate").parameters()) == 2 * count


@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_lora_trains_adapters_alone_and_is_saved_as_plain_weights(tmp_path, towers):
    model = make_model(towers=towers, lora=LoraSettings(rank=4, alpha=8, dropout=0.0)).eval()
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    before = embed_texts(model, TEXTS, 64)
    train_a_little(model)
    after = embed_texts(model, TEXTS, 64)
    assert not torch.allclose(after, before, atol=1e-3)
    save_bi_encoder(model, tmp_path / "checkpoint", record("mean_mrl"))
    opened, _ = load_bi_encoder(tmp_path / "checkpoint")
    assert torch.allclose(embed_texts(opened.eval(), TEXTS, 64), after, atol=1e-5)
    assert not any("lora" in name for name in opened.state_dict())


def test_rerank_attends_the_best_of_the_first_pass_and_leaves_the_rest_behind():
    model = make_model("laa_mrl").eval()
    texts = tokenize_windows(model.tokenizer, TEXTS, 64, 16)
    keys = embed_texts(model, [*TEXTS, "Gout, chronic", "Cough", "Anemia in pregnancy"], 16)
    settings = {"widths": [8, 32], "temperature": 0.05, "overlap": 16}
    full = score_texts(model, texts, keys, **settings)
    reranked = score_texts(model, texts, keys, rerank=3, **settings)
    pooled = embed_windows(model, texts, 16)
    for width in (8, 32):
        first = torch.nn.functional.cosine_similarity(pooled[:, None, :width], keys[None, :, :width], dim=-1).numpy()
        for row in range(len(TEXTS)):
            best, rest = np.split(np.argsort(-first[row]), [3])
            assert reranked[width][row, best] == pytest.approx(full[width][row, best], abs=1e-3)
            assert reranked[width][row, rest].max() < reranked[width][row, best].min()
            assert np.array_equal(np.argsort(-reranked[width][row, rest]), np.arange(len(rest)))
    everything = score_texts(model, texts, keys, rerank=8, **settings)
    assert np.array_equal(everything[32], full[32])


def test_a_rerank_without_a_first_pass_is_refused():
    values = {"task": "x", "output": "y", "encoder.pretrained": "z", "objective.first_pass_weight": 0}
    with pytest.raises(ValueError, match="there is no first pass to rerank; set"):
        load_config(BiEncoderConfig, None, values)
    assert load_config(BiEncoderConfig, None, values | {"selection.scoring": "full"}).variant == "laa_mrl"
    assert load_config(BiEncoderConfig, None, values | {"variant": "mean_mrl"}).selection.scoring == "rerank"
