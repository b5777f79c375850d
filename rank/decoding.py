"""The autoregressive decoder, for comparison with ranking: codes are written one after the other until EOV.

It costs a forward pass per code instead of one per patient, and what it has not written it has not ranked. A key-value
cache keeps what a causal model has read; of an encoder-decoder the encoder's output is kept, and its decoder reads the
codes written so far anew. Codes and EOV are all it may write, and no code twice.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from mera.language_models.encoder_decoder import is_encoder_decoder, start_id
from rank.candidate_head import pad_left, prompts_for_encoder
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
    untrained: np.ndarray | None = None,
) -> tuple[list[list[int]], np.ndarray]:
    """The columns written for each prompt, in order, and the scores (N, C) of the first step; one batch.

    Greedy: the best code not yet written, as long as its score is above the threshold that `rule` makes of this step's
    EOV. `model` reads candidates only (rank/candidate_head.py); each step's
    scores and EOV are `gate` times the logits plus `bonus` (N, C + 1), EOV last; candidate_ids (C,); untrained (C,)
    bool: codes whose logit is EOV's (see `WideScorer`).
    """
    device = model.device
    model.eval()
    bonus_N, candidate_ids = torch.from_numpy(bonus).to(device), candidate_ids.to(device)
    untrained_C = None if untrained is None else torch.from_numpy(untrained).to(device)

    def scored(logits: Tensor) -> Tensor:
        """logits (N, C + 1) -> scores, EOV last."""
        logits = logits.float()
        if untrained_C is not None:
            logits = torch.cat([torch.where(untrained_C, logits[:, -1:], logits[:, :-1]), logits[:, -1:]], dim=1)
        return gate * logits + bonus_N

    steps: Steps = (DecoderSteps if is_encoder_decoder(model) else CausalSteps)(model, prompts, pad_id)
    values = scored(steps.first())
    first_scores = values[:, :-1].cpu().numpy()
    written: list[list[int]] = [[] for _ in prompts]
    unwritten_NC = torch.ones(first_scores.shape, dtype=torch.bool, device=device)
    goes_on_N = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for _ in range(min(max_codes, first_scores.shape[1])):
        scores_NC = values[:, :-1].masked_fill(~unwritten_NC, float("-inf"))
        best_N, column_N = scores_NC.max(dim=1)
        thresholds = rule.thresholds(scores_NC.cpu().numpy(), values[:, -1].cpu().numpy())
        goes_on_N &= best_N > torch.from_numpy(thresholds).to(device)
        if not goes_on_N.any():
            break
        for row in goes_on_N.nonzero().flatten().tolist():
            written[row].append(int(column_N[row]))
        unwritten_NC.scatter_(1, column_N[:, None], False)
        values = scored(steps.next(torch.where(goes_on_N, candidate_ids[column_N], pad_id), goes_on_N))
    return written, first_scores


class Steps(Protocol):
    """A batch of N prompts, each read once."""

    def first(self) -> Tensor:
        """(N, K) logits of the first output token."""
        ...

    def next(self, token_ids: Tensor, goes_on: Tensor) -> Tensor:
        """(N, K) logits behind one more token (N,) of each row that goes on (N,); of the others they say nothing."""
        ...


class CausalSteps:
    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]], pad_id: int):
        self.model, self.cache = model, DynamicCache(config=model.config)
        self.inputs = pad_left(prompts, pad_id, model.device)
        self.mask, self.position = self.inputs["attention_mask"], self.inputs["position_ids"][:, -1:]

    def first(self) -> Tensor:
        return self._read(**self.inputs, logits_to_keep=1)

    def next(self, token_ids: Tensor, goes_on: Tensor) -> Tensor:
        self.mask = torch.cat([self.mask, goes_on[:, None].long()], dim=1)
        self.position = self.position + 1
        return self._read(input_ids=token_ids[:, None], attention_mask=self.mask, position_ids=self.position)

    def _read(self, **inputs: Tensor | int) -> Tensor:
        logits: Tensor = self.model(**inputs, cache=self.cache, use_cache=True).logits
        return logits[:, -1]


class DecoderSteps:
    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]], pad_id: int):
        self.model = model
        self.prompts = prompts_for_encoder(model, prompts, pad_id)
        self.written = torch.full((len(prompts), 1), start_id(model), device=model.device)

    def first(self) -> Tensor:
        outputs = self.model(**self.prompts, decoder_input_ids=self.written, use_cache=False)
        self.encoder_states = outputs.encoder_last_hidden_state
        logits: Tensor = outputs.logits
        return logits[:, -1]

    def next(self, token_ids: Tensor, goes_on: Tensor) -> Tensor:
        self.written = torch.cat([self.written, token_ids[:, None]], dim=1)
        logits: Tensor = self.model(
            encoder_outputs=(self.encoder_states,),
            attention_mask=self.prompts["attention_mask"],
            decoder_input_ids=self.written,
            use_cache=False,
        ).logits
        return logits[:, -1]


def scores_of_decoded(written: Sequence[Sequence[int]], first_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A ranking as scores (N, C) and thresholds (N,): the written codes in their order, above the threshold, and below
    it the rest by the first step's scores."""
    scores, highest = first_scores.copy(), first_scores.max(axis=1)
    for row, columns in enumerate(written):
        scores[row, list(columns)] = highest[row] + np.arange(len(columns), 0, -1)
    return scores, highest + np.float32(0.5)
