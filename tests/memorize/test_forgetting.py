"""Forgetting: perplexity of general text, and replay that never trains on what is measured."""

import math

import datasets
import pytest
import torch
from small_model import ARCHITECTURE

from memorize.config import MemorizeConfig
from memorize.forgetting import measured_text, perplexity, replayed_text, with_replay
from mera.language_models.models import ModelConfig, load_base_model


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return load_base_model(ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400), measured_text(None))


def test_the_built_in_text_is_measured_or_replayed_never_both():
    measured, replayed = measured_text(None), replayed_text(None)
    assert not set(measured) & set(replayed)
    assert min(len(" ".join(part).split()) for part in (measured, replayed)) > 500
    assert all(text.isascii() for text in (*measured, *replayed))


def test_a_users_text_is_split_the_same_way(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\r\n\r\n".join(f"paragraph {number}\r\nends" for number in range(25)), encoding="utf-8")
    measured, replayed = measured_text(str(path)), replayed_text(str(path))
    assert measured == ["paragraph 9 ends", "paragraph 19 ends"]
    assert sorted(measured + replayed) == sorted(f"paragraph {number} ends" for number in range(25))


def test_a_bad_replay_text_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"replay_text not found: .*none\.txt"):
        replayed_text(str(tmp_path / "none.txt"))
    (tmp_path / "short.txt").write_text("one\n\ntwo", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has 2 paragraphs .* needs at least 10"):
        measured_text(str(tmp_path / "short.txt"))
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        measured_text(str(tmp_path / "latin.txt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replay": 1.0}, r"replay is a share of the training examples, in \[0, 1\), got 1.0"),
        ({"replay_text": "a.txt"}, "replay_text is set but replay is 0"),
    ],
)
def test_impossible_replay_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MemorizeConfig(task="t", output="o", model=ModelConfig(architecture={}), **settings)


def test_replay_is_the_share_it_says_and_carries_loss(small):
    _, tokenizer = small
    examples = datasets.Dataset.from_dict({"input_ids": [[5, 6, 7]] * 30, "completion_mask": [[0, 1, 1]] * 30})
    mixed = with_replay(examples, 0.4, replayed_text(None), tokenizer, 64)
    assert len(mixed) == 50
    for row in list(mixed)[30:]:
        assert len(row["input_ids"]) <= 64
        assert row["completion_mask"] == [0] + [1] * (len(row["input_ids"]) - 1)
        assert tokenizer.decode(row["input_ids"][1:])[:20] in " ".join(replayed_text(None))
    assert with_replay(examples, 0.001, replayed_text(None), tokenizer, 64) is examples


def test_perplexity_equals_the_probabilities_written_out(small):
    model, tokenizer = small
    texts = ["The market opens.", "A good knife needs little attention."]
    total, count = 0.0, 0
    for text in texts:
        ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        for end in range(1, len(ids)):
            with torch.no_grad():
                probabilities = model(input_ids=torch.tensor([ids[:end]])).logits[0, -1].softmax(-1)
            total -= math.log(probabilities[ids[end]])
            count += 1
    assert perplexity(model, tokenizer, texts, 128) == pytest.approx(math.exp(total / count), rel=1e-4)
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        kept = head.clone()
        head.zero_()
        assert perplexity(model, tokenizer, texts, 128) == pytest.approx(len(head), rel=1e-4)  # uniform
        head.copy_(kept)
