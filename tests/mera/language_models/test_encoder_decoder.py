"""Encoder-decoders: their own head is kept, LoRA trains what the causal models' LoRA trains, other families are
refused."""

import json

import pytest
import torch
from small_model import DEFINITIONS, SMALL_T5, small_model, small_t5
from transformers import AutoModelForSeq2SeqLM, BartConfig

from mera.language_models.code_tokens import EOV, add_code_tokens, token_ids
from mera.language_models.encoder_decoder import decoder_inputs, encoder_inputs, is_encoder_decoder
from mera.language_models.lora import LoraSettings, add_lora, merged
from mera.language_models.models import ModelConfig, load_base_model, open_checkpoint

IDS = torch.tensor([[5, 6, 7, 8]])


def logits_of(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS, decoder_input_ids=IDS[:, :2]).logits


@pytest.fixture(params=[True, False], ids=["tied", "own head"])
def saved(request, tmp_path):
    """(tied, a T5 in a folder as a hub has it)"""
    model, tokenizer = small_t5(request.param)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "base")
    if not request.param:  # as in the hub's files, whose own word transformers passes over
        config = json.loads((tmp_path / "base" / "config.json").read_text())
        assert config["tie_word_embeddings"] is False
        assert config["scale_decoder_outputs"] is False
    return request.param, tmp_path / "base"


def test_what_a_model_is_its_configuration_says(saved):
    _, folder = saved
    assert is_encoder_decoder(load_base_model(ModelConfig(base=str(folder)), ())[0])
    assert is_encoder_decoder(open_checkpoint(folder, "cpu")[0])
    assert is_encoder_decoder(add_lora(small_t5()[0], LoraSettings(rank=2)))
    assert not is_encoder_decoder(small_model()[0])


def test_new_tokens_leave_an_output_layer_of_its_own_alone(saved):
    tied, folder = saved
    model, tokenizer = load_base_model(ModelConfig(base=str(folder)), ())
    before, head, size = logits_of(model), model.get_output_embeddings().weight.clone(), len(tokenizer)
    add_code_tokens(model, tokenizer, DEFINITIONS)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert torch.equal(model.get_output_embeddings().weight[:size], head[:size])
    torch.testing.assert_close(logits_of(model)[..., :size], before[..., :size])
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):  # grounded in both
        definition = tokenizer(DEFINITIONS["E11.9"], add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(
            layer.weight[token_ids(tokenizer, ["E11.9"])[0]], layer.weight[definition].mean(dim=0)
        )
    for part in (model, tokenizer):
        part.save_pretrained(folder.parent / "again")
    plain = AutoModelForSeq2SeqLM.from_pretrained(folder.parent / "again")
    assert torch.equal(logits_of(plain), logits_of(model))
    opened, _ = open_checkpoint(folder.parent / "again", "cpu")
    assert opened.config.tie_word_embeddings == tied


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "own head"])
def test_lora_trains_one_table_for_encoder_and_decoder_and_merging_keeps_it(tied):
    model, tokenizer = small_t5(tied)
    add_code_tokens(model, tokenizer, DEFINITIONS)
    row = token_ids(tokenizer, ["428.0"]).item()
    before = (model.get_input_embeddings().weight[row].clone(), model.get_output_embeddings().weight[row].clone())
    wrapped = add_lora(model, LoraSettings(rank=2, dropout=0.0))
    trained = [name for name, weight in wrapped.named_parameters() if weight.requires_grad]
    assert sum("lora_A" in name for name in trained) == 2 * (2 * 4 + 4) + (2 if tied else 3) * 4  # q k v o, and wi wo
    optimizer = torch.optim.SGD([weight for weight in wrapped.parameters() if weight.requires_grad], lr=0.5)
    ids = torch.tensor([[row, tokenizer.convert_tokens_to_ids(EOV), row]])
    wrapped(input_ids=ids, decoder_input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    with torch.no_grad():
        logits = wrapped.eval()(input_ids=ids, decoder_input_ids=ids).logits
        plain = merged(wrapped)
        after = (plain.get_input_embeddings().weight[row], plain.get_output_embeddings().weight[row])
        assert all((new - old).abs().max() > 1e-4 for new, old in zip(after, before, strict=True))
        torch.testing.assert_close(plain(input_ids=ids, decoder_input_ids=ids).logits, logits, rtol=1e-4, atol=1e-5)
    assert plain.encoder.embed_tokens.weight is plain.decoder.embed_tokens.weight is plain.shared.weight
    assert (plain.lm_head.weight is plain.shared.weight) == tied


def test_inputs_of_encoder_and_decoder():
    inputs = encoder_inputs([[5, 6, 7], [8]], pad_id=0)
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert decoder_inputs([[9], [10, 11, 12]], start=3, pad_id=0).tolist() == [[3, 0, 0], [3, 10, 11]]


def test_another_family_is_one_sentence(tmp_path):
    settings = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "decoder_ffn_dim": 16, "encoder_ffn_dim": 16}
    with pytest.raises(
        ValueError, match="an encoder-decoder of the type bart cannot be trained; of these only t5 and mt5"
    ):
        load_base_model(ModelConfig(architecture={"model_type": "bart", **settings}, tokenizer_size=300), ["text"])
    _, tokenizer = small_t5()
    tokenizer.save_pretrained(tmp_path)
    BartConfig(**settings).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"cannot load the base model '.*': an encoder-decoder of the type bart cannot"
    ):
        load_base_model(ModelConfig(base=str(tmp_path)), ())


def test_its_shape_without_weights(saved):
    tied, folder = saved
    model, tokenizer = load_base_model(ModelConfig(base=str(folder), weights="none"), ())
    real, _ = load_base_model(ModelConfig(base=str(folder)), ())
    for each in (model, real):
        add_code_tokens(each, tokenizer, {})
    assert model.config.tie_word_embeddings == tied
    assert {name: w.shape for name, w in model.named_parameters()} == {n: w.shape for n, w in real.named_parameters()}
    mt5 = SMALL_T5 | {"model_type": "mt5"}
    assert load_base_model(ModelConfig(architecture=mt5, tokenizer_size=300), ["text"])[0].config.tie_word_embeddings
