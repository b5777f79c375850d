"""A number with its interval, as the report keeps it: None where there is none."""

import math
from dataclasses import dataclass

import numpy as np

from mera.evaluation import bootstrap


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An observed value and the ends of its 95% interval."""

    value: float | None
    low: float | None
    high: float | None


def estimate(
    replicates: np.ndarray,
    least_error: float = 0.0,
    bounds: tuple[float, float] = (0.0, 1.0),
    units: int | None = None,
) -> Estimate:
    """Value and 95% interval of (B,) replicates, of which replicate 0 is the observed value.

    `bounds`: what the number can be; the shift of `bootstrap.interval` could carry an end beyond. `units`: of a share
    the patients with a value, as there.
    """
    low, high = np.clip(bootstrap.interval(replicates, least_error=least_error, units=units), *bounds)
    return Estimate(value=finite(replicates[0]), low=finite(low), high=finite(high))


def finite(value: float) -> float | None:
    """The number as Python's own; None where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None
