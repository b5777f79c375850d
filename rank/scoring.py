"""Scores of all candidates for prompts: one forward pass per example, nothing is decoded."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel


# Not inference_mode: ZeRO-3 would keep what it gathers in it, and training could not use that afterwards.
@torch.no_grad()
def score_prompts(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    pad_id: int,
    batch_size: int,
    label: str = "ranking",
) -> tuple[np.ndarray, np.ndarray]:
    """scores (N, C) and EOV (N,), float32 logits of the first output token after each prompt.

    `model` reads candidates only (rank/candidate_head.py). Prompts of similar length share a batch, so that little is
    padded; the result is in the order of `prompts`.
    """
    num_candidates = len(model.get_output_embeddings().token_ids) - 1
    scores = np.empty((len(prompts), num_candidates), dtype=np.float32)
    eov = np.empty(len(prompts), dtype=np.float32)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    was_training = model.training
    model.eval()
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc=label, unit="batch", leave=False, disable=len(starts) < 8):
        indices = order[start : start + batch_size]
        inputs = pad_left([prompts[index] for index in indices], pad_id, model.device)
        logits = model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
        values = logits.float().cpu().numpy()
        scores[indices], eov[indices] = values[:, :-1], values[:, -1]
    model.train(was_training)
    return scores, eov


def pad_left(prompts: Sequence[list[int]], pad_id: int, device: torch.device) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` and `position_ids` (B, T): every prompt ends in the last column."""
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    width = int(lengths.max())
    input_ids = torch.full((len(prompts), width), pad_id)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
    mask = (torch.arange(width) >= width - lengths[:, None]).long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    inputs = {"input_ids": input_ids, "attention_mask": mask, "position_ids": positions}
    return {name: tensor.to(device) for name, tensor in inputs.items()}
