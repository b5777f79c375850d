"""Whether the model looks where the annotators did: attention over a note's tokens against annotated characters.

T tokens; `offsets` (T, 2) int: characters `[start, end)` of each token; `weights` (T,): what the model gives each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One code of one note. Chance is what equal weights on every token would give."""

    mass: float
    """Share of the weight inside the annotated characters."""
    mass_by_chance: float
    hit: float
    """1 where the heaviest token touches an annotated character (the pointing game, Zhang et al. 2018), else 0."""
    hit_by_chance: float


def gold_shares(offsets: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """(T,) in [0, 1]: the share of each token's characters that lies in any of the spans `[start, end)`.

    A character in two spans counts once; a token without characters has 0.
    """
    end = max([0, *(int(last) for _, last in spans), *offsets[:, 1].tolist()])
    is_gold = np.zeros(end + 1, dtype=bool)
    for first, last in spans:
        is_gold[first:last] = True
    gold_before = np.concatenate([[0], np.cumsum(is_gold)])
    starts, ends = offsets[:, 0], offsets[:, 1]
    return (gold_before[ends] - gold_before[starts]) / np.maximum(ends - starts, 1)


def agreement(weights: np.ndarray, offsets: np.ndarray, spans: Sequence[tuple[int, int]]) -> Agreement | None:
    """How the weights agree with the annotated spans of one code.

    Only tokens with characters count (not padding, nor the tokens added around a text), and only they are in chance.
    None where no token touches a span: annotated characters that the model did not read cannot be found, and are for
    the caller to count. Weights need not sum to 1; where all are zero, the mass is 0 and the first token is pointed at.
    """
    content = offsets[:, 1] > offsets[:, 0]
    weights, shares = weights[content], gold_shares(offsets[content], spans)
    if not (shares > 0).any():
        return None
    total = float(weights.sum())
    return Agreement(
        mass=float(weights @ shares) / total if total > 0 else 0.0,
        mass_by_chance=float(shares.mean()),
        hit=float(shares[np.argmax(weights)] > 0),
        hit_by_chance=float((shares > 0).mean()),
    )


def mean_agreement(agreements: Sequence[Agreement]) -> dict[str, float]:
    """Means over codes and notes, and how many times chance the mass and the hits are. Raises UserError on none."""
    if not agreements:
        raise UserError("there is no annotated evidence in what the model read, so nothing can be compared with it")
    names = [field.name for field in fields(Agreement)]
    means = {name: float(np.mean([getattr(one, name) for one in agreements])) for name in names}
    return means | {
        "pairs": len(agreements),
        "mass_over_chance": means["mass"] / means["mass_by_chance"],
        "hit_over_chance": means["hit"] / means["hit_by_chance"],
    }
