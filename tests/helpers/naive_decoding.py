"""Codes written one after the other, without a cache and without a batch, and prompts to write behind."""

import numpy as np
import torch

from rank.decision import DecisionRule

CANDIDATES, EOV_ID, PAD_ID = torch.arange(20, 32), 40, 0
PROMPTS = [[1, 5, 6, 7, 8, 3], [1, 3], [1, 9, 10, 3]]
BONUS = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
BONUS_AND_EOV = np.hstack([BONUS, np.random.default_rng(9).normal(size=(len(BONUS), 1)).astype(np.float32)])


def rule(offset):
    return DecisionRule(eov_share=1.0, offset=offset, slope=1.0, intercept=0.0)


@torch.no_grad()
def decode_naively(model, prompt, bonus, offset, max_codes, gate):
    """The whole sequence is read again for every code; no cache, no batch, the full vocabulary."""
    written, ids, first = [], list(prompt), None
    while len(written) < max_codes:
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        scores = gate * logits[CANDIDATES].numpy() + bonus[:-1]
        first = scores.copy() if first is None else first
        scores[written] = -np.inf
        if scores.max() <= gate * logits[EOV_ID].item() + bonus[-1] + offset:
            break
        written.append(int(scores.argmax()))
        ids.append(int(CANDIDATES[written[-1]]))
    return written, first
