"""Tiny models of each family of language models that the stages take, with tokenizers whose special tokens differ."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

WINDOW = 4
"""Tokens, in the families with a sliding window: shorter than any prompt."""
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
QWEN = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
GEMMA = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
PHI = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"}
MISTRAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Family:
    model_type: str
    special_tokens: dict[str, str]
    settings: dict = field(default_factory=dict)
    tied: bool = False


FAMILIES = {
    "llama": Family("llama", LLAMA, {"num_hidden_layers": 2}),
    "llama-tied": Family("llama", LLAMA, {"num_hidden_layers": 2}, tied=True),
    "qwen2-some-layers-slide": Family(
        "qwen2",
        QWEN,
        {"num_hidden_layers": 2, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
        tied=True,
    ),
    "qwen3": Family("qwen3", QWEN, {"num_hidden_layers": 2, "head_dim": 16}),
    "gemma2-capped": Family(
        "gemma2",
        GEMMA,
        {
            "num_hidden_layers": 2,
            "sliding_window": WINDOW,
            "head_dim": 8,
            "query_pre_attn_scalar": 1,
            "attn_logit_softcapping": 0.5,
            "final_logit_softcapping": 3.0,
        },
        tied=True,
    ),
    "gemma3": Family(
        "gemma3_text",
        GEMMA,
        {
            "num_hidden_layers": 3,
            "sliding_window": WINDOW,
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        tied=True,
    ),
    "phi3-all-layers-slide": Family("phi3", PHI, {"num_hidden_layers": 2, "sliding_window": WINDOW}),
    "mistral-all-layers-slide": Family("mistral", MISTRAL, {"num_hidden_layers": 2, "sliding_window": WINDOW}),
}


def tiny_model(family: Family, vocab_size: int, **token_ids: int | None) -> PreTrainedModel:
    torch.manual_seed(0)
    settings = SIZES | family.settings | {"max_position_embeddings": 512, "tie_word_embeddings": family.tied}
    config = AutoConfig.for_model(family.model_type, vocab_size=vocab_size, **settings, **token_ids)
    return AutoModelForCausalLM.from_config(config)


def tiny_tokenizer(family: Family, texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(family.special_tokens.values()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **family.special_tokens)


def save_base_model(family: Family, texts: list[str], folder: Path) -> Path:
    """A base model as one of a hub lies in a folder: its tokenizer has the family's special tokens and no others, and
    its embeddings have rows to spare."""
    tokenizer = tiny_tokenizer(family, texts)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    tiny_model(family, len(tokenizer) + 7, **ids).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
