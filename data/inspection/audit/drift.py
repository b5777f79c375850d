"""How the use of codes differs between train and test. A task has no years, but splits in time have an order."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from data.task import Task

FEWEST_EXAMPLES = 20
"""Of a code in both splits together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """Train against test."""

    distance: float
    """Jensen-Shannon divergence of the codes' shares, in bits: 0 where they are the same, 1 where none is shared."""
    expected: float
    """The same where train's own shares were drawn as often as test's codes: what chance alone makes."""
    by_code: dict[str, tuple[float, float]]
    """Code -> share of the examples of train and of test that have it; those that differ most, by a test of two
    proportions, first."""


def drift_of(task: Task, top: int = 30, seed: int = 0) -> Drift:
    """`top`: how many codes to name."""
    counts = {
        name: Counter(code for codes in task.splits[name]["targets"] for code in codes) for name in ("train", "test")
    }
    codes = sorted(set(counts["train"]) | set(counts["test"]))
    train_C, test_C = (np.array([counts[name][code] for code in codes], dtype=float) for name in ("train", "test"))
    draw = np.random.default_rng(seed).multinomial(int(test_C.sum()), train_C / train_C.sum()).astype(float)
    sizes = [len(task.splits[name]) for name in ("train", "test")]
    z_C = np.abs(two_proportions(train_C, test_C, *sizes))
    z_C[train_C + test_C < FEWEST_EXAMPLES] = 0
    order = [place for place in np.argsort(-z_C, kind="stable")[:top] if z_C[place] > 0]
    return Drift(
        distance=divergence(train_C, test_C),
        expected=divergence(train_C, draw),
        by_code={codes[place]: (float(train_C[place] / sizes[0]), float(test_C[place] / sizes[1])) for place in order},
    )


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon divergence of two rows of counts (C,), in bits."""
    shares = [counts / counts.sum() for counts in (first, second)]
    middle = (shares[0] + shares[1]) / 2
    parts = [share[share > 0] @ np.log2(share[share > 0] / middle[share > 0]) for share in shares]
    return float(sum(parts) / 2)


def two_proportions(first: np.ndarray, second: np.ndarray, num_first: int, num_second: int) -> np.ndarray:
    """(C,) z values: how far the shares `first / num_first` and `second / num_second` lie apart, in standard errors of
    their pooled share; 0 where that is 0 or 1."""
    pooled = (first + second) / (num_first + num_second)
    error = np.sqrt(pooled * (1 - pooled) * (1 / num_first + 1 / num_second))
    apart = second / num_second - first / num_first
    z: np.ndarray = np.divide(apart, error, out=np.zeros_like(error), where=error > 0)
    return z
