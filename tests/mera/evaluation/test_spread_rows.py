"""Rows from everywhere."""

import numpy as np
import pytest

from mera.evaluation.spread_rows import spread_rows


@pytest.mark.parametrize(("rows", "most"), [(10, 3), (7, 6), (1000, 999), (1_000_003, 20_000)])
def test_each_part_of_the_rows_is_there_as_often(rows, most):
    kept = spread_rows(rows, most)
    assert len(kept) == len(set(kept.tolist())) == most
    gaps = np.diff([*kept, rows])
    assert (gaps.min(), gaps.max()) == (rows // most, -(-rows // most))


def test_few_rows_are_all_kept():
    assert spread_rows(3, 3).tolist() == spread_rows(3, 5).tolist() == [0, 1, 2]
    assert spread_rows(0, 5).tolist() == spread_rows(5, 0).tolist() == []
