"""The autoregressive decoder, for comparison with ranking: codes are written one after the other until EOV.

It costs a forward pass per code instead of one per patient, and what it has not written it has not ranked. A key-value
cache keeps what was read. Codes and EOV are all it may write, and no code twice.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from rank.candidate_head import pad_left
from rank.decision import DecisionRule


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    bonus: np.ndarray,
    candidate_ids: torch.Tensor,
    rule: DecisionRule,
    pad_id: int,
    max_codes: int,
    gate: float = 1.0,
) -> tuple[list[list[int]], np.ndarray]:
    """The columns written for each prompt, in order, and the scores (N, C) of the first step; one batch.

    Greedy: the best code not yet written, as long as its score is above the threshold that `rule` makes of this step's
    EOV. `model` reads candidates only (rank/candidate_head.py); each step's
    scores and EOV are `gate` times the logits plus `bonus` (N, C + 1), EOV last; candidate_ids (C,).
    """
    device = model.device
    model.eval()
    bonus_N, candidate_ids = torch.from_numpy(bonus).to(device), candidate_ids.to(device)
    inputs = pad_left(prompts, pad_id, device)
    mask, next_position = inputs["attention_mask"], inputs["position_ids"][:, -1:] + 1
    cache = DynamicCache(config=model.config)
    logits = model(**inputs, logits_to_keep=1, past_key_values=cache, use_cache=True).logits[:, -1]
    values = gate * logits.float() + bonus_N
    first_scores = values[:, :-1].cpu().numpy()
    written: list[list[int]] = [[] for _ in prompts]
    unwritten_NC = torch.ones(first_scores.shape, dtype=torch.bool, device=device)
    goes_on_N = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(min(max_codes, first_scores.shape[1])):
        scores_NC = values[:, :-1].masked_fill(~unwritten_NC, float("-inf"))
        best_N, column_N = scores_NC.max(dim=1)
        thresholds = rule.thresholds(scores_NC.cpu().numpy(), values[:, -1].cpu().numpy())
        goes_on_N &= best_N > torch.from_numpy(thresholds).to(device)
        if not goes_on_N.any():
            break
        for row in goes_on_N.nonzero().flatten().tolist():
            written[row].append(int(column_N[row]))
        unwritten_NC.scatter_(1, column_N[:, None], False)
        mask = torch.cat([mask, goes_on_N[:, None].long()], dim=1)
        logits = model(
            input_ids=torch.where(goes_on_N, candidate_ids[column_N], pad_id)[:, None],
            attention_mask=mask,
            position_ids=next_position + step,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        values = gate * logits.float() + bonus_N
    return written, first_scores


def scores_of_decoded(written: Sequence[Sequence[int]], first_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A ranking as scores (N, C) and thresholds (N,): the written codes in their order, above the threshold, and below
    it the rest by the first step's scores."""
    scores, highest = first_scores.copy(), first_scores.max(axis=1)
    for row, columns in enumerate(written):
        scores[row, list(columns)] = highest[row] + np.arange(len(columns), 0, -1)
    return scores, highest + np.float32(0.5)
