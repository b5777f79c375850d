"""Patients of a data frame, of Polars or pandas: one row a diagnosis, or one row a visit with a list of codes."""

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from mera.system.errors import UserError
from rank.patients.notices import InputNotice

Frame = TypeVar("Frame")
"""pandas.DataFrame or polars.DataFrame."""
_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameColumns:
    """Names of columns."""

    patient: str
    code: str
    time: str
    """Dates, datetimes, or numbers of days; rows of a patient with the same day are one visit."""
    age: str | None = None
    """Whole years; that of the latest visit counts."""
    sex: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePatient:
    patient: object
    """As the frame has it."""
    history: list[list[str]]
    days_before: list[int]
    age: float | None
    sex: str | None


def as_polars(frame: object) -> pl.DataFrame:
    """Raises UserError where it is neither a Polars nor a pandas frame."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if type(frame).__module__.partition(".")[0] == "pandas":
        table = pl.from_pandas(frame)
        assert isinstance(table, pl.DataFrame)
        return table
    raise UserError(f"a frame of Polars or pandas is needed, got {type(frame).__name__}")


def as_given(table: pl.DataFrame, frame: Frame) -> Frame:
    """`table` as the kind of frame that `frame` is."""
    return table if isinstance(frame, pl.DataFrame) else table.to_pandas()  # type: ignore[return-value]


def patients_of_frame(
    table: pl.DataFrame, columns: FrameColumns, at: datetime.date | int | None = None
) -> list[FramePatient]:
    """The patients in the order in which they come, each with all visits, oldest first.

    `at`: the day of the visit to predict, to which `days_before` counts; None: each patient's latest visit, 0 days
    before. Rows without a code are left out, and an `InputNotice` counts them and the patients that are lost with them.
    Raises UserError where a column is missing, a patient or a time is, `at` is of another kind than the times, or a
    visit lies after it.
    """
    names = [columns.patient, columns.code, columns.time, *(name for name in (columns.age, columns.sex) if name)]
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UserError(f"the frame has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    is_dated = not table.schema[columns.time].is_integer()
    if at is not None and isinstance(at, datetime.date) != is_dated:
        wanted = "a date" if is_dated else "a whole number of days"
        raise UserError(f"`at` must be {wanted}, as the times in {columns.time} are; got {type(at).__name__}")
    table = table.select(
        pl.col(columns.patient).alias("patient"),
        pl.col(columns.code).alias("code"),
        _days(table, columns.time).alias("day"),
        (pl.lit(None, pl.Float64) if columns.age is None else pl.col(columns.age)).alias("age"),
        (pl.lit(None, pl.String) if columns.sex is None else pl.col(columns.sex)).alias("sex"),
    )
    if table.schema["patient"].is_float():
        table = table.with_columns(pl.col("patient").fill_nan(None))
    for name in ("patient", "day"):
        empty = table[name].is_null().arg_true()
        if len(empty):
            column = columns.patient if name == "patient" else columns.time
            raise UserError(f"row {empty[0] + 1} of the frame has no value in {column}; give every row one")
    if table.schema["code"] not in (pl.String, pl.List(pl.String)):
        raise UserError(
            f"{columns.code} holds {table.schema['code']}, and a code is a text: 008.45 as a number is 8.45"
        )
    every = table["patient"].n_unique()
    table = table.explode("code") if isinstance(table.schema["code"], pl.List) else table
    table = table.with_columns(pl.col("code").str.strip_chars())
    with_code = table.filter(pl.col("code").is_not_null() & (pl.col("code") != ""))
    patients = [
        _patient(rows, at)
        for rows in with_code.sort("day", maintain_order=True).partition_by("patient", maintain_order=True)
    ]
    order = {patient: place for place, patient in enumerate(with_code["patient"].unique(maintain_order=True))}
    _say_left_out(len(table) - len(with_code), every - len(patients))
    return sorted(patients, key=lambda patient: order[patient.patient])


def _patient(rows: pl.DataFrame, at: datetime.date | int | None) -> FramePatient:
    """`rows`: of one patient, by day."""
    visits = rows.group_by("day", maintain_order=True).agg("code")
    days: Sequence[int] = visits["day"].to_list()
    day = at.date() if isinstance(at, datetime.datetime) else at
    now = days[-1] if day is None else day if isinstance(day, int) else (day - _EPOCH).days
    if now < days[-1]:
        raise UserError("`at` lies before the last visit of a patient; leave the later visits out, or give a later day")
    ages, sexes = rows["age"].drop_nulls(), rows["sex"].drop_nulls()
    return FramePatient(
        patient=rows["patient"][0],
        history=visits["code"].to_list(),
        days_before=[now - day for day in days],
        age=ages[-1] if len(ages) else None,
        sex=sexes[-1] if len(sexes) else None,
    )


def _days(table: pl.DataFrame, time: str) -> pl.Expr:
    """Days since 1970, or the numbers themselves."""
    kind = table.schema[time]
    if kind.is_integer():
        return pl.col(time).cast(pl.Int64)
    if kind in (pl.Date, pl.Datetime):
        return pl.col(time).cast(pl.Date).cast(pl.Int32).cast(pl.Int64)
    raise UserError(f"{time} holds {kind}; a time is a date, a datetime or a whole number of days: parse it first")


def _say_left_out(rows: int, patients: int) -> None:
    if rows:
        lost = f", and with them {patients:,} patients" if patients else ""
        warnings.warn(f"{rows:,} rows of the frame without a code were left out{lost}", InputNotice, stacklevel=4)
