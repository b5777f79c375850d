"""Saving what was trained as a plain Hugging Face directory, whatever engine trained it."""

from pathlib import Path

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from mera.language_models.code_tokens import CodeTokens
from mera.language_models.encoder_decoder import copies_of_embeddings
from mera.language_models.lora import merged
from mera.training.engine import has_whole_parameters, whole_parameters


def save_checkpoint(
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens | None,
    path: str | Path,
    leave_out: str | tuple[str, ...] | None = None,
) -> None:
    """Write weights (safetensors), config, tokenizer and, unless it is None, `code_tokens.json`; every process must
    call this.

    LoRA adapters are merged, so that the next stage and any Hugging Face tool load one kind of checkpoint. Weights
    whose name begins with (one of) `leave_out` are not the language model's own and stay outside.
    """
    model, state = _consolidated(trainer)
    # What is gathered from pieces no longer says that it is tied, and would be written twice.
    copies = copies_of_embeddings(model) | set(model.all_tied_weights_keys)
    state = {name: weight for name, weight in state.items() if name not in copies}
    if leave_out is not None:
        state = {name: weight for name, weight in state.items() if not name.startswith(leave_out)}
    if trainer.is_world_process_zero():
        model.save_pretrained(str(path), state_dict=state)
        tokenizer.save_pretrained(str(path))
        if code_tokens is not None:
            code_tokens.save(path)
    trainer.accelerator.wait_for_everyone()


def _consolidated(trainer: Trainer) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    """The plain model and its whole weights, of which only the first process needs to have any."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if not hasattr(model, "merge_and_unload"):
        return model, trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}
    if has_whole_parameters(trainer):
        if not trainer.is_world_process_zero():
            return model, {}
        _forget_optimizer(trainer)
        model = merged(model)
        return model, model.state_dict()
    with whole_parameters(model):
        model = merged(model)
        if not trainer.is_world_process_zero():
            return model, {}
        return model, {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}


def _forget_optimizer(trainer: Trainer) -> None:
    """Let go of gradients and of the optimizer's averages, of which a saved model has no more need: of 7 billion
    weights with LoRA they take 3 GiB, while merging takes the whole model's room."""
    assert trainer.model is not None, "a trainer of ours is built with its model"
    trainer.model.zero_grad(set_to_none=True)
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    if isinstance(optimizer, Optimizer):
        optimizer.state.clear()
