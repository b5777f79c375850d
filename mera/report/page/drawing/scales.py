"""Where an axis begins and ends, and which numbers stand on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

ZERO_BELOW = 0.4
"""An axis of shares starts at 0 where the lowest value is below this part of the highest; else it shows a clump."""
FAR = 2.0
"""An axis of differences leaves out what lies more than this many times beyond the middle one; it is marked at the
edge."""
LEAST_SPAN = 1.0
"""Of an axis of differences, in points: smaller ones are nothing to look at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A linear axis; values outside are drawn at the edge."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float, start: float, end: float) -> float:
        """Where `value` lies between the coordinates `start` and `end`."""
        share = (value - self.low) / (self.high - self.low)
        return start + (end - start) * min(1.0, max(0.0, share))

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def step_of(span: float, steps: int) -> float:
    """1, 2 or 5 times a power of ten: the smallest that covers `span` in at most so many steps."""
    raw = max(span, 1e-9) / steps
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def scale(low: float, high: float, steps: int = 5) -> Scale:
    """Round ends around `low` to `high`."""
    step = step_of(high - low, steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], ticks=ticks)


def share_scale(values: Sequence[float], steps: int = 5) -> Scale:
    """For percentages: from 0, unless all of them lie high up."""
    if not values:
        return scale(0, 100, steps)
    low, high = min(values), max(values)
    return scale(0.0 if low < ZERO_BELOW * high else low, max(high, 1e-6), steps)


def difference_scale(differences: Sequence[float], ends: Sequence[float], steps: int = 4) -> Scale:
    """For differences: 0 is always on it; what lies far beyond the rest is not.

    `ends`: of the intervals too; those of differences that are left out do not widen the axis."""
    sizes = sorted(abs(value) for value in differences if value)
    limit = FAR * max(sizes[len(sizes) // 2], sizes[len(sizes) // 4]) if sizes else 1.0
    near = [value for value in [*differences, *ends] if abs(value) <= max(limit, 1.0)]
    low, high = min([0.0, *near]), max([0.0, *near])
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return scale(low - missing, high + missing, steps)
