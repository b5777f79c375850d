"""The smallest Mistral and the smallest T5 that tests build, as the architecture of a `ModelConfig`, and a model with
codes to learn."""

import torch

from mera.language_models.models import ModelConfig, load_base_model

ARCHITECTURE = {
    "model_type": "mistral",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
SMALL_T5 = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "dropout_rate": 0.0,
}
OWN_HEAD = {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}
"""What makes a T5 one of version 1.1, as Flan-T5 is."""
DEFINITIONS = {
    "428.0": "Congestive heart failure",
    "428": "Heart failure",
    "E11.9": "Type 2 diabetes",
    "V27.0": "Outcome",
}


def small_t5(tied=True):
    torch.manual_seed(0)
    architecture = SMALL_T5 | ({} if tied else OWN_HEAD)
    return load_base_model(ModelConfig(architecture=architecture, tokenizer_size=400), DEFINITIONS.values())


def small_model(tied=False):
    torch.manual_seed(0)
    architecture = ARCHITECTURE | {"tie_word_embeddings": tied}
    return load_base_model(ModelConfig(architecture=architecture, tokenizer_size=400), DEFINITIONS.values())
