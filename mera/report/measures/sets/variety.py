"""Whether a run ranks other codes first for other examples."""

from dataclasses import dataclass

import numpy as np

from mera import metrics

FIRST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Variety:
    common_share: float
    """Mean share of an example's first 20 codes that are among the 20 codes most often there: 1 where all examples have
    the same first 20."""
    distinct_first: int
    """Different codes among the first 20 of any example."""


def variety(ranking: metrics.Ranking, num_codes: int) -> Variety | None:
    """None where nothing is ranked. Equally frequent codes: the lower column is the more common."""
    first = ranking.top[:, :FIRST]
    ranked = np.arange(first.shape[1]) < ranking.num_retrievable[:, None]
    if not ranked.any():
        return None
    times = np.bincount(first[ranked], minlength=num_codes)
    is_common = np.zeros(num_codes, dtype=bool)
    is_common[np.argsort(-times, kind="stable")[:FIRST]] = True
    common = (is_common[first] & ranked).sum(axis=1) / np.maximum(1, ranked.sum(axis=1))
    return Variety(common_share=float(common[ranked.any(axis=1)].mean()), distinct_first=int((times > 0).sum()))
