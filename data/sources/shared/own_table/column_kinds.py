"""What the values of a column may be: a sex, a time, an age, a note, the ids of patients or of visits."""

import re

import polars as pl

from data.table_files import meanings
from data.table_files.times import UnreadableTimes, parse_times

_LOOKED_AT, _MOST = 400, 0.8
"""Different values of a column that are tried, and which share of them must be what the column is taken for."""
SEX_NAMES = r"sex|gender|geschlecht|sexo|genre"


def distinct(values: pl.Series) -> list[str]:
    if values.dtype != pl.String:
        return []
    return values.drop_nulls().unique(maintain_order=True).head(_LOOKED_AT).to_list()


def is_sex(values: pl.Series) -> bool:
    """Words for one sex or both; of letters that stand for other things too (W, H, U) also the column's name."""
    texts = [text.lower() for text in distinct(values)]
    sexes = {meanings.sex(text) for text in texts if text not in meanings.AMBIGUOUS_WITH_M}
    if not 1 < len(texts) <= 5 or None in sexes or not {"F", "M"} & sexes:
        return False
    if is_hombre_or_mujer(values):
        return bool(re.search(SEX_NAMES, values.name))
    return any(len(text) > 1 or text in "fm" for text in texts) or bool(re.search(SEX_NAMES, values.name))


def is_hombre_or_mujer(values: pl.Series) -> bool:
    """H or V (hombre, varón) beside an M, which is a woman's (mujer) where no F is there."""
    texts = {text.lower() for text in distinct(values)}
    return "m" in texts and bool(texts & meanings.AMBIGUOUS_WITH_M) and "f" not in texts


def is_time(values: pl.Series) -> bool:
    if values.dtype == pl.Datetime:
        return True
    texts = values.drop_nulls().head(_LOOKED_AT)
    if not len(texts) or texts.str.contains(r"^\d{1,6}(\.\d+)?$").sum() > 0.5 * len(texts):
        return False
    try:
        read = parse_times(texts).moments.is_not_null()
    except UnreadableTimes:
        read = texts.str.contains(r"^\d{1,2}[/. -]\d{1,2}[/. -]\d{4}")
    return read.sum() >= _MOST * len(texts)


def is_age(values: pl.Series) -> bool:
    texts = distinct(values)
    return bool(texts) and sum(age is not None for age in meanings.ages(texts).values()) >= _MOST * len(texts)


def is_text(values: pl.Series) -> bool:
    texts = distinct(values)
    return bool(texts) and sum(map(len, texts)) > 80 * len(texts)


def is_id(values: pl.Series) -> bool:
    return values.dtype == pl.String and values.null_count() < len(values) and values.n_unique() > 1


def differs(rows: pl.DataFrame, column: str, by: str) -> bool:
    """Whether a value of `by` has several of `column`: visits of a patient differ in time, a date of birth or of the
    export does not."""
    return bool((rows.drop_nulls([column, by]).group_by(by).agg(pl.col(column).n_unique())[column] > 1).any())


def belongs(values: pl.Series, patients: pl.Series) -> bool:
    """Whether each value occurs with one patient only, and some patient has several."""
    if values.dtype != pl.String:
        return False
    pairs = pl.DataFrame({"value": values, "patient": patients}).drop_nulls().unique()
    return pairs.height == pairs["value"].n_unique() > pairs["patient"].n_unique()


def is_position(values: pl.Series) -> bool:
    return bool(texts := distinct(values)) and all(text.isdigit() and len(text) < 4 for text in texts)
