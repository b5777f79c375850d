"""Masked language modelling (Devlin et al. 2019, arXiv 1810.04805) of notes, to know their words before their codes.

Gururangan et al. 2020 (arXiv 2004.10964): continued pretraining on texts of the domain.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)

from bi_encoder.adaptation.config import AdaptationConfig
from bi_encoder.adaptation.notes import Pieces
from mera.language_models.models import (
    SAFE_LOADING,
    has_pickled_weights,
    pickle_refusal,
    resolve_source,
    why_not_loaded,
)
from mera.runs.run_directory import RunDirectory
from mera.system.errors import UserError
from mera.training.settings import training_arguments


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedRecall:
    """How well the masked tokens of held-out notes are guessed."""

    accuracy: float
    perplexity: float
    tokens: int
    """Masked tokens."""


def open_masked_model(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The encoder with a head that guesses tokens, which is new where the encoder was saved without one.

    Raises UserError where there is no encoder, its weights are in a pickle alone, or its tokenizer has no mask.
    """
    folder = resolve_source(source, "pretrained")
    if has_pickled_weights(Path(folder)):
        raise UserError(pickle_refusal(Path(folder)))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, **SAFE_LOADING)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load the encoder {source!r}: {why_not_loaded(folder, error)}") from error
    if tokenizer.mask_token_id is None:
        raise UserError(f"the tokenizer of {source!r} has no mask token, so nothing can be masked")
    return model, tokenizer


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pieces: Sequence[Sequence[int]],
    mask_probability: float,
    batch_size: int,
    seed: int = 0,
) -> MaskedRecall:
    """Masks are drawn from `seed`, so that two models guess the same tokens; torch's generator stays as it was."""
    collator = masking(tokenizer, mask_probability)
    loss, right, total = 0.0, 0, 0
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for start in range(0, len(pieces), batch_size):
            batch = collator([{"input_ids": list(piece)} for piece in pieces[start : start + batch_size]])
            labels = batch.pop("labels").to(model.device)
            is_masked = labels != -100
            logits = model(**{name: value.to(model.device) for name, value in batch.items()}).logits[is_masked].float()
            loss += float(torch.nn.functional.cross_entropy(logits, labels[is_masked], reduction="sum"))
            right += int((logits.argmax(-1) == labels[is_masked]).sum())
            total += int(is_masked.sum())
    model.train(was_training)
    if not total:
        raise UserError("no token of the held-out notes was masked; hold out more notes (held_out)")
    return MaskedRecall(accuracy=right / total, perplexity=math.exp(min(loss / total, 700.0)), tokens=total)


def masking(tokenizer: PreTrainedTokenizerBase, mask_probability: float) -> DataCollatorForLanguageModeling:
    """Of the tokens chosen, 80% become the mask, 10% another token and 10% stay."""
    return DataCollatorForLanguageModeling(tokenizer, mlm=True, mlm_probability=mask_probability)


def build_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pieces: Pieces,
    config: AdaptationConfig,
    run: RunDirectory,
) -> Trainer:
    """transformers' own Trainer; a checkpoint each epoch."""
    arguments = training_arguments(config.training, run, save_total_limit=config.training.keep_last)
    return Trainer(
        model=model,
        args=TrainingArguments(**arguments),
        data_collator=masking(tokenizer, config.mask_probability),
        train_dataset=datasets.Dataset.from_dict({"input_ids": pieces.training}),
    )
