"""The model that a run starts to train."""

from bi_encoder.config import BiEncoderConfig
from bi_encoder.encoder import load_encoder
from bi_encoder.model import BiEncoder, build_bi_encoder
from bi_encoder.rotation import turn_to_principal_directions
from bi_encoder.texts import key_texts, tokenizer_texts
from data.task import Task


def model_for_task(config: BiEncoderConfig, task: Task) -> BiEncoder:
    """The encoder of `config` with the variant's head, its space turned where `encoder.rotation` says so.

    Raises ValueError or OSError where the pretrained encoder cannot be opened (see `load_encoder`).
    """
    encoder, objective = load_encoder(config.encoder, tokenizer_texts(task)), config.objective
    model = build_bi_encoder(
        encoder, config.variant, objective.attention_temperature, config.encoder, objective.cached_gradients
    )
    if config.encoder.rotation == "principal":
        turn_to_principal_directions(model, key_texts(task), config.encoder.max_key_tokens)
    return model
