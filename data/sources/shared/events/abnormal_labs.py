"""Which results of the laboratory are out of order, and to which side."""

import polars as pl

_HIGH = ("h", "hh", "high", "above", "critical high", "panic high", "hx", ">")
_LOW = ("l", "ll", "low", "below", "critical low", "panic low", "lx", "<")
_ABNORMAL = ("a", "aa", "abnormal", "abn", "critical", "panic", "*", "pos", "positive", "det", "detected", "e")
_NORMAL = ("n", "normal", "neg", "negative", "nd", "wr", "within range", "not detected", "nr")


def side_of(flag: pl.Expr, value: pl.Expr, low: pl.Expr, high: pl.Expr) -> pl.Expr:
    """`high`, `low`, `abnormal` (out of order, side unknown), `normal`, or null where nothing says which.

    flag: String; value, low, high: Float64, the bounds of the reference range; each may be null. A flag that names a
    side stands before the range; one that says normal stands before it too; `abnormal` takes its side from the range.
    """
    word = flag.str.strip_chars().str.to_lowercase()
    by_range = (
        pl.when(value > high)
        .then(pl.lit("high"))
        .when(value < low)
        .then(pl.lit("low"))
        .when(value.is_not_null() & (high.is_not_null() | low.is_not_null()))
        .then(pl.lit("normal"))
    )
    return (
        pl.when(word.is_in(_HIGH))
        .then(pl.lit("high"))
        .when(word.is_in(_LOW))
        .then(pl.lit("low"))
        .when(word.is_in(_ABNORMAL))
        .then(pl.when(by_range.is_in(["high", "low"])).then(by_range).otherwise(pl.lit("abnormal")))
        .when(word.is_in(_NORMAL))
        .then(pl.lit("normal"))
        .otherwise(by_range)
    )


def abnormal(rows: pl.DataFrame, side: pl.Expr) -> tuple[pl.DataFrame, int, int]:
    """The rows that are out of order, with a column `side`; how many are within their range, and of how many nothing
    says whether they are."""
    marked = rows.with_columns(side=side)
    out = marked.filter(pl.col("side").is_in(["high", "low", "abnormal"]).fill_null(False))
    normal = int((marked["side"] == "normal").sum())
    return out, normal, marked.height - out.height - normal
