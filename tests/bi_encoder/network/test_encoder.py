"""The encoder as it is opened for training."""

from pathlib import Path

import pytest
import torch
from small_encoder import make_encoder
from transformers import BertConfig, BertForMaskedLM

from bi_encoder.adaptation.masked_tokens import open_masked_model
from bi_encoder.config import EncoderConfig
from bi_encoder.network.encoder import load_encoder, open_sentence_transformer


@pytest.fixture(params=[torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def half_precision_encoder(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A folder with an encoder that was saved in 16 bits, as many on the hub are."""
    tokenizer = make_encoder(["fever and cough"] * 10).tokenizer
    shape = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    BertForMaskedLM(shape).to(request.param).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def dtypes(model: torch.nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in model.parameters()}


def test_an_encoder_saved_in_16_bits_is_trained_adapted_and_searched_in_float32(half_precision_encoder: str):
    trained = load_encoder(EncoderConfig(pretrained=half_precision_encoder, max_query_tokens=64), [])
    assert dtypes(trained) == {torch.float32}
    assert dtypes(open_masked_model(half_precision_encoder)[0]) == {torch.float32}
    assert dtypes(open_sentence_transformer(half_precision_encoder)) == {torch.float32}
