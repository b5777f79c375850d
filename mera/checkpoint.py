"""Saving what was trained as a plain Hugging Face directory, whatever engine trained it."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase, Trainer

from mera.code_tokens import CodeTokens
from mera.models import merged


def save_checkpoint(
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens,
    path: str | Path,
    leave_out: str | None = None,
) -> None:
    """Write weights (safetensors), config, tokenizer and `code_tokens.json`; every process must call this.

    LoRA adapters are merged, so that the next stage and any Hugging Face tool load one kind of checkpoint. Weights
    whose name begins with `leave_out` are not the language model's own and stay outside. Raises ValueError for LoRA
    under ZeRO-3, where the adapters' base weights are in pieces.
    """
    accelerator = trainer.accelerator
    model = accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        if trainer.is_deepspeed_enabled and accelerator.state.deepspeed_plugin.zero_stage == 3:
            raise ValueError("LoRA cannot be merged under ZeRO-3; train with ZeRO-2 (launch/accelerate/zero2.yaml)")
        model = merged(model)
        state = model.state_dict()
    else:
        state = accelerator.get_state_dict(trainer.model_wrapped)
    if state is not None and leave_out is not None:
        state = {name: weight for name, weight in state.items() if not name.startswith(leave_out)}
    if trainer.is_world_process_zero():
        model.save_pretrained(str(path), state_dict=state)
        tokenizer.save_pretrained(str(path))
        code_tokens.save(path)
    accelerator.wait_for_everyone()
