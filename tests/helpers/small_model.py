"""The smallest Mistral that tests build: the architecture of a `ModelConfig`."""

ARCHITECTURE = {
    "model_type": "mistral",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
