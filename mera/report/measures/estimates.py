"""A number with its interval, as the report keeps it: {"value", "low", "high"}, NaN where there is none."""

import numpy as np

from mera.evaluation import bootstrap

Estimate = dict[str, float]


def estimate(replicates: np.ndarray, least_error: float = 0.0, bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """Value and 95% interval of (B,) replicates, of which replicate 0 is the observed value.

    `bounds`: what the number can be; the shift of `bootstrap.interval` could carry an end beyond.
    """
    low, high = bootstrap.interval(replicates, least_error=least_error)
    low, high = np.clip([low, high], *bounds)
    return {"value": float(replicates[0]), "low": float(low), "high": float(high)}


def without_interval(value: float) -> Estimate:
    return {"value": float(value), "low": float("nan"), "high": float("nan")}
