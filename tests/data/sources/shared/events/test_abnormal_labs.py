"""Which results are out of order: a naive reading of flag and range, value by value, as the twin."""

import itertools

import polars as pl
import pytest

from data.sources.shared.events.abnormal_labs import abnormal, side_of


def naive(flag, value, low, high):
    by_range = None
    if value is not None:
        if high is not None and value > high:
            by_range = "high"
        elif low is not None and value < low:
            by_range = "low"
        elif high is not None or low is not None:
            by_range = "normal"
    word = (flag or "").strip().lower()
    if word in ("h", "hh", "high"):
        return "high"
    if word in ("l", "ll", "low"):
        return "low"
    if word in ("a", "abnormal"):
        return by_range if by_range in ("high", "low") else "abnormal"
    return "normal" if word in ("n", "normal") else by_range


ROWS = list(
    itertools.product(
        [None, "", "H", " ll ", "Abnormal", "N", "delta"], [None, 0.1, 1.0, 9.0], [None, 0.5], [None, 2.0]
    )
)


def table():
    schema = {"flag": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(ROWS, schema=schema, orient="row")


def side():
    return side_of(pl.col("flag"), pl.col("value"), pl.col("low"), pl.col("high"))


def test_sides_equal_those_of_a_naive_reading():
    assert table().select(side=side())["side"].to_list() == [naive(*row) for row in ROWS]


def test_every_row_is_abnormal_normal_or_unknown():
    out, normal, unknown = abnormal(table(), side())
    sides = [naive(*row) for row in ROWS]
    assert out["side"].to_list() == [each for each in sides if each in ("high", "low", "abnormal")]
    assert (normal, unknown) == (sides.count("normal"), sides.count(None))
    assert out.height + normal + unknown == len(ROWS)


@pytest.mark.parametrize(("flag", "expected"), [("HH", "high"), ("L", "low"), ("A", "abnormal"), ("N", "normal")])
def test_flags_of_hl7(flag, expected):
    frame = pl.DataFrame({"flag": [flag], "value": [None], "low": [None], "high": [None]}, schema=dict(table().schema))
    assert frame.select(side=side())["side"].to_list() == [expected]
