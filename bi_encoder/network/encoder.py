"""The text encoder as a sentence-transformers module: a pretrained one, or a small one built for the task's texts."""

import importlib.metadata
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from bi_encoder.config import EncoderConfig
from bi_encoder.network.attention_in_blocks import attend_in_blocks
from mera.language_models.lora import LoraSettings
from mera.language_models.models import (
    SAFE_LOADING,
    has_pickled_weights,
    pickle_refusal,
    resolve_source,
    why_not_loaded,
)
from mera.language_models.tokenizer import train_tokenizer
from mera.system.errors import UserError

IN_FLOAT32 = SAFE_LOADING | {"dtype": torch.float32}
"""Whatever type an encoder was saved in: training in float16 overflows, in bfloat16 small steps are rounded away; the
engine computes in bf16 by autocast."""


def load_encoder(config: EncoderConfig, texts: Iterable[str]) -> Transformer:
    """The encoder with its tokenizer; `texts` train the tokenizer of one built from `architecture`.

    Raises UserError where the pretrained encoder cannot be found or the architecture is incomplete.
    """
    if config.pretrained is None:
        with tempfile.TemporaryDirectory() as folder:
            _save_random_encoder(config, texts, folder)
            return _open(folder, config)
    source = resolve_source(config.pretrained, "encoder.pretrained")
    try:
        return _open(source, config)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load the encoder {config.pretrained!r}: {why_not_loaded(source, error)}") from error


def open_sentence_transformer(source: str) -> SentenceTransformer:
    """A folder or a Hugging Face name, on the CPU. Raises UserError where a folder has weights in a pickle alone, and
    what the library raises where it cannot be opened."""
    if has_pickled_weights(Path(source)):
        raise UserError(pickle_refusal(Path(source)))
    opened = SentenceTransformer(
        source,
        device="cpu",
        model_kwargs=dict(IN_FLOAT32),
        trust_remote_code=False,
        local_files_only=Path(source).is_dir(),
    )
    for module in opened.modules():
        if isinstance(module, PreTrainedModel):
            attend_in_blocks(module)
    return opened


def _open(source: str, config: EncoderConfig) -> Transformer:
    attention = config.attention_implementation
    if attention is None and is_flash_attn_2_available():
        attention = "flash_attention_2"
    arguments = IN_FLOAT32 | ({"attn_implementation": attention} if attention else {})
    here = {"local_files_only": Path(source).is_dir()}
    encoder = Transformer(
        source,
        model_kwargs=arguments | here,
        processor_kwargs=here,
        config_kwargs=here,
        unpad_inputs=None if config.unpadded else False,
    )
    if attention is None:
        attend_in_blocks(encoder.model)
    limit = getattr(encoder.config, "max_position_embeddings", config.max_query_tokens)
    if config.max_query_tokens > limit:
        raise UserError(
            f"encoder.max_query_tokens is {config.max_query_tokens}, but the encoder reads at most {limit} tokens"
        )
    if not encoder.tokenizer.is_fast:
        raise UserError(f"the tokenizer of {config.pretrained!r} cannot tell where in a text its tokens are")
    encoder.max_seq_length = config.max_query_tokens
    if getattr(encoder.model, "pooler", None) is not None:
        # Token states are used, never the pooler's output; without gradients it would stop a distributed run.
        encoder.model.pooler.requires_grad_(False)
    if config.gradient_checkpointing:
        encoder.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return encoder


def add_lora(encoder: Transformer, settings: LoraSettings) -> None:
    """Freeze the encoder and train LoRA adapters on its linear layers (Hu et al. 2021); `merge_lora` undoes it."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules="all-linear"
    )
    encoder.model = get_peft_model(encoder.model, config)  # type: ignore[assignment]  # declared without PEFT


def merge_lora(encoder: Transformer) -> None:
    """Put trained adapters into the weights, so that any Hugging Face tool opens what is saved."""
    merge = getattr(encoder.model, "merge_and_unload", None)
    if merge is not None:
        encoder.model = merge()


def token_states(encoder: Transformer, input_ids: Tensor, mask: Tensor) -> Tensor:
    """input_ids, mask (B, T) bool -> token states (B, T, D); without computing the padding where the encoder's
    attention can do that (`can_flatten_inputs`), and with it elsewhere."""
    if encoder.can_flatten_inputs:
        return _unpadded_states(encoder, input_ids, mask)
    return encoder({"input_ids": input_ids, "attention_mask": mask.long()})["token_embeddings"]


def _unpadded_states(encoder: Transformer, input_ids: Tensor, mask: Tensor) -> Tensor:
    """As `token_states`, 0 on the padding.

    The texts are one row of all their tokens; flash attention's variable-length kernels take where each begins
    (`cu_seq_lens`).
    """
    lengths = mask.sum(1)
    bounds = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)[mask]
    longest = int(lengths.max())
    row = {
        "input_ids": input_ids[mask][None],
        "position_ids": positions[None] + _first_position(encoder),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    flat = encoder(row)["token_embeddings"].reshape(len(positions), -1)
    states = flat.new_zeros((*mask.shape, flat.shape[-1]))
    states[mask] = flat
    return states


def _first_position(encoder: Transformer) -> int:
    """The number of a text's first position: RoBERTa and its kin count from behind the padding index.

    sentence-transformers knows which models do, in an attribute of its own that it sets where `can_flatten_inputs` is
    true. Raises UserError where a version has no such attribute: positions off by some would only make worse vectors.
    """
    try:
        return encoder._flatten_position_offset
    except AttributeError:
        version = importlib.metadata.version("sentence-transformers")
        raise UserError(
            f"sentence-transformers {version} has no Transformer._flatten_position_offset, which 6.2 has, so nothing "
            f"says where the positions of a text without padding begin; set encoder.unpadded to false"
        ) from None


def _save_random_encoder(config: EncoderConfig, texts: Iterable[str], folder: str) -> None:
    """Write `architecture` with random weights and a tokenizer trained on `texts` into `folder`."""
    settings = dict(config.architecture or {})
    model_type = settings.pop("model_type", None)
    if model_type is None:
        raise UserError("encoder.architecture needs a model_type, for example modernbert")
    tokenizer = train_tokenizer(texts, config.tokenizer_size, config.max_query_tokens, encoder=True)
    model_config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        max_position_embeddings=config.max_query_tokens,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        **settings,
    )
    AutoModel.from_config(model_config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
