"""The model: one encoder, two heads; saving, opening, evidence."""

import itertools

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from small_encoder import make_encoder
from torch.nn.functional import normalize

from bi_encoder.checkpoint import ModelRecord, load_bi_encoder, save_bi_encoder
from bi_encoder.config import EncoderConfig
from bi_encoder.evidence.attended_spans import _spans, evidence_record, evidence_spans
from bi_encoder.inputs.batches import pad, tokenize
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.network.encoder import load_encoder
from bi_encoder.predict import embed_texts, score_texts
from bi_encoder.scoring.similarities import CodeVectors
from bi_encoder.start import build_bi_encoder

TEXTS = [
    "Heart failure, unspecified",
    "Type 2 diabetes mellitus without complications",
    "72 year old female. Admitted with heart failure and anemia, no fever.",
    "Anemia",
]


@pytest.fixture(scope="module")
def encoder():
    return make_encoder(TEXTS)


@pytest.fixture
def mean_model(encoder):
    return build_bi_encoder(encoder, "mean_mrl", 0.1).eval()


@pytest.fixture
def attention_model(encoder):
    return build_bi_encoder(encoder, "laa_mrl", 0.1).eval()


def record(variant="mean_mrl", **changes):
    values = {"variant": variant, "temperature": 0.05, "max_query_tokens": 64, "max_key_tokens": 16, "widths": [8, 32]}
    return ModelRecord(**(values | changes))


def encode(model, texts):
    return pad(model.tokenizer, tokenize(model.tokenizer, texts, 64))


def test_a_saved_mean_model_opens_in_sentence_transformers_with_the_same_vectors(mean_model, tmp_path):
    save_bi_encoder(mean_model, tmp_path / "checkpoint", record())
    own = embed_texts(mean_model, TEXTS, 64).numpy()
    opened = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu")
    assert opened.encode(TEXTS, show_progress_bar=False) == pytest.approx(own, abs=1e-5)
    prefix = SentenceTransformer(str(tmp_path / "checkpoint"), device="cpu", truncate_dim=8)
    assert prefix.encode(TEXTS, show_progress_bar=False) == pytest.approx(own[:, :8], abs=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a model on the CPU stays there anyway")
def test_a_model_on_a_gpu_stays_there_when_it_is_saved(tmp_path):
    model = build_bi_encoder(make_encoder(TEXTS), "laa_mrl", 0.1).to("cuda")
    save_bi_encoder(model, tmp_path / "checkpoint", record("laa_mrl"))
    assert {weight.device.type for weight in model.parameters()} == {"cuda"}
    assert embed_texts(model, TEXTS, 16).device.type == "cuda"


@pytest.mark.parametrize("variant", ["retrieval", "laa_mrl"])
def test_save_and_load_give_the_same_scores_and_fingerprint(encoder, tmp_path, variant):
    model = build_bi_encoder(encoder, variant, 0.07).eval()
    save_bi_encoder(model, tmp_path / "checkpoint", record(variant, codes=["I10"]))
    opened, opened_record = load_bi_encoder(tmp_path / "checkpoint", codes=["I10"])
    opened.eval()
    assert opened_record == record(variant, codes=["I10"])
    assert opened.fingerprint() == model.fingerprint()
    inputs = encode(model, TEXTS)
    with torch.no_grad():
        assert torch.allclose(opened(inputs, inputs, [32])[0][0], model(inputs, inputs, [32])[0][0], atol=1e-6)


def test_a_checkpoint_of_other_candidates_or_none_is_refused(mean_model, tmp_path):
    save_bi_encoder(mean_model, tmp_path / "checkpoint", record(codes=["I10", "E11.9"]))
    with pytest.raises(ValueError, match=r"trained on 2 candidate codes, the task has 1 \(3 are in only one"):
        load_bi_encoder(tmp_path / "checkpoint", codes=["N39.0"])
    with pytest.raises(FileNotFoundError, match="no bi-encoder checkpoint"):
        load_bi_encoder(tmp_path)


def test_a_weight_changes_the_fingerprint(mean_model):
    before = mean_model.fingerprint()
    weight = next(mean_model.parameters())
    with torch.no_grad():
        weight.view(-1)[0] += 1e-3
    assert mean_model.fingerprint() != before
    with torch.no_grad():
        weight.view(-1)[0] -= 1e-3


def test_prefix_scores_equal_cutting_the_full_states(mean_model, attention_model):
    inputs = encode(mean_model, TEXTS)
    with torch.no_grad():
        states = mean_model.encoder(dict(inputs))["token_embeddings"]
        keys = mean_model.embed(inputs)
        narrow = normalize(keys[:, :8], dim=-1)
        assert torch.allclose(mean_model(inputs, inputs, [8, 32])[0][0], narrow @ narrow.T, atol=1e-5)

        mask = attention_model.read(inputs).content
        tokens = normalize(states[..., :8], dim=-1)
        evidence, _ = attention_model.attention(tokens, mask, narrow)
        expected = torch.einsum("bcd,cd->bc", normalize(evidence, dim=-1), narrow)
        assert torch.allclose(attention_model(inputs, inputs, [8, 32])[0][0], expected, atol=1e-5)


def test_scores_do_not_depend_on_the_batch(attention_model):
    ids = tokenize_windows(attention_model.tokenizer, TEXTS, 64, 32)
    keys = embed_texts(attention_model, TEXTS, 64)
    arguments = {"widths": [8, 32], "temperature": 0.05}
    whole = score_texts(attention_model, ids, keys, batch_size=4, **arguments)
    split = score_texts(attention_model, ids, keys, batch_size=1, **arguments)
    for width in (8, 32):
        assert split[width] == pytest.approx(whole[width], abs=1e-4)
    assert np.abs(whole[32]).max() <= 1 / 0.05 + 1e-3


def test_attention_leaves_padding_and_special_tokens_out(attention_model):
    inputs = encode(attention_model, TEXTS)
    mask = attention_model.read(inputs).content
    assert mask.sum(1).tolist() == (inputs["attention_mask"].sum(1) - 2).tolist()
    assert not mask[:, 0].any()


def test_evidence_spans_are_words_of_the_note(attention_model):
    note = "Le café 😀 était fermé; heart failure, ANEMIA ﬁrst noted."
    query = QueryText(text="72 year old female. " + note, note_start=20)
    keys = embed_texts(attention_model, TEXTS, 64)
    for spans in evidence_spans(attention_model, query, keys, max_tokens=64, mass=0.5):
        for span in spans:
            words = note[span.start : span.end]
            assert words == words.strip()
            assert 0 < span.weight <= 1
        assert all(first.end <= second.start for first, second in itertools.pairwise(spans))
    # All of the mass covers every word of the note, and nothing before it.
    everything = evidence_spans(attention_model, query, keys[:1], max_tokens=64, mass=1.1)[0]
    assert [note[span.start : span.end] for span in everything] == [note]


def test_evidence_is_of_the_notes_attention_whatever_age_and_sex_have():
    """Half of 0.4, where 0.6 lie before the note."""
    weights = np.array([0.35, 0.25, 0.25, 0.15])
    offsets = np.array([[0, 0], [0, 0], [0, 5], [6, 11]])
    assert [(span.start, span.end) for span in _spans(weights, offsets, "fever cough", 0.5)] == [(0, 5)]
    assert [(span.start, span.end) for span in _spans(weights, offsets, "fever cough", 0.7)] == [(0, 11)]
    assert _spans(np.array([0.6, 0.4, 0, 0]), offsets, "fever cough", 0.5) == []


def test_evidence_of_the_best_codes_as_it_is_kept_with_predictions(attention_model):
    queries = [QueryText(text="Aged 72. Heart failure and anemia.", note_start=9), QueryText(text="x", note_start=None)]
    keys = embed_texts(attention_model, TEXTS, 64)
    codes = [f"code-{number}" for number in range(len(TEXTS))]
    scores = np.tile(np.arange(len(TEXTS), dtype=np.float32), (2, 1))
    found = evidence_record(attention_model, queries, CodeVectors.one_each(keys), scores, codes, max_tokens=64)
    assert list(found) == ["0"], "only queries that were written from a note"
    assert list(found["0"]) == codes[::-1][:10]
    expected = evidence_spans(attention_model, queries[0], keys[-1:], max_tokens=64)[0]
    assert found["0"][codes[-1]] == [[span.start, span.end] for span in expected]
    vectors = CodeVectors.one_each(keys)
    assert evidence_record(attention_model, queries[1:], vectors, scores[1:], codes, max_tokens=64) is None


def test_evidence_needs_label_attention_and_a_note(mean_model, attention_model):
    keys = torch.ones(1, 32)
    with pytest.raises(ValueError, match="train the variant laa_mrl"):
        evidence_spans(mean_model, QueryText(text="Anemia", note_start=0), keys, max_tokens=64)
    with pytest.raises(ValueError, match="has none"):
        evidence_spans(attention_model, QueryText(text="Anemia", note_start=None), keys, max_tokens=64)


def test_encoders_that_cannot_be_loaded_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a directory"):
        load_encoder(EncoderConfig(pretrained="./no/such/model"), TEXTS)
    with pytest.raises(ValueError, match="pip install --no-deps no-such-encoder"):
        load_encoder(EncoderConfig(pretrained="package:no_such_encoder/model"), TEXTS)
    with pytest.raises(ValueError, match="needs a model_type"):
        load_encoder(EncoderConfig(architecture={"hidden_size": 32}), TEXTS)
