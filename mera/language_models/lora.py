"""LoRA (Hu et al. 2021): small trained matrices beside a frozen model's linear layers, merged into them at the end.

Language models get theirs here; the bi-encoder's encoder, which has no embeddings to train whole, in
`bi_encoder/network/encoder.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from transformers import PreTrainedModel

from mera.config import config_class
from mera.language_models.encoder_decoder import is_encoder_decoder, share_input_embeddings
from mera.language_models.quantization import marked_for_adapters, merge_quantized_layers


@config_class
class LoraSettings:
    rank: int = 0
    """LoRA rank; 0 trains all parameters"""
    alpha: int = 32
    """LoRA alpha"""
    dropout: float = 0.05
    """LoRA dropout"""


def add_lora(model: PreTrainedModel, settings: LoraSettings, whole: Sequence[str] = ()) -> PreTrainedModel:
    """Wrap `model` in LoRA adapters on all linear layers; input and output embeddings train whole, and are saved.

    `whole` names further submodules that train, and are saved, as they are. The new code tokens' rows must train in
    the input and, where the head is untied, the output embedding; PEFT's `trainable_token_indices` trains only the
    former (measured), so both matrices are trained in full.

    Whatever type the model is in, what trains is in float32: in bfloat16 a step of 5e-5 leaves every entry above 0.016
    where it was. What the input embedding returns has the model's type still.
    """
    from peft import LoraConfig, get_peft_model

    kind = model.dtype
    embeddings = [_module_name(model, model.get_input_embeddings())]
    if not model.config.tie_word_embeddings or is_encoder_decoder(model):
        # PEFT ties the head where it is named; of the names of input embeddings it does not know T5's.
        embeddings.append(_module_name(model, model.get_output_embeddings()))
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM" if is_encoder_decoder(model) else "CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
        modules_to_save=[*embeddings, *whole],
        ensure_weight_tying=bool(model.config.tie_word_embeddings),
    )
    with marked_for_adapters(model):
        wrapped = get_peft_model(model, config)
    share_input_embeddings(model)  # which PEFT wrapped in one of the places where they stand
    _train_in_float32(wrapped, model, kind)
    return cast("PreTrainedModel", wrapped)  # PEFT's wrapper hands a model's attributes through


def _train_in_float32(wrapped: torch.nn.Module, model: PreTrainedModel, kind: torch.dtype) -> None:
    """`kind`: the type of all other weights of the `wrapped` model, and of what its layers hand on."""
    if kind == torch.float32:
        return
    for weight in wrapped.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    model.get_input_embeddings().register_forward_hook(lambda _module, _inputs, embedded: embedded.to(kind))
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, inputs: (inputs[0].to(module.weight.dtype), *inputs[1:]))


def merged(model: torch.nn.Module) -> PreTrainedModel:
    """The plain model, with LoRA adapters merged into its weights where there are any, in the type that it had before
    them; weights in 4 bits are none afterwards, and the model is on the CPU then."""
    merge_quantized_layers(model)
    merge = getattr(model, "merge_and_unload", None)
    if merge is None:
        return cast("PreTrainedModel", model)
    wrapped = cast("PreTrainedModel", model).get_input_embeddings()
    kind = cast("torch.Tensor", cast("torch.nn.Module", wrapped.original_module).weight).dtype
    plain: PreTrainedModel = merge()
    share_input_embeddings(plain)
    for embedding in (plain.get_input_embeddings(), plain.get_output_embeddings()):
        embedding.to(kind)
    return plain


@contextmanager
def inputs_as_they_are(model: torch.nn.Module, is_on: bool) -> Iterator[None]:
    """Within it, where `is_on`, adapters take their inputs in the type that these have: for autocast to bf16.

    PEFT turns them into float32 first, the type of adapters, only for autocast to turn them back: the same numbers, but
    that dropout draws others, for three times the memory of an input and two more passes over it.
    """
    from peft.helpers import disable_input_dtype_casting

    with disable_input_dtype_casting(model, active=is_on):
        yield


def _module_name(model: PreTrainedModel, module: torch.nn.Module) -> str:
    return next(name for name, candidate in model.named_modules() if candidate is module).rsplit(".", 1)[-1]
