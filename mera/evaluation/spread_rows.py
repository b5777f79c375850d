"""Some of many rows where a few would do."""

import numpy as np


def spread_rows(rows: int, most: int) -> np.ndarray:
    """At most `most` of `rows` row numbers, evenly spread over all: rows stand in the order of patients' identifiers,
    which may begin with a hospital, a ward or a year, so that the first ones are no sample."""
    kept = min(rows, most)
    return np.arange(kept) * rows // max(kept, 1)
