"""The rotation before training: nothing changes at full width, prefixes hold the most; saved and opened as trained."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from small_encoder import SMALL_ARCHITECTURE
from torch.nn.functional import normalize

from bi_encoder.checkpoint import ModelRecord, load_bi_encoder, save_bi_encoder
from bi_encoder.config import EncoderConfig
from bi_encoder.inputs.batches import pad, tokenize
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.loss import multi_positive_info_nce
from bi_encoder.network.encoder import load_encoder
from bi_encoder.predict import embed_texts, score_texts
from bi_encoder.start import build_bi_encoder, turn_to_principal_directions

CODES = ["Heart failure", "Type 2 diabetes", "Anemia", "Fever", "Gout", "Cough", "Gout, chronic", "Anemia of pregnancy"]
NOTES = ["72 year old female. Admitted with heart failure and anemia, no fever.", "A cough since Monday.", "Gout"]
TRUE = torch.tensor([[code % 3 == row or code == 0 for code in range(len(CODES))] for row in range(len(NOTES))])


def make_model(variant, turned, **settings):
    torch.manual_seed(0)
    config = EncoderConfig(architecture=SMALL_ARCHITECTURE, tokenizer_size=400, max_query_tokens=64, **settings)
    model = build_bi_encoder(load_encoder(config, CODES + NOTES), variant, 0.1, config).eval()
    if turned:
        turn_to_principal_directions(model, CODES, 16)
    return model


def encode(model, texts):
    return pad(model.tokenizer, tokenize(model.tokenizer, texts, 64))


def train_a_little(model):
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        similarities, *_ = model(encode(model, NOTES), encode(model, CODES), [8, 32])
        sum(multi_positive_info_nce(scores, TRUE, 0.05) for scores in similarities).backward()
        optimizer.step()


@pytest.mark.parametrize("variant", ["mean_mrl", "laa_mrl"])
@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_scores_at_full_width_and_gradients_of_the_encoder_stay_the_same(variant, towers):
    plain, turned = (make_model(variant, turned, towers=towers) for turned in (False, True))
    gradients = []
    for model in (plain, turned):
        similarities, first_pass, _ = model(encode(model, NOTES), encode(model, CODES), [8, 32])
        multi_positive_info_nce(similarities[1], TRUE, 0.05).backward()
        gradients.append({name: weight.grad for name, weight in model.encoder.named_parameters()})
        model.found = [similarities[1], *first_pass[1:]]
        model.narrow = similarities[0]
    for before, after in zip(plain.found, turned.found, strict=True):
        assert torch.allclose(after, before, atol=1e-5)
    assert not torch.allclose(turned.narrow, plain.narrow, atol=1e-2)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][name], gradient, atol=1e-4 * float(gradient.abs().max()) + 1e-6), name


def test_each_prefix_holds_as_much_of_the_definitions_as_any_projection_could():
    plain, turned = make_model("retrieval", False), make_model("retrieval", True)
    before, after = (normalize(embed_texts(model, CODES, 16), dim=-1).numpy() for model in (plain, turned))
    singular = np.linalg.svd(before, compute_uv=False)
    for width in (1, 3, 5, 8, 32):
        assert (after[:, :width] ** 2).sum() == pytest.approx((singular[:width] ** 2).sum(), rel=1e-4)
    weight = turned.rotation.linear.weight
    assert torch.allclose(weight @ weight.T, torch.eye(32), atol=1e-5)


@pytest.mark.parametrize("variant", ["retrieval", "laa_mrl"])
@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_a_turned_model_is_saved_as_trained_and_opens_in_sentence_transformers(tmp_path, variant, towers):
    model = make_model(variant, True, towers=towers)
    fresh = model.rotation.linear.weight.detach().clone()
    train_a_little(model)
    assert not torch.allclose(model.rotation.linear.weight, fresh, atol=1e-3), "it is trained"
    record = ModelRecord(variant=variant, temperature=0.05, max_query_tokens=64, max_key_tokens=16, widths=[8, 32])
    save_bi_encoder(model, tmp_path / "checkpoint", record)

    opened, _ = load_bi_encoder(tmp_path / "checkpoint")
    opened.eval()
    assert opened.fingerprint() == model.fingerprint()
    scores = []
    for one in (model, opened):
        windows, keys = tokenize_windows(one.tokenizer, NOTES, 64, 16), embed_texts(one, CODES, 16)
        scores.append(score_texts(one, windows, keys, widths=[8, 32], temperature=0.05, overlap=16))
    for width in (8, 32):
        assert scores[1][width] == pytest.approx(scores[0][width], abs=1e-4)

    plain = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu", truncate_dim=8, trust_remote_code=False)
    queries, keys = (embed_texts(model, CODES, 64, tower=tower)[:, :8].numpy() for tower in ("query", "document"))
    assert plain.encode_query(CODES, show_progress_bar=False) == pytest.approx(queries, abs=1e-5)
    assert plain.encode_document(CODES, show_progress_bar=False) == pytest.approx(keys, abs=1e-5)


def test_another_rotation_is_another_model():
    plain, turned = make_model("mean_mrl", False), make_model("mean_mrl", True)
    before = turned.fingerprint()
    assert before != plain.fingerprint()
    with torch.no_grad():
        turned.rotation.linear.weight[0, 0] += 1e-3
    assert turned.fingerprint() != before
