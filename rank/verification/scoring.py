"""Scores of a trained verifier: one forward pass a note, whatever the number of candidates. N examples, C codes, K
candidates."""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mera.system.terminal import progress_bar
from rank.attention.masks import masks_for
from rank.verification.branches import VerificationBatch, VerificationCollator, VerificationExample
from rank.verification.first_pass import Candidates
from rank.verification.head import Verification

GAP = 1e-3
"""How far below the candidates the first of the other codes stands, where it has to be lowered."""


# Not inference_mode: ZeRO-3 would keep what it gathers in it, and training could not use that afterwards.
@torch.no_grad()
def verify(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    candidates: Candidates,
    branches: Sequence[list[int]],
    collator: VerificationCollator,
    batch_size: int,
    label: str = "verifying",
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) of `candidates.columns`, and EOV (N,), float32, in the order of `prompts`; notes of similar length
    share a batch. `model` has its `verification` and returns hidden states (rank/verification/head.py); `branches`: of
    each code."""
    scores = np.empty(candidates.columns.shape, dtype=np.float32)
    eov = np.empty(len(prompts), dtype=np.float32)
    lengths = [
        len(prompt) + sum(len(branches[column]) for column in columns)
        for prompt, columns in zip(prompts, candidates.columns, strict=True)
    ]
    order = sorted(range(len(prompts)), key=lambda index: -lengths[index])
    was_training = model.training
    model.eval()
    starts = range(0, len(order), batch_size)
    for start in progress_bar(starts, label, "batch", at_least=8):
        indices = order[start : start + batch_size]
        batch = collator(
            [
                VerificationExample(
                    prompt_ids=prompts[index],
                    columns=candidates.columns[index].tolist(),
                    branches=[branches[column] for column in candidates.columns[index]],
                    log_odds=candidates.log_odds[index, candidates.columns[index]].tolist(),
                    targets=[],
                )
                for index in indices
            ]
        )
        values = read_batch(model, model, batch).cpu().numpy().reshape(len(indices), -1)
        eov[indices], scores[indices] = values[:, 0], values[:, 1:]
    model.train(was_training)
    return scores, eov


def read_batch(model: nn.Module, plain: PreTrainedModel, batch: VerificationBatch) -> Tensor:
    """(R,) float32: the scores of a batch's read positions. `model`: as the engine wrapped it; `plain`: the same
    without."""
    hidden = hidden_states(model, plain, batch)
    is_eov = (batch["read_column"] == batch["positive"].shape[1]).to(hidden.device)
    log_odds, shift = batch["log_odds"].to(hidden.device), batch["shift"].to(hidden.device)
    return cast("Tensor", cast("nn.Module", plain.verification)(hidden, log_odds, is_eov)) + shift


def hidden_states(model: nn.Module, plain: PreTrainedModel, batch: VerificationBatch) -> Tensor:
    """(R, D) at the read positions."""
    on_device = {name: part.to(plain.device) for name, part in batch.items() if isinstance(part, Tensor)}
    order_ids, position_ids = on_device["order_ids"], on_device["position_ids"]
    hidden: Tensor = model(
        input_ids=on_device["input_ids"],
        attention_mask=masks_for(plain, order_ids, position_ids),
        position_ids=position_ids,
        logits_to_keep=on_device["logits_to_keep"],
        use_cache=False,
    ).logits
    return hidden


@torch.no_grad()
def standardise(model: PreTrainedModel, batches: Iterable[VerificationBatch]) -> None:
    """Set the means and spreads of `model.verification` from some training batches."""
    was_training, states, are_eov = model.training, [], []
    model.eval()
    for batch in batches:
        states.append(hidden_states(model, model, batch).float())
        are_eov.append((batch["read_column"] == batch["positive"].shape[1]).to(states[-1].device))
    cast("Verification", model.verification).standardise(torch.cat(states), torch.cat(are_eov))
    model.train(was_training)


def scores_of_all_codes(scores: np.ndarray, thresholds: np.ndarray, candidates: Candidates) -> np.ndarray:
    """(N, C): the candidates' scores (N, K), and below them the other codes in the order of the first pass: with its
    log-odds, lowered where one would stand above a candidate or above `thresholds` (N,)."""
    lowest = np.minimum(scores.min(axis=1), thresholds)
    complete = candidates.log_odds.copy()
    np.put_along_axis(complete, candidates.columns, -np.inf, axis=1)
    too_high = complete.max(axis=1) - lowest
    complete -= np.where(too_high > 0, too_high + GAP, 0.0).astype(np.float32)[:, None]
    np.put_along_axis(complete, candidates.columns, scores, axis=1)
    return complete
