"""RETAIN (Choi et al., NIPS 2016, arXiv 1608.05745): visits weighed by two GRUs that read them backwards in time.

As published, but for what a prepared task adds: the GRUs also see how long ago a visit was, age and sex are added to
the context, and the output is a score for every code.
"""

import torch
from torch import Tensor, nn

from rank.baselines.neural.history_tensors import NUM_AGES, NUM_GAPS, NUM_SEXES, HistoryBatch


class Retain(nn.Module):
    """Shape suffixes: B patients, V visits (0 the latest), D width, C codes."""

    def __init__(self, num_codes: int, width: int, dropout: float, num_read: int | None = None):
        """`num_read`: codes of histories that are read, the candidates first; None: the candidates alone."""
        super().__init__()
        self.code = nn.Embedding(1 + (num_read or num_codes), width, padding_idx=0)
        self.gap = nn.Embedding(NUM_GAPS, width)
        self.age, self.sex = nn.Embedding(NUM_AGES, width), nn.Embedding(NUM_SEXES, width)
        self.visit_gru = nn.GRU(width, width, batch_first=True)
        self.variable_gru = nn.GRU(width, width, batch_first=True)
        self.visit_attention = nn.Linear(width, 1)
        self.variable_attention = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_codes)

    def forward(self, batch: HistoryBatch) -> Tensor:
        """(B, C) scores."""
        num_visits = batch.gaps.shape[1]
        embedded_BTD = self.code(batch.codes)
        visit_BVD = embedded_BTD.new_zeros(len(batch.codes), num_visits, embedded_BTD.shape[-1])
        visit_BVD = visit_BVD.scatter_add(1, batch.visits[..., None].expand_as(embedded_BTD), embedded_BTD)
        visit_BVD = self.dropout(visit_BVD)
        # The latest visit comes first: the GRUs run backwards in time and read padding last, where it changes nothing.
        dated_BVD = visit_BVD + self.gap(batch.gaps)
        visit_logit_BV = self.visit_attention(self.visit_gru(dated_BVD)[0]).squeeze(-1)
        padding_BV = torch.arange(num_visits, device=batch.gaps.device) >= batch.num_visits[:, None]
        # Not -inf: without any visit the weights are uniform over padding, whose embedding is 0, and so is the context.
        alpha_BV = visit_logit_BV.masked_fill(padding_BV, torch.finfo(visit_logit_BV.dtype).min).softmax(dim=1)
        beta_BVD = self.variable_attention(self.variable_gru(dated_BVD)[0]).tanh()
        context_BD = (alpha_BV[..., None] * beta_BVD * visit_BVD).sum(dim=1)
        return self.output(self.dropout(context_BD + self.age(batch.age) + self.sex(batch.sex)))
