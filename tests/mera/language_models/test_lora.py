"""LoRA: what it trains, and what merging keeps."""

import pytest
import torch
from small_model import DEFINITIONS, small_model

from mera.language_models.code_tokens import EOV, add_code_tokens, token_ids
from mera.language_models.lora import LoraSettings, add_lora, merged


@pytest.mark.parametrize("tied", [False, True])
def test_lora_trains_the_rows_of_both_embeddings_and_merging_keeps_them(tied):
    model, tokenizer = small_model(tied)
    add_code_tokens(model, tokenizer, DEFINITIONS)
    row = token_ids(tokenizer, ["428.0"]).item()
    before = (model.get_input_embeddings().weight[row].clone(), model.get_output_embeddings().weight[row].clone())
    wrapped = add_lora(model, LoraSettings(rank=2))
    optimizer = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=1.0)
    ids = torch.tensor([[row, tokenizer.convert_tokens_to_ids(EOV), row]])
    wrapped(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    logits = wrapped.eval()(input_ids=ids).logits
    plain = merged(wrapped)
    after = (plain.get_input_embeddings().weight[row], plain.get_output_embeddings().weight[row])
    assert all((new - old).abs().max() > 1e-4 for new, old in zip(after, before, strict=True))
    torch.testing.assert_close(plain(input_ids=ids).logits, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_what_trains_beside_a_bfloat16_model_is_in_float32(tied):
    model, tokenizer = small_model(tied)
    add_code_tokens(model, tokenizer, DEFINITIONS)
    model.bfloat16()
    row = token_ids(tokenizer, ["428.0"]).item()
    ids = torch.tensor([[row, tokenizer.convert_tokens_to_ids(EOV), row]])
    plain_logits = model.eval()(input_ids=ids).logits
    model.get_input_embeddings().weight.data[row, 0] = 0.5  # where neighbours in bfloat16 are 0.004 apart
    wrapped = add_lora(model, LoraSettings(rank=2))
    trained = [weight for weight in wrapped.parameters() if weight.requires_grad]
    assert {weight.dtype for weight in trained} == {torch.float32}
    optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0)
    before = wrapped.get_input_embeddings().weight[row].clone()
    wrapped.train()(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    moved = (wrapped.get_input_embeddings().weight[row] - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 5e-5), rtol=0.01, atol=0)
    logits = wrapped.eval()(input_ids=ids).logits
    plain = merged(wrapped)
    assert {weight.dtype for weight in plain.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(plain(input_ids=ids).logits.float(), logits.float(), rtol=0, atol=0.05)
    assert plain_logits.dtype == plain(input_ids=ids).logits.dtype == torch.bfloat16
