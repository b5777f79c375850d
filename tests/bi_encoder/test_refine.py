"""The last map trained alone: narrow prefixes rank unseen texts better, and the model is the one it was, mapped."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from small_encoder import SMALL_ARCHITECTURE
from torch.nn.functional import normalize

from bi_encoder.checkpoint import ModelRecord, load_bi_encoder, save_bi_encoder
from bi_encoder.config import BiEncoderConfig, EncoderConfig, RefineConfig
from bi_encoder.index.principal_directions import principal_directions
from bi_encoder.network.encoder import load_encoder
from bi_encoder.predict import embed_texts
from bi_encoder.refine import refined_map
from bi_encoder.start import build_bi_encoder
from mera.evaluation.metrics import mean_average_precision

CODES, TEXTS, DIMENSIONS, NARROW = 60, 400, 32, 8
NAMES = ["Heart failure", "Type 2 diabetes", "Anemia", "Fever", "Gout", "Cough"]
SETTINGS = RefineConfig(steps=300, learning_rate=1e-2, dropout=0.1)


@pytest.fixture(scope="module")
def embedded():
    """Texts that are the sum of their codes in weak directions, and anything in the strong ones."""
    generator = torch.Generator().manual_seed(0)
    strength = torch.linspace(0.3, 1.0, DIMENSIONS).flip(0)
    keys = torch.randn(CODES, DIMENSIONS, generator=generator) * strength
    positive = torch.rand(TEXTS, CODES, generator=generator) < 0.03
    positive[torch.arange(TEXTS), torch.arange(TEXTS) % CODES] = True
    queries = positive.float() @ keys
    half = DIMENSIONS // 2
    queries[:, :half] = torch.randn(TEXTS, half, generator=generator) * strength[:half]
    return queries, keys, positive


def quality(weight, queries, keys, positive, width):
    texts, codes = (normalize((rows @ weight.T)[:, :width], dim=-1) for rows in (queries, keys))
    return mean_average_precision((texts @ codes.T).numpy(), positive.numpy())


def refined(embedded, settings=SETTINGS, rows=slice(0, TEXTS // 2), seed=0):
    queries, keys, positive = embedded
    widths, weights = [NARROW, DIMENSIONS], [1.0, 1.0]
    return refined_map(queries[rows], keys, positive[rows], 0.05, widths, weights, settings, seed)


def test_unseen_texts_are_ranked_better_at_each_width(embedded):
    queries, keys, positive = embedded
    unseen = (queries[TEXTS // 2 :], keys, positive[TEXTS // 2 :])
    start = torch.from_numpy(principal_directions(normalize(keys, dim=-1).numpy(), DIMENSIONS).T)
    found = refined(embedded)
    assert quality(found, *unseen, NARROW) > quality(start, *unseen, NARROW) + 0.3
    assert quality(found, *unseen, DIMENSIONS) > quality(start, *unseen, DIMENSIONS) + 0.3


def test_it_starts_from_the_principal_directions(embedded):
    keys = normalize(embedded[1], dim=-1).numpy()
    found = refined(embedded, RefineConfig(steps=1, learning_rate=1e-6))
    assert found.numpy() == pytest.approx(principal_directions(keys, DIMENSIONS).T, abs=1e-5)


def test_it_depends_on_its_seed_alone_and_leaves_the_generator_as_it_was(embedded):
    few = RefineConfig(steps=5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = refined(embedded, few)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(refined(embedded, few), first)
    assert not torch.equal(refined(embedded, few, seed=1), first)


@pytest.mark.parametrize("has_map", [False, True])
def test_an_appended_map_maps_what_the_model_said_and_is_saved_with_it(has_map, tmp_path):
    torch.manual_seed(0)
    config = EncoderConfig(architecture=SMALL_ARCHITECTURE, tokenizer_size=400, max_query_tokens=64)
    model = build_bi_encoder(load_encoder(config, NAMES), "mean_mrl", 0.1, config).eval()
    if has_map:
        model.append_map(torch.randn(32, 32))
    before, weight = embed_texts(model, NAMES, 16), torch.randn(32, 32)
    model.append_map(weight)
    wanted = (before @ weight.T).numpy()
    assert embed_texts(model, NAMES, 16).numpy() == pytest.approx(wanted, abs=1e-3)

    record = ModelRecord(variant="mean_mrl", temperature=0.05, max_query_tokens=64, max_key_tokens=16, widths=[8, 32])
    save_bi_encoder(model, tmp_path / "checkpoint", record)
    opened, _ = load_bi_encoder(tmp_path / "checkpoint")
    assert embed_texts(opened.eval(), NAMES, 16).numpy() == pytest.approx(wanted, abs=1e-3)
    plain = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu", trust_remote_code=False)
    assert np.allclose(plain.encode(NAMES, show_progress_bar=False), wanted, atol=1e-3)


def test_settings_that_make_no_sense_are_refused():
    encoder = EncoderConfig(architecture=SMALL_ARCHITECTURE)
    with pytest.raises(ValueError, match=r"refine\.steps is for mean pooling"):
        BiEncoderConfig(task="t", output="o", variant="laa_mrl", encoder=encoder, refine=SETTINGS)
    for wrong, message in (({"steps": -1}, "must not be negative"), ({"dropout": 1.0}, r"must be in \[0, 1\)")):
        with pytest.raises(ValueError, match=message):
            RefineConfig(**wrong)
