"""Steps of tiny models with plain modules and with Liger's kernels; prints the largest differences as JSON.

TRITON_INTERPRET=1 python tests/helpers/liger_worker.py

Triton's interpreter, which is asked for before Triton is imported, lacks what the kernels take from the GPU: libdevice,
and numbers that are no whole numbers as arguments.
"""

import json

import liger_kernel.ops.geglu
import liger_kernel.ops.rms_norm
import numpy as np
import torch
import triton.language as tl
from model_families import FAMILIES, tiny_model
from small_model import SMALL_T5
from transformers import AutoConfig, AutoModelForSeq2SeqLM
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.mistral import modeling_mistral
from transformers.models.qwen3 import modeling_qwen3
from triton.runtime import interpreter

from mera.language_models.kernels.liger import use_liger
from mera.language_models.lora import LoraSettings, add_lora
from mera.system.errors import UserError

ROPE = {"gemma3_text": modeling_gemma3, "mistral": modeling_mistral, "qwen3": modeling_qwen3}
KINDS = ("mistral-all-layers-slide", "mistral-lora-recomputed", "gemma3", "qwen3")
as_argument = interpreter._implicit_cvt


def number_as_argument(value):
    if not isinstance(value, float):
        return as_argument(value)
    return tl.tensor(interpreter.TensorHandle(np.array([value], dtype=np.float32), tl.float32), tl.float32)


def gradients(model, ids, mask):
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def compare(kind):
    family = "mistral-all-layers-slide" if "lora" in kind else kind
    models = [tiny_model(FAMILIES[family], 50, pad_token_id=0) for _ in range(2)]  # with the same weights
    ids = torch.randint(1, 50, (3, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    names = list(models[0].state_dict())
    classes = [type(module) for module in tiny_model(FAMILIES[family], 50).modules()]
    rope_of = ROPE[models[0].config.model_type]
    plain_rope = rope_of.apply_rotary_pos_emb
    steps = []
    for model, with_kernels in zip(models, (False, True), strict=True):
        if with_kernels:
            use_liger(model)
        torch.manual_seed(0)
        trained = add_lora(model, LoraSettings(rank=4, dropout=0.0)) if "lora" in kind else model
        if "lora" in kind:
            with torch.no_grad():  # B begins as 0, and A has no gradient then
                for name, weight in trained.named_parameters():
                    if "lora_B" in name:
                        weight.copy_(torch.linspace(-0.1, 0.1, weight.numel()).reshape(weight.shape))
            trained.activation_checkpointing_enable()
            trained.enable_input_require_grads()
        steps.append(gradients(trained.train(), ids, mask))
    (loss, plain), (of_kernels, found) = steps
    assert plain.keys() == found.keys()
    forwards = {module.forward.__qualname__ for module in models[1].modules()}
    replaced = [part for part in ("MLP", "RMSNorm") if any("Liger" in name and part in name for name in forwards)]
    rope, rope_of.apply_rotary_pos_emb = rope_of.apply_rotary_pos_emb, plain_rope
    assert classes == [type(module) for module in tiny_model(FAMILIES[family], 50).modules()]
    return {
        "kernels": [*replaced, *(["RoPE"] if rope is not plain_rope else [])],
        "loss": float((loss - of_kernels).abs()),
        "gradients": max(float((found[name] - plain[name]).abs().max() / plain[name].abs().max()) for name in plain),
        "names_changed": sorted(set(models[1].state_dict()) ^ set(names)) if "lora" not in kind else [],
    }


def refusals():
    """What is said of a family without kernels, and of an activation that they do not compute."""
    sentences = []
    relu = tiny_model(FAMILIES["llama"], 50)
    relu.config.hidden_act = "relu"
    t5 = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(vocab_size=50, **SMALL_T5))
    for model in (t5, relu):
        try:
            use_liger(model)
        except UserError as error:
            sentences.append(str(error))
    return sentences


def main():
    interpreter._implicit_cvt = number_as_argument
    liger_kernel.ops.rms_norm.rsqrt = lambda x: tl.rsqrt(x)
    liger_kernel.ops.geglu.tanh = lambda x: 2 * tl.sigmoid(2 * x) - 1
    print(json.dumps({kind: compare(kind) for kind in KINDS} | {"refusals": refusals()}))


if __name__ == "__main__":
    main()
