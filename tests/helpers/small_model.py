"""The smallest Mistral that tests build: the architecture of a `ModelConfig`, and a model with codes to learn."""

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
DEFINITIONS = {
    "428.0": "Congestive heart failure",
    "428": "Heart failure",
    "E11.9": "Type 2 diabetes",
    "V27.0": "Outcome",
}


def small_model(tied=False):
    torch.manual_seed(0)
    architecture = ARCHITECTURE | {"tie_word_embeddings": tied}
    return load_base_model(ModelConfig(architecture=architecture, tokenizer_size=400), DEFINITIONS.values())
