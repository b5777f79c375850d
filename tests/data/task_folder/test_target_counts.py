"""What is counted of targets, a few rows at a time, is what a loop over all of them counts."""

import random
from collections import Counter

import pyarrow as pa
import pytest

from data.task_folder import task_rows

CANDIDATES = ["A00", "B01", "C02", "D03"]


@pytest.mark.parametrize("num_rows", [0, 1, 3, 4, 20])
def test_counts_over_slices_are_those_of_a_loop(monkeypatch, num_rows):
    monkeypatch.setattr(task_rows, "ROWS_AT_ONCE", 3)
    draw = random.Random(num_rows)
    rows = [draw.choices([*CANDIDATES, "X98", "Y99"], k=draw.randint(1, 4)) for _ in range(num_rows)]
    table = pa.table({"targets": pa.array(rows, pa.list_(pa.string()))})
    outside = [[code for code in row if code not in CANDIDATES] for row in rows]
    assert task_rows.count_outside(table, CANDIDATES) == {
        "examples": sum(map(bool, outside)),
        "targets": sum(map(len, outside)),
        "codes": len({code for row in outside for code in row}),
    }
    without = sum(not set(row) & set(CANDIDATES) for row in rows)
    assert task_rows.num_without_target_among(table, CANDIDATES) == without
    counts = Counter(code for row in rows for code in set(row))
    assert task_rows.count_targets(table, CANDIDATES).tolist() == [counts[code] for code in CANDIDATES]
