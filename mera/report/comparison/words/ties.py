"""Models that have the same number: neither is ahead."""

import math
from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun

MOST_NAMED = 3
"""Models that a sentence names; of more it says how many."""


def level_runs(runs: Sequence[ComparedRun], metric: str) -> list[ComparedRun]:
    """The models with the highest number, several where it is the same."""
    highest = max((run.metrics[metric].value or 0.0 for run in runs), default=0.0)
    return [run for run in runs if math.isclose(run.metrics[metric].value or 0.0, highest, rel_tol=1e-9)]


def joined_labels(runs: Sequence[ComparedRun]) -> str:
    """The labels of a few models, or how many there are beside the first."""
    if len(runs) > MOST_NAMED:
        return f"{runs[0].label} and {len(runs) - 1} other models"
    *others, last = (run.label for run in runs)
    return f"{', '.join(others)} and {last}" if others else last
