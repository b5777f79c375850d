"""Ids of patients and visits as other tools write them: one spelling for each, and an order that a reader expects."""

import re

import polars as pl

from data.table_files import meanings
from mera.system.errors import UserError

_ODD_ID = r"^[+-]?0\d|^[+-]?\d+[.,]0*$|^[+-]?\d[\d.,]*[eE]"
_IS_NUMBER = r"^[+-]?\d+(?:\.(?:0{0,2}|0{4,})|,0{1,2})?$|^[+-]?\d(?:[.,]\d+)?[eE]\+?\d+$"
_AS_FLOAT = re.compile(r"[1-9]\d*\.(?:0{1,2}|0{4,})")
_LONGEST_NUMBER = 30
_FEW_MIXED = 0.05
"""Share of ids with large and small letters, above which case counts."""


def with_one_spelling(values: pl.Series, are_numbers: bool, place: str) -> tuple[pl.Series, int]:
    """`values` (N,) with one spelling for each id, and how many of them were changed.

    Where `are_numbers` says that the ids are numbers, `1000.0` and `01000` are 1000, whichever file writes them how. In
    another column zeros in front stay, since 01000 may be somebody else and another table has it so; where all values
    are numbers, `1000.0` and `1e3` are 1000 too, and else only the `.0` of a float goes. Raises UserError naming the
    `place`, a file and its column, where numbers have lost digits (`1.23e+07`), or where such zeros, or the case of
    letters (`a7`, `A7`), alone tell them apart.
    """
    _refuse_case_that_tells_apart(values, place)
    is_odd = values.str.contains(_ODD_ID)
    odd = values.filter(is_odd.fill_null(False)).unique()
    if not len(odd):
        return values, 0
    numeric = are_numbers or bool(values.str.contains(_IS_NUMBER).all())
    spelled: dict[str, str] = {}
    for text in odd:
        number = meanings.whole_number(text)
        if number is None and numeric and "e" in text.lower():
            raise UserError(
                f"{place} holds ids as {meanings.form_of(text)}, which have lost digits; export them as text"
            )
        has_zeros = not are_numbers and re.match(r"[+-]?0\d", text) is not None
        if number is not None and not has_zeros and (numeric or _AS_FLOAT.fullmatch(text)):
            spelled[text] = number
    if numeric and not are_numbers:
        _refuse_zeros_that_tell_apart(values, place)
    return values.replace(spelled), int(values.is_in(list(spelled)).sum())


def _refuse_zeros_that_tell_apart(values: pl.Series, place: str) -> None:
    whole = values.drop_nulls().unique().str.extract(r"^\+?(\d+)(?:[.,]0*)?$").drop_nulls().unique()
    same = whole.len() - whole.str.strip_chars_start("0").n_unique()
    if same:
        raise UserError(
            f"{place} has {same:,} ids that differ from another in zeros in front alone, as 007 and 7; write those of "
            f"one patient in one form, and others with a letter"
        )


def _refuse_case_that_tells_apart(values: pl.Series, place: str) -> None:
    """Not of pseudonyms in which case counts: there large and small letters stand side by side in one id, and ids that
    are alike but for case are many (numbered one by one) or few (drawn)."""
    different = values.filter(values.str.contains("[A-Za-z]").fill_null(False)).unique()
    same = len(different) - different.str.to_lowercase().n_unique()
    if same and different.str.contains("[a-z].*[A-Z]|[A-Z].*[a-z]").sum() <= _FEW_MIXED * len(different):
        raise UserError(
            f"{place} has {same:,} ids that differ from another in the case of letters alone, as a7 and A7; write "
            f"those of one patient in one form, and others with one more letter"
        )


def id_order(ids: pl.Series) -> pl.Series:
    """(N,) numbers that sort ids as a reader would: numbers as numbers, also within other ids (V9 before V10)."""
    numbers = ids.cast(pl.Int64, strict=False)
    if numbers.null_count() == ids.null_count():
        return numbers
    distinct = sorted(ids.drop_nulls().unique().to_list(), key=_natural)
    return ids.replace_strict(distinct, list(range(len(distinct))), default=None, return_dtype=pl.Int64)


def _natural(text: str) -> list[str]:
    return [part.zfill(_LONGEST_NUMBER) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
