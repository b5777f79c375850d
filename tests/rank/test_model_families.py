"""Both stages on every family of language models: the same loss behind one prompt, and checkpoints that open again."""

import json
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_families import FAMILIES, save_base_model, tiny_model
from naive_decoding import BONUS_AND_EOV, PAD_ID, PROMPTS, decode_naively, rule
from shared_prompt import CANDIDATES, EOV_ID, EXAMPLES, NUM_CODES, assert_same_gradients, collated_loss, separate_loss
from tiny_task import make_tiny_task
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from data.task import load_task
from memorize.encoding import QuestionEncoder
from memorize.measurement import load_memorized
from memorize.questions import QuestionBook
from memorize.recall import BOTH_WAYS, both_ways
from mera.language_models.lora import LoraSettings, add_lora, merged
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from rank.attention.kernels import use_kernel
from rank.candidate_head import read_candidates_only
from rank.config import LossConfig
from rank.decoding import decode
from rank.predict import Ranker
from rank.verification.head import read_hidden_states
from rank.wide.recurrence import Recurrence

WITH_A_WINDOW = [
    name
    for name, family in FAMILIES.items()
    if "sliding_window" in family.settings and "attn_logit_softcapping" not in family.settings
]
each_family = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("families") / "task", patients=40)


def ranking_model(name):
    model = tiny_model(FAMILIES[name], 48, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.recurrence = Recurrence(NUM_CODES)
    for weight in model.parameters():  # norms that begin at 0 or 1 everywhere would hide some mistakes
        torch.nn.init.normal_(weight, mean=0.3 if weight.ndim == 1 else 0.0, std=0.2)
    return model


@each_family
def test_one_prompt_for_all_orders_equals_separate_sequences(name):
    config = LossConfig(levels=("all", "chapter"), threshold_weight=0.7)
    together, apart = ranking_model(name), ranking_model(name)
    use_kernel(together, "sdpa")
    read_candidates_only(together, CANDIDATES, EOV_ID)
    fast, slow = collated_loss(together, EXAMPLES, config), separate_loss(apart, EXAMPLES, config)
    (3.0 * fast).backward()
    (3.0 * slow).backward()
    assert abs(fast.item() - slow.item()) < 1e-5 * abs(slow.item())
    assert_same_gradients(together, apart)


@pytest.mark.parametrize("name", WITH_A_WINDOW)
def test_a_mask_that_leaves_the_window_out_would_be_noticed(name):
    config, model = LossConfig(levels=("all", "chapter")), ranking_model(name)
    separate = separate_loss(model, EXAMPLES, config).item()
    use_kernel(model, "sdpa")
    read_candidates_only(model, CANDIDATES, EOV_ID)
    assert abs(collated_loss(model, EXAMPLES, config, sliding_window=None).item() - separate) > 1e-5


@each_family
def test_codes_written_with_a_cache_are_those_of_the_naive_loop(name):
    plain, model = ranking_model(name).eval(), ranking_model(name).eval()
    read_candidates_only(model, CANDIDATES, EOV_ID)
    written, first = decode(model, PROMPTS, BONUS_AND_EOV, CANDIDATES, rule(1.0), PAD_ID, 12)
    for index, prompt in enumerate(PROMPTS):
        expected, expected_first = decode_naively(plain, prompt, BONUS_AND_EOV[index], 1.0, 12, 1.0)
        assert written[index] == expected
        np.testing.assert_allclose(first[index], expected_first, rtol=1e-4, atol=1e-4)
    assert sum(map(len, written)) > 3


@each_family
def test_lora_trains_every_layer_and_is_merged(name):
    family = FAMILIES[name]
    model = tiny_model(family, 48, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    wrapped = add_lora(model, LoraSettings(rank=2, dropout=0.0))
    optimizer = torch.optim.SGD([weight for weight in wrapped.parameters() if weight.requires_grad], lr=0.1)
    ids = torch.tensor([[1, 5, 6, 7, 8, 3]])
    wrapped(input_ids=ids, labels=ids).loss.backward()
    products = [weight.grad for key, weight in wrapped.named_parameters() if "lora_B" in key]
    assert len(products) == family.settings["num_hidden_layers"] * (4 if family.model_type == "phi3" else 7)
    assert all(grad.abs().max() > 0 for grad in products)
    optimizer.step()
    logits = wrapped.eval()(input_ids=ids).logits
    plain = merged(wrapped)
    torch.testing.assert_close(plain(input_ids=ids).logits, logits, rtol=1e-4, atol=1e-5)
    assert (plain.get_output_embeddings().weight is plain.get_input_embeddings().weight) == family.tied


def test_a_model_that_caps_its_logits_is_no_verifier():
    with pytest.raises(UserError, match="a gemma2 caps its logits, and would cap the hidden states that a verifier"):
        read_hidden_states(ranking_model("gemma2-capped"))


def run(script, monkeypatch, **options):
    words = [word for key, value in options.items() for word in (f"--{key.replace('__', '.')}", str(value))]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("MERA_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", [script, *words])
    runpy.run_path(str(ROOT / script), run_name="__main__")


def train_both_stages(family, task, folder, monkeypatch, **first):
    """Stage one with the settings `first`, stage two on top, both checkpoints opened again; recall.json."""
    base = save_base_model(family, task.definitions, folder / "base")
    few = {"task": task.path, "training__epochs": 2, "training__learning_rate": 0.01}
    run(
        "memorize/train.py",
        monkeypatch,
        **few | first,
        output=folder / "memorize",
        model__base=base,
        questions__phrasings=1,
        questions__mixture__code_to_group=0,
        measure_pretrained=False,
    )
    recall = json.loads((folder / "memorize" / "recall.json").read_text())
    checkpoint = folder / "memorize" / "checkpoint"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    assert model.config.model_type == family.model_type
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == family.tied
    code_set, questions = load_memorized(checkpoint)
    reopened = both_ways(model, QuestionEncoder(tokenizer, questions), QuestionBook(code_set, questions), 64)
    assert reopened == {kind: recall["after"][kind] for kind in BOTH_WAYS}
    run(
        "rank/train.py",
        monkeypatch,
        **few,
        output=folder / "rank",
        model__base=checkpoint,
        orders=2,
        training__batch_size=8,
    )
    predictions = read_predictions(folder / "rank")
    ranker, rows = Ranker.load(folder / "rank" / "checkpoint"), list(load_task(task.path).splits["test"])
    scores, eov = ranker.score(rows)
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ranker.rule.thresholds(scores, eov), predictions.thresholds, rtol=1e-4, atol=1e-4)
    assert predictions.scores.std(axis=0).min() > 0
    return recall


@each_family
def test_both_stages_train_and_their_checkpoints_open_again(name, task, tmp_path, monkeypatch):
    train_both_stages(FAMILIES[name], task, tmp_path, monkeypatch)


@pytest.mark.slow
@each_family
def test_each_family_learns_every_code_both_ways(name, task, tmp_path, monkeypatch):
    """With a window in which an answer sees its question, and with Gemma 2's own caps."""
    settings = FAMILIES[name].settings
    as_real = {"sliding_window": 64, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    family = replace(FAMILIES[name], settings=settings | {key: as_real[key] for key in as_real.keys() & settings})
    enough = {"training__epochs": 200, "training__batch_size": 16, "stop_at": 0.99, "evaluate_every": 5}
    recall = train_both_stages(family, task, tmp_path, monkeypatch, **enough)
    assert max(recall["before"][kind] for kind in BOTH_WAYS) < 0.2
    assert min(recall["after"][kind] for kind in BOTH_WAYS) >= 0.99


def test_layers_that_read_otherwise_are_refused():
    config = AutoConfig.for_model("llama", hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=40)
    config.layer_types = ["chunked_attention"]
    model = torch.nn.Module()
    model.config = config
    with pytest.raises(UserError, match="a llama has layers of the kind chunked_attention, in which several orders"):
        use_kernel(model, "sdpa")
