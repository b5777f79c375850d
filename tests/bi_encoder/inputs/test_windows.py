"""Texts longer than the encoder's window: every token once, the same offsets, the same states."""

import numpy as np
import pytest
import torch
from small_encoder import SMALL_ARCHITECTURE, make_encoder

from bi_encoder.config import EncoderConfig
from bi_encoder.evidence.attended_spans import evidence_spans
from bi_encoder.inputs.texts import QueryText
from bi_encoder.inputs.windows import (
    batches_of_windows,
    join_windows,
    tokenize_windows,
    window_batch,
    windows_with_offsets,
)
from bi_encoder.predict import embed_texts, embed_windows, score_texts
from bi_encoder.start import build_bi_encoder

WORDS = ["Le café", "😀 était", "fermé;", "e\u0301tat", "👩\u200d⚕️ heart", "failure,", "ANEMIA", "ﬁrst", "noted"]
NOTE = " ".join(f"{word} {number}" for number, word in enumerate(WORDS * 30))


@pytest.fixture(scope="module")
def model():
    return build_bi_encoder(make_encoder([NOTE]), "laa_mrl", 0.1).eval()


def whole(tokenizer, text):
    return tokenizer(text, truncation=False, return_offsets_mapping=True)


@pytest.mark.parametrize("overlap", [0, 1, 7, 16, 32])
def test_the_kept_tokens_are_those_of_the_whole_text(model, overlap):
    expected = whole(model.tokenizer, NOTE)
    texts = tokenize_windows(model.tokenizer, [NOTE, "short", NOTE[:700]], 64, overlap)
    assert all(len(window) <= 64 for windows in texts for window in windows)
    assert len(texts[0]) > 10 > 1 == len(texts[1])
    batch = window_batch(model.tokenizer, texts, overlap)
    joined = join_windows(batch["input_ids"], batch["unique_mask"], batch["windows_per_text"])
    lengths = join_windows(batch["attention_mask"], batch["unique_mask"], batch["windows_per_text"]).sum(1).tolist()
    assert joined[0].tolist() == expected["input_ids"]
    assert joined[1, : lengths[1]].tolist() == model.tokenizer("short")["input_ids"]
    assert lengths[2] == len(whole(model.tokenizer, NOTE[:700])["input_ids"])
    windows, offsets = windows_with_offsets(model.tokenizer, NOTE, 64, overlap)
    assert windows == texts[0]
    assert offsets.tolist() == [list(place) for place in expected["offset_mapping"]]


def test_training_reads_the_first_windows(model):
    first = tokenize_windows(model.tokenizer, [NOTE], 64, 16, max_windows=2)[0]
    assert first == tokenize_windows(model.tokenizer, [NOTE], 64, 16)[0][:2]


def test_a_text_that_fits_is_read_as_without_windows(model):
    text = "heart failure, ANEMIA first noted"
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    batch = window_batch(model.tokenizer, tokenize_windows(model.tokenizer, [text, NOTE], 64, 16), 16)
    with torch.no_grad():
        alone = model.read({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        beside = model.read(batch)
    assert torch.allclose(beside.states[0, : ids.shape[1]], alone.states[0], atol=1e-5)
    assert beside.mask[0].sum() == alone.mask.sum()
    assert beside.content[0].sum() == alone.content.sum() == ids.shape[1] - 2
    assert beside.content[1].sum() == len(whole(model.tokenizer, NOTE)["input_ids"]) - 2


def test_scores_and_vectors_of_a_long_text_do_not_depend_on_the_batch(model):
    texts = tokenize_windows(model.tokenizer, [NOTE, "short", NOTE[:700], "heart failure"], 64, 16)
    keys = embed_texts(model, ["heart failure", "anemia", "café"], 16)
    settings = {"widths": [8, 32], "temperature": 0.05, "overlap": 16}
    together = score_texts(model, texts, keys, batch_size=100, **settings)
    apart = score_texts(model, texts, keys, batch_size=1, **settings)
    for width in (8, 32):
        assert apart[width] == pytest.approx(together[width], abs=1e-4)
    vectors = embed_windows(model, texts, 16, batch_size=100)
    assert torch.allclose(embed_windows(model, texts, 16, batch_size=2), vectors, atol=1e-5)
    assert torch.allclose(vectors[1], embed_texts(model, ["short"], 64, tower="query")[0], atol=1e-5)


def test_batches_hold_so_many_windows_or_one_text():
    texts = [[[0]] * count for count in (1, 9, 2, 1, 3)]
    batches = list(batches_of_windows(texts, 4))
    assert batches == [[1], [4], [2, 0, 3]]
    assert sorted(row for batch in batches for row in batch) == list(range(5))


def test_evidence_of_the_end_of_a_long_note_points_at_it(model):
    """An attention that finds one token anywhere gives the place of that token, emoji and accents before it or not."""
    query = QueryText(text="72 year old. " + NOTE, note_start=13)
    _, offsets = windows_with_offsets(model.tokenizer, query.text, 64, 16)
    everything = evidence_spans(model, query, torch.ones(1, 32), max_tokens=64, overlap=16, mass=1.1)[0]
    assert [NOTE[span.start : span.end] for span in everything] == [NOTE]
    batch = window_batch(model.tokenizer, [windows_with_offsets(model.tokenizer, query.text, 64, 16)[0]], 16)
    with torch.no_grad():
        states = model.read(batch).states[0]
    for token in (30, len(offsets) // 2, len(offsets) - 5):
        span = max(
            evidence_spans(model, query, states[token : token + 1] * 1.0, max_tokens=64, overlap=16, mass=0.01)[0],
            key=lambda found: found.weight,
        )
        assert isinstance(span.start, int)
        weights = model.token_weights(batch, states[token : token + 1])[0, 0].detach().numpy()
        start, end = offsets[int(np.argmax(weights))] - 13
        assert NOTE[start:end].strip() == NOTE[span.start : span.end]


def test_a_note_of_100_000_tokens_is_read_to_its_end(model):
    note = "fever " * 60_000 + "heart failure"
    windows, offsets = windows_with_offsets(model.tokenizer, note, 64, 16)
    assert len(offsets) > 100_000
    assert note[offsets[-2][0] - 6 : offsets[-2][1]].endswith("failure")
    keys = embed_texts(model, ["heart failure", "fever"], 16)
    scores = score_texts(model, [windows], keys, widths=[32], temperature=1.0, overlap=16)[32]
    assert np.isfinite(scores).all()


def test_an_overlap_of_more_than_half_a_window_is_refused():
    with pytest.raises(ValueError, match="window_overlap must be between 0 and half of max_query_tokens, 32; got 40"):
        EncoderConfig(architecture=SMALL_ARCHITECTURE, max_query_tokens=64, window_overlap=40)
