"""Patients of a data frame, of Polars or pandas: one row a diagnosis, or one row a visit with a list of codes."""

import datetime
import warnings
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from data.table_files.meanings import aged
from mera.system.errors import UserError
from rank.patients.notices import InputNotice
from rank.patients.patient_input import read_age, read_sex

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
    """Whole years; that of the latest visit with one, as many years later as have passed until `at`."""
    sex: str | None = None
    """None where a patient has two."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePatient:
    patient: object
    """As the frame has it."""
    history: list[list[str]]
    days_before: list[int]
    age: int | None
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


def no_answer(patient: str) -> pl.DataFrame:
    """The ranked codes of nobody, by the names that `RankedCode` has."""
    texts, numbers, flags = ("code", "definition"), ("score", "probability"), ("predicted", "known")
    schema: dict[str, pl.DataType] = {patient: pl.String(), "place": pl.Int64()}
    schema |= dict.fromkeys(texts, pl.String()) | dict.fromkeys(numbers, pl.Float64())
    schema |= dict.fromkeys(flags, pl.Boolean()) | {"rules": pl.List(pl.String), "because": pl.Null()}
    return pl.DataFrame(schema=schema)


def patients_of_frame(
    table: pl.DataFrame, columns: FrameColumns, at: datetime.date | int | None = None
) -> list[FramePatient]:
    """The patients in the order in which they come, each with all visits, oldest first.

    `at`: the day of the visit to predict, to which `days_before` counts; None: that of each patient's latest visit, be
    it without a code. Rows without a code are left out, and an `InputNotice` counts them and the patients that are lost
    with them; others count who is recorded with two sexes, or with two ages on one day, which are taken for none.
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
    if isinstance(table.schema["code"], pl.List):
        is_empty = pl.col("code").list.len() == 0
        table = table.with_columns(pl.when(~is_empty).then("code")).explode("code")
    table = table.with_columns(pl.col("code").str.strip_chars())
    has_code = pl.col("code").is_not_null() & (pl.col("code") != "")
    with_code = table.filter(has_code)
    order = {patient: place for place, patient in enumerate(with_code["patient"].unique(maintain_order=True))}
    by_patient = table.filter(pl.col("patient").is_in(list(order))).sort("day", maintain_order=True)
    found = [
        _patient(rows, rows.filter(has_code), at, order[rows["patient"][0]] + 1)
        for rows in by_patient.partition_by("patient", maintain_order=True)
    ]
    _say_left_out(len(table) - len(with_code), every - len(found))
    for what in ("sexes", "ages on one day"):
        number = sum(what in conflicts for _, conflicts in found)
        if number:
            sentence = f"{number:,} patients of the frame have two {what}, which are taken for none"
            warnings.warn(sentence, InputNotice, stacklevel=3)
    return sorted((patient for patient, _ in found), key=lambda patient: order[patient.patient])


def _patient(
    rows: pl.DataFrame, with_code: pl.DataFrame, at: datetime.date | int | None, number: int
) -> tuple[FramePatient, set[str]]:
    """`rows`: of one patient, who is the how manieth, by day, and those `with_code`; with what contradicts itself."""
    visits = with_code.group_by("day", maintain_order=True).agg("code")
    latest: int = rows["day"][-1]
    day = at.date() if isinstance(at, datetime.datetime) else at
    now = latest if day is None else (day - _EPOCH).days if isinstance(day, datetime.date) else int(day)
    if now < latest:
        raise UserError("`at` lies before the last visit of a patient; leave the later visits out, or give a later day")
    dated, words = rows.drop_nulls("age"), [word for word in rows["sex"].drop_nulls().unique() if str(word).strip()]
    ages = dated.filter(pl.col("day") == pl.col("day").max())
    age = ages["age"][0] if ages["age"].n_unique() == 1 else None
    try:
        years, sexes = read_age(age), {read_sex(word) for word in words} - {None}
    except UserError as error:
        raise UserError(f"patient {number} of the frame: {str(error).partition(', got ')[0]}") from None
    conflicts = {"sexes"} if len(sexes) > 1 else set()
    conflicts |= {"ages on one day"} if ages["age"].n_unique() > 1 else set()
    patient = FramePatient(
        patient=rows["patient"][0],
        history=visits["code"].to_list(),
        days_before=[now - day for day in visits["day"]],
        age=None if years is None else aged(years, now - ages["day"][0]),
        sex=next(iter(sexes)) if len(sexes) == 1 else None,
    )
    return patient, conflicts


def _days(table: pl.DataFrame, time: str) -> pl.Expr:
    """Days since 1970, or the numbers themselves."""
    kind = table.schema[time]
    if kind.is_integer():
        return pl.col(time).cast(pl.Int64)
    if kind in (pl.Date, pl.Datetime):
        return pl.col(time).cast(pl.Date).cast(pl.Int32).cast(pl.Int64)
    raise UserError(f"{time} holds {kind}; a time is a date, a datetime or a whole number of days: parse it first")


def _say_left_out(rows: int, patients: int) -> None:
    if rows or patients:
        lost = f", and with them {patients:,} patients" if patients else ""
        warnings.warn(f"{rows:,} rows of the frame without a code were left out{lost}", InputNotice, stacklevel=4)
