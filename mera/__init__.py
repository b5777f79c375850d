"""What every stage shares: configuration, run directory, models, metrics, predictions, report, the `mera` command."""

import os
from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

# Tensors of 2 MiB and more lie in huge pages where Linux gives them to those who ask: fewer page faults, and what is
# freed goes back to the system (pytorch/pytorch#107697). torch reads it at its first tensor, so it stands before all.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

if TYPE_CHECKING:
    from mera.report import write_report
    from mera.runs.pool import pool_folds
    from mera.runs.predictions import Predictions, read_predictions, write_predictions
    from mera.system.errors import UserError

__all__ = ["Predictions", "UserError", "pool_folds", "read_predictions", "write_predictions", "write_report"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Predictions": "mera.runs.predictions",
        "UserError": "mera.system.errors",
        "pool_folds": "mera.runs.pool",
        "read_predictions": "mera.runs.predictions",
        "write_predictions": "mera.runs.predictions",
        "write_report": "mera.report",
    },
)
