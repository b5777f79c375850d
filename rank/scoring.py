"""Scores of all candidates for prompts: one forward pass per example, nothing is decoded."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel


@torch.inference_mode()
def score_prompts(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    candidate_ids: torch.Tensor,
    eov_id: int,
    pad_id: int,
    batch_size: int,
    label: str = "ranking",
) -> tuple[np.ndarray, np.ndarray]:
    """scores (N, C) and EOV (N,), float32 logits of the first output token after each prompt.

    Prompts of similar length share a batch, so that little is padded; the result is in the order of `prompts`.
    """
    scores = np.empty((len(prompts), len(candidate_ids)), dtype=np.float32)
    eov = np.empty(len(prompts), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    was_training = model.training
    model.eval()
    columns = torch.cat([candidate_ids, torch.tensor([eov_id])]).to(model.device)
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc=label, unit="batch", leave=False, disable=len(starts) < 8):
        indices = order[start : start + batch_size]
        width = len(prompts[indices[0]])
        input_ids = torch.full((len(indices), width), pad_id)
        for row, index in enumerate(indices):
            input_ids[row, width - len(prompts[index]) :] = torch.tensor(prompts[index])
        lengths = torch.tensor([len(prompts[index]) for index in indices])
        mask = torch.arange(width) >= width - lengths[:, None]
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        logits = model(
            input_ids=input_ids.to(model.device),
            attention_mask=mask.long().to(model.device),
            position_ids=positions.to(model.device),
            logits_to_keep=1,
            use_cache=False,
        ).logits[:, -1]
        found = logits[:, columns].float().cpu().numpy()
        scores[indices], eov[indices] = found[:, :-1], found[:, -1]
    model.train(was_training)
    return scores, eov
