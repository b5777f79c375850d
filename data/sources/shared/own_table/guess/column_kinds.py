"""What the values of a column may be: a sex, a time, an age, a note, the ids of patients or of visits."""

from collections.abc import Sequence

import polars as pl

from data.sources.shared.own_table.column_names import IN_DUTCH, IN_SPANISH, OF_SEX, OF_SEX_BY_NUMBER, is_called
from data.table_files import meanings
from data.table_files.columns import LOOKED_AT, distinct
from data.table_files.times import UnreadableTimes, parse_times

_MOST = 0.8
"""Share of the different values of a column, of which LOOKED_AT are tried, that must be what it is taken for."""


def is_sex(values: pl.Series) -> bool:
    """Words for one sex or both; of letters and numbers that stand for other things too (W, H, U, 1) also the column's
    name, and of a V beside an M its language."""
    texts = [text.lower() for text in distinct(values)]
    is_called_so = is_called(values.name, OF_SEX)
    if {"1", "2"} <= {*texts} <= {*meanings.ISO_5218} and is_called(values.name, OF_SEX_BY_NUMBER):
        return True
    sexes = {meanings.sex(text) for text in texts if text not in meanings.AMBIGUOUS_WITH_M}
    if not 1 < len(texts) <= 5 or None in sexes or not {"F", "M"} & sexes:
        return False
    if _is_unclear(texts):
        return is_called_so and sex_letters(values) is not None
    return any(len(text) > 1 or text in "fm" or not text.isascii() for text in texts) or is_called_so


def sex_letters(values: pl.Series) -> str | None:
    """What --sex-values says of a column whose M may be a woman (mujer) or a man: H and M are hombre and mujer, V and M
    varón and mujer in Spanish, vrouw and man in Dutch. None where the letters need no word, or nobody can say."""
    texts = [text.lower() for text in distinct(values)]
    if not _is_unclear(texts):
        return None
    if "h" in texts:
        return "F=M,M=H"
    return "F=M,M=V" if is_called(values.name, IN_SPANISH) else "F=V,M=M" if is_called(values.name, IN_DUTCH) else None


def _is_unclear(texts: Sequence[str]) -> bool:
    return "m" in texts and bool({*texts} & meanings.AMBIGUOUS_WITH_M) and "f" not in texts


def is_time(values: pl.Series) -> bool:
    if values.dtype == pl.Datetime:
        return True
    texts = values.drop_nulls().head(LOOKED_AT)
    if not len(texts) or texts.str.contains(r"^\d{1,6}(\.\d+)?$").sum() > 0.5 * len(texts):
        return False
    try:
        read = parse_times(texts).moments.is_not_null()
    except UnreadableTimes:
        read = texts.str.contains(r"^\d{1,2}[/. -]\d{1,2}[/. -]\d{4}")
    return read.sum() >= _MOST * len(texts)


def why_no_time(values: pl.Series) -> str | None:
    """Why no time is read in most values of a column, whose name says that it holds times; None where they hold no
    digits as times do."""
    texts = values.cast(pl.String).drop_nulls().head(LOOKED_AT)
    if not len(texts) or texts.str.contains(r"\d.*\d.*\d.*\d").sum() < _MOST * len(texts):
        return None
    try:
        parse_times(texts)
    except UnreadableTimes as error:
        return str(error)
    return f"their form is none that is known ({meanings.form_of(texts[0])})"


def is_age(values: pl.Series) -> bool:
    texts = distinct(values)
    return bool(texts) and sum(age is not None for age in meanings.ages(texts).values()) >= _MOST * len(texts)


def is_birth(values: pl.Series) -> bool:
    """Dates, or years; of both the name says whose they are."""
    years = values.cast(pl.String).drop_nulls().str.contains(r"^(18|19|20)\d\d(\.0*)?$")
    return is_time(values) or (len(years) > 0 and years.sum() >= _MOST * len(years))


def is_text(values: pl.Series) -> bool:
    texts = distinct(values)
    return bool(texts) and sum(map(len, texts)) > 80 * len(texts)


def is_id(values: pl.Series) -> bool:
    return values.dtype == pl.String and values.null_count() < len(values) and values.n_unique() > 1


def differs(rows: pl.DataFrame, column: str, by: str) -> bool:
    """Whether a value of `by` has several of `column`: visits of a patient differ in time, a date of birth or of the
    export does not."""
    return bool((rows.drop_nulls([column, by]).group_by(by).agg(pl.col(column).n_unique())[column] > 1).any())


def share_of_several(rows: pl.DataFrame, column: str, by: str) -> float:
    """Which share of the values of `by` with several rows has several of `column`."""
    of_each = rows.drop_nulls([column, by]).group_by(by).agg(pl.col(column).n_unique(), rows=pl.len())
    several = of_each.filter(pl.col("rows") > 1)
    return int((several[column] > 1).sum()) / max(1, several.height)


def belongs(values: pl.Series, patients: pl.Series) -> bool:
    """Whether each value occurs with one patient only, and some patient has several."""
    if values.dtype != pl.String:
        return False
    pairs = pl.DataFrame({"value": values, "patient": patients}).drop_nulls().unique()
    return pairs.height == pairs["value"].n_unique() > pairs["patient"].n_unique()


def is_position(values: pl.Series) -> bool:
    return bool(texts := distinct(values)) and all(text.isdigit() and len(text) < 4 for text in texts)
