"""Encoder-decoders of the T5 family (T5, Flan-T5, mT5) beside causal models: the prompt goes into the encoder, the
answer is what the decoder writes from a start token on.

Which of the two a model is, its own configuration says; nothing is to be chosen. What follows from it for all stages
stands here. Stage one: how a question is encoded and where its answer is (`memorize/encoding.py`, `answering.py`), and
the trainer. Stage two: what is read in a batch of partial outputs (`rank/partial_outputs.py`, `attention.py`), and
where a prompt's first output is (`rank/candidate_head.py`, `decoding.py`).
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig, PreTrainedModel

from mera.system.errors import UserError

FAMILY = ("t5", "mt5")
"""`model_type` of the encoder-decoders that both stages train: their positions are distances, which stage two needs."""
AutoModel = type[AutoModelForCausalLM] | type[AutoModelForSeq2SeqLM]


def is_encoder_decoder(model: PreTrainedModel) -> bool:
    """Whether `model`, or the one that LoRA wraps, reads the prompt in an encoder."""
    return bool(model.config.is_encoder_decoder)


def auto_model(config: PreTrainedConfig) -> AutoModel:
    """The class of transformers that opens a language model of this configuration. Raises UserError on an
    encoder-decoder of another family than T5's."""
    if not config.is_encoder_decoder:
        return AutoModelForCausalLM
    if config.model_type not in FAMILY:
        raise UserError(
            f"an encoder-decoder of the type {config.model_type} cannot be trained; of these only "
            f"{' and '.join(FAMILY)} can: choose one of them (T5, Flan-T5, mT5), or a causal model"
        )
    return AutoModelForSeq2SeqLM


def new_model(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A model of this configuration with random weights. Raises UserError as `auto_model` does."""
    auto = auto_model(config)
    if config.is_encoder_decoder:
        if getattr(config, "decoder_start_token_id", None) is None:
            config.decoder_start_token_id = config.pad_token_id  # as in every T5
        # T5 v1.1 neither ties its head nor scales what that is given; see note_own_head.
        config.tie_word_embeddings = getattr(config, "scale_decoder_outputs", True)
    model: PreTrainedModel = auto.from_config(config, dtype=dtype)
    share_input_embeddings(model)
    return model


def note_own_head(model: PreTrainedModel) -> PreTrainedModel:
    """Let the configuration say so where an encoder-decoder's output layer has weights of its own, as those of T5 v1.1
    and Flan-T5. transformers calls every T5 tied and finds out from the checkpoint's weights that it is not; the next
    resizing of the embeddings would then put the input's rows in the output layer's place. `model` itself."""
    if is_encoder_decoder(model):
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        if cast("nn.Module", head).weight is not cast("nn.Module", embeddings).weight:
            model.config.tie_word_embeddings = False
    return model


def share_input_embeddings(model: PreTrainedModel) -> None:
    """Have encoder and decoder read the model's one table of input embeddings, whatever module has taken its place."""
    if is_encoder_decoder(model):
        model.set_input_embeddings(model.get_input_embeddings())


def copies_of_embeddings(model: PreTrainedModel) -> set[str]:
    """Names of the weights of encoder and decoder that are the model's one table of input embeddings."""
    return {f"{part}.embed_tokens.weight" for part in ("encoder", "decoder")} if is_encoder_decoder(model) else set()


def start_id(model: PreTrainedModel) -> int:
    """The token that a decoder starts from."""
    start = model.config.decoder_start_token_id
    assert isinstance(start, int), "an encoder-decoder's configuration names its start token"
    return start


def end_id(model: PreTrainedModel) -> int:
    """The token that ends what an encoder reads."""
    end = model.config.eos_token_id
    return int(end[0] if isinstance(end, list) else end)


def encoder_inputs(prompts: Sequence[list[int]], pad_id: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` (B, T), padded at the end."""
    width = max(map(len, prompts))
    return {
        "input_ids": torch.tensor([[*prompt, *[pad_id] * (width - len(prompt))] for prompt in prompts]),
        "attention_mask": torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts]),
    }


def decoder_inputs(answers: Sequence[list[int]], start: int, pad_id: int) -> Tensor:
    """(B, L): the start token and each answer but its last token, padded at the end. Position k reads the first k
    tokens of the answer and predicts the next."""
    width = max(map(len, answers))
    return torch.tensor([[start, *answer[:-1], *[pad_id] * (width - len(answer))] for answer in answers])
