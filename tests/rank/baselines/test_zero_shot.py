"""A language model asked as it is: against a loop that reads prompt and definition as one text."""

import numpy as np
import pytest
import torch
from small_model import small_model, small_t5
from tiny_task import make_tiny_task

from mera.language_models.plain_text import PlainText
from mera.system.errors import UserError
from rank.baselines.config import BaselinesConfig, ZeroShotConfig
from rank.baselines.zero_shot import END, ZeroShot, zero_shot

ROW = {
    "age": 67,
    "sex": "F",
    "text": None,
    "history": [
        {"codes": ["428.0", "V27.0"], "days_before": 120},
        {"codes": ["E11.9", "unknown", "E11.9"], "days_before": None},
    ],
}


@pytest.fixture(scope="module")
def model_and_tokenizer():
    model, tokenizer = small_model()
    return model.eval(), tokenizer


def asked(model_and_tokenizer, **settings):
    definitions = {"428.0": "Congestive heart failure", "E11.9": "Type 2 diabetes", "V27.0": "Outcome of delivery"}
    candidates = [*definitions.values(), "Heart failure", "Heart failure, left"]
    config = ZeroShotConfig(model="here", **settings)
    return ZeroShot(*model_and_tokenizer, candidates, definitions, config), candidates


def log_probability(model, ids, start):
    """Of the tokens from `start` on, one forward pass over the whole text for each."""
    total = 0.0
    with torch.no_grad():
        for place in range(start, len(ids)):
            logits = model(torch.tensor([ids[:place]])).logits[0, -1]
            total += float(logits.log_softmax(dim=-1)[ids[place]])
    return total


@pytest.mark.parametrize("batch_size", [2, 64])
def test_scores_equal_a_loop_over_whole_texts(model_and_tokenizer, batch_size):
    model, candidates = asked(model_and_tokenizer, batch_size=batch_size)
    text, bos = PlainText(model_and_tokenizer[1], ()), model_and_tokenizer[1].bos_token_id
    scores = model.score([ROW, ROW | {"age": None, "sex": None, "history": []}], "test")
    bare = [bos, *text.ids("Diagnoses of a patient.\nNext visit:")]
    prompt = [bos, *text.ids("Diagnoses of a patient, 67 years old, female.\n")]
    prompt += text.ids("Visit, 120 days before: Congestive heart failure; Outcome of delivery;\n")
    prompt += [*text.ids("Visit: Type 2 diabetes; unknown;\n"), *text.ids("Next visit:")]
    assert model.prompt(ROW) == prompt
    for column, definition in enumerate(candidates):
        ids = text.ids(f" {definition}{END}")
        prior = log_probability(model.model, [*bare, *ids], len(bare))
        expected = log_probability(model.model, [*prompt, *ids], len(prompt)) - prior
        assert model.prior[column] == pytest.approx(prior, rel=1e-4)
        assert scores[0, column] == pytest.approx(expected, abs=1e-3)


def test_the_oldest_visits_are_left_out(model_and_tokenizer):
    whole, _ = asked(model_and_tokenizer)
    full = whole.prompt(ROW)
    short, _ = asked(model_and_tokenizer, max_tokens=len(full) - 1)
    assert short.prompt(ROW) == whole.prompt(ROW | {"history": ROW["history"][1:]})
    assert len(asked(model_and_tokenizer, max_tokens=len(full))[0].prompt(ROW)) == len(full)


def test_a_whole_task_with_a_model_of_a_folder(model_and_tokenizer, tmp_path):
    task = make_tiny_task(tmp_path / "task", patients=20)
    for part in model_and_tokenizer:
        part.save_pretrained(tmp_path / "model")
    config = ZeroShotConfig(model=str(tmp_path / "model"))
    scored = zero_shot(task, config)
    assert scored.test.shape == task.targets("test").shape
    assert np.isfinite(scored.test).all()
    np.testing.assert_array_equal(zero_shot(task, config).validation, scored.validation)


def test_it_is_off_and_asks_for_a_model(tmp_path):
    assert "zero-shot" not in BaselinesConfig(task="t", output="o").only
    task = make_tiny_task(tmp_path / "task", patients=20)
    with pytest.raises(UserError, match=r"--zero_shot\.model"):
        zero_shot(task, ZeroShotConfig())
    for part in small_t5():
        part.save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match=r"--zero_shot\.model is an encoder-decoder"):
        zero_shot(task, ZeroShotConfig(model=str(tmp_path / "t5")))
