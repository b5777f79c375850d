"""A plain Transformer encoder over the codes of a history, in the manner of BEHRT (Li et al., 2020): each code is one
token, with its visit and the time since then; age and sex are the first token. Scores are read from the first token and
from the means over the codes of the last visit and of all visits: attention averages, so that the first token alone
would see each code of a long history as a small share of a sum."""

import torch
from torch import Tensor, nn

from rank.baselines.neural.history_tensors import NUM_AGES, NUM_GAPS, NUM_SEXES, HistoryBatch

FEED_FORWARD = 4
"""widths of the feed-forward layer"""


class HistoryTransformer(nn.Module):
    """Shape suffixes: B patients, T codes, D width, C codes to rank."""

    def __init__(
        self,
        num_codes: int,
        max_visits: int,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        num_read: int | None = None,
    ):
        """`num_read`: codes of histories that are read, the candidates first; None: the candidates alone."""
        super().__init__()
        self.code = nn.Embedding(1 + (num_read or num_codes), width, padding_idx=0)
        self.visit, self.gap = nn.Embedding(max_visits, width), nn.Embedding(NUM_GAPS, width)
        self.age, self.sex = nn.Embedding(NUM_AGES, width), nn.Embedding(NUM_SEXES, width)
        self.norm = nn.LayerNorm(width)
        for embedding in (self.code, self.visit, self.gap, self.age, self.sex):
            nn.init.normal_(embedding.weight, std=0.02)
        nn.init.zeros_(self.code.weight[0])
        layer = nn.TransformerEncoderLayer(
            width, heads, FEED_FORWARD * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_codes)

    def forward(self, batch: HistoryBatch) -> Tensor:
        """(B, C) scores."""
        gap_BT = batch.gaps.gather(1, batch.visits)
        token_BTD = self.code(batch.codes) + self.visit(batch.visits) + self.gap(gap_BT)
        patient_B1D = (self.age(batch.age) + self.sex(batch.sex))[:, None]
        # Embeddings start small (0.02): without a norm the layers' outputs would drown which code a token is.
        tokens = self.dropout(self.norm(torch.cat([patient_B1D, token_BTD], dim=1)))
        is_code_BT = batch.codes != 0
        padding = torch.cat([torch.zeros_like(is_code_BT[:, :1]), ~is_code_BT], dim=1)
        read_BTD = self.encoder(tokens, src_key_padding_mask=padding)
        of_codes = read_BTD[:, 1:]
        pooled = read_BTD[:, 0] + _mean(of_codes, is_code_BT & (batch.visits == 0)) + _mean(of_codes, is_code_BT)
        return self.output(self.dropout(pooled))


def _mean(states_BTD: Tensor, chosen_BT: Tensor) -> Tensor:
    """(B, D) mean over the chosen tokens; zeros where there is none."""
    weights = chosen_BT.to(states_BTD.dtype)[..., None]
    return (states_BTD * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
