"""The rows of a table of one's own as visits: the codes of each in their order, its time, its note."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.own_table.code_cells import AROUND
from data.sources.shared.own_table.table_columns import TableColumns, asked_for, refuse_none_asked_for
from data.table_files.ids import id_order
from data.table_files.meanings import LARGEST_AGE
from data.table_files.times import completed_years
from mera.system.errors import UserError

FAR_APART = 100
"""Days."""
FIRST_YEAR, LAST_YEAR = 1900, 2300
"""Of visits whose dates are put together; de-identified ones lie far ahead."""
SHARE_WITHOUT_FIRST = 0.01
"""Of the visits."""


def kept_rows(path: str | Path, rows: pl.DataFrame, columns: TableColumns, ledger: Ledger) -> pl.DataFrame:
    """The rows that `columns.keep` asks for. Raises UserError where no row has such a value."""
    kept = rows
    for number, (header, values) in enumerate(columns.keep.items()):
        kept = kept.filter(asked_for(kept[f"keep_{number}"], values)).drop(f"keep_{number}")
        if kept.is_empty():
            refuse_none_asked_for(path, header, values)
    ledger.change("row that --keep does not ask for, left out", rows.height - kept.height)
    return kept


def with_one_text(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with a note that stands in several columns, `text_0` and so on, in one."""
    parts = [name for name in rows.columns if name.startswith("text_")]
    if not parts:
        return rows
    return rows.with_columns(text=pl.concat_str(parts, separator="\n\n", ignore_nulls=True)).drop(parts)


def with_one_time(path: str | Path, rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`rows` with a time that stands in several columns, `time_0` and so on, in one: the year, the month and, unless it
    is the first, the day. Raises UserError where none is a date."""
    parts = [name for name in rows.columns if name.startswith("time_") and name[5:].isdigit()]
    if not parts:
        return rows
    there = pl.all_horizontal(pl.col(parts).is_not_null())
    first_of_month = [pl.lit("1")] * (len(parts) < 3)
    text = pl.concat_str(pl.col(parts).cast(pl.String), *first_of_month, separator="-")  # null where a part is
    moment = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    is_year = pl.col(parts[0]).is_between(FIRST_YEAR, LAST_YEAR)
    dated = rows.with_columns(time=pl.when(is_year).then(moment), time_days=pl.lit(None, pl.Float64))
    wrong = dated.filter(there & pl.col("time").is_null()).height  # the others have no time, and are counted so
    if rows.height and wrong and dated["time"].null_count() == rows.height:
        raise UserError(f"{path}: the numbers of --time make no dates; it names the year first, then month and day")
    ledger.change("row whose year, month and day are no date", wrong)
    return dated.drop(parts)


def with_age_at_visit(path: str | Path, rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`rows` with `age`, and without a `birth_date` that gives none. Raises UserError where the times are numbers of
    days."""
    if rows["time"].null_count() == rows.height:
        raise UserError(f"{path}: --birth-date needs times that are dates; leave it out, or name a column of ages")
    age = completed_years(pl.col("birth_date"), pl.col("time"))
    is_age = age.is_between(0, LARGEST_AGE)
    ledger.change(
        f"row whose age by the date of birth is below 0 or above {LARGEST_AGE}, left out",
        int(rows.select(~is_age).to_series().sum()),
    )
    return rows.with_columns(age=pl.when(is_age).then(age), birth_date=pl.when(is_age).then("birth_date"))


def note_as_id(rows: pl.DataFrame) -> pl.Series:
    """Rows with one note are one visit, whatever the order of the rows; those without a note are none."""
    note = pl.when(pl.col("text").str.strip_chars() != "").then("text")
    return rows.select("note " + note.rank("dense").cast(pl.String)).to_series()


def time_as_id(rows: pl.DataFrame) -> pl.Series:
    """Rows of a patient with one time are one visit, however the time is written; those without are one until
    `with_order` counts them."""
    moments = rows["time"].dt.strftime("%Y-%m-%d %H:%M:%S").str.strip_suffix(" 00:00:00")
    return moments.fill_null(rows["time_days"].cast(pl.String).str.strip_suffix(".0")).fill_null("")


def day_as_id(rows: pl.DataFrame, ledger: Ledger) -> pl.Series:
    """As `time_as_id`, but of one day: systems write when each code was entered, and what was found in a visit is
    nothing to predict from the same visit."""
    days = rows["time"].dt.strftime("%Y-%m-%d")
    days = days.fill_null(rows["time_days"].floor().cast(pl.String).str.strip_suffix(".0")).fill_null("")
    times = rows.select("patient", pl.col("time", "time_days"), day=days).unique()
    several = times.height - times.select("patient", "day").n_unique()
    ledger.change("further time of a day, read as the same visit (--visit tells visits of one day apart)", several)
    return days


def one_code_a_row(rows: pl.DataFrame, code_columns: Sequence[str], code_separator: str | None) -> pl.DataFrame:
    """`place` orders the codes of a visit: the user's numbers, else its rows by time and content where each may have
    several codes, then the order in the row; or nothing. A row without any code stays, with a null."""
    number = pl.col("position") if "position" in rows.columns else pl.lit(None, pl.Float64)
    if code_separator is None and len(code_columns) == 1:
        return rows.with_columns(place=number)
    if "position" not in rows.columns:  # the order of a file's rows is chance
        key = pl.struct(*(name for name in ("time", "time_days") if name in rows.columns), *code_columns)
        number = key.rank("dense").over("patient", "visit").cast(pl.Float64)
    if code_separator is None:
        in_row = pl.concat_list(code_columns)
    else:
        in_row = pl.concat_list(pl.col(name).str.split(code_separator).fill_null([]) for name in code_columns)
    codes = in_row.list.drop_nulls()
    none = pl.lit([None], dtype=pl.List(pl.String))
    listed = rows.with_columns(code=pl.when(codes.list.len() > 0).then(codes).otherwise(none), number=number)
    listed = listed.with_columns(place=pl.int_ranges(pl.col("code").list.len()).cast(pl.List(pl.Float64)))
    exploded = listed.explode("code", "place")
    stripped = exploded.with_columns(pl.col("code").str.strip_chars(AROUND).replace({"": None}))
    # A row without a number comes after those that have one.
    number = pl.col("number").fill_null(pl.col("number").max() + 1).fill_null(0)
    return stripped.with_columns(place=number * 1e6 + pl.col("place")).drop("number")


def refuse_no_first(path: str | Path, rows: pl.DataFrame, code_columns: Sequence[str], ledger: Ledger) -> None:
    """Counts the visits of which several first rows have one time and different codes, so that none of these is known
    to come first. Raises UserError where they are more than a few."""
    if "position" in rows.columns:
        return
    cell = pl.coalesce(*code_columns)
    times = [name for name in ("time", "time_days") if name in rows.columns]
    coded = rows.filter(cell.is_not_null()).drop_nulls(["patient", "visit"])
    if times:
        coded = coded.filter(pl.struct(times).rank("dense").over("patient", "visit") == 1)
    first = coded.group_by("patient", "visit").agg(cell.n_unique().alias("cells"))
    unknown = first.filter(pl.col("cells") > 1).height
    if unknown > SHARE_WITHOUT_FIRST * first.height:
        raise UserError(
            f"{path}: {unknown:,} of {first.height:,} visits have several rows of one time with different codes, so "
            "that nobody knows which is the primary diagnosis; name the column that says so with --position, or leave "
            "the other rows out with --keep"
        )
    ledger.change("visit whose primary diagnosis is the first by the alphabet: several rows of one time", unknown)


def num_diagnoses(rows: pl.DataFrame) -> int:
    return int(rows["diagnosis"].sum())


def with_order(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger, are_history: bool = True) -> pl.DataFrame:
    """`order`, in seconds where there are times; `day` where there are days. Rows without a time go, and with them the
    visits and patients that have no other; the ledger counts each. `are_history`: later visits are predicted from
    these, so that rows of after the next visit began go too.
    """
    if columns.time is None:
        if are_history:
            ledger.change("visits in the order of their ids: no --time", rows.select("patient", "visit").n_unique())
        return ordered(rows, columns)
    timed = ordered(rows, columns).drop_nulls("order")
    reason = "without a usable time"
    ledger.drop("diagnoses", f"row {reason}", num_diagnoses(rows) - num_diagnoses(timed))
    for unit, key in (("visits", ["patient", "visit"]), ("patients", ["patient"])):
        ledger.drop(unit, reason, rows.select(key).n_unique() - timed.select(key).n_unique())
    if columns.visit is None:
        return timed
    ledger.change("visit that begins on the day of the patient's last one, read as the next", _on_one_day(timed))
    ledger.change(f"visit whose rows lie more than {FAR_APART} days apart, read as one", _far_apart(timed))
    return _before_the_next(timed, ledger) if are_history else timed


def _before_the_next(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`rows` without those of after the day on which the patient's next visit began: in a history they would tell what
    that visit found."""
    began = rows.group_by("patient", "visit").agg(pl.col("day").min(), pl.col("order").min())
    following = began.sort("patient", "order", "visit").select(
        "patient", "visit", next_day=pl.col("day").shift(-1).over("patient")
    )
    dated = rows.join(following, on=["patient", "visit"], how="left", maintain_order="left")
    known = dated.filter(~(pl.col("day") > pl.col("next_day")).fill_null(False)).drop("next_day")
    reason = "row of after the patient's next visit began"
    ledger.drop("diagnoses", reason, num_diagnoses(rows) - num_diagnoses(known))
    return known


def ordered(rows: pl.DataFrame, columns: TableColumns) -> pl.DataFrame:
    """`rows` with `order` and `day`, null where they have no usable time."""
    if columns.time is None:
        return rows.with_columns(order=id_order(rows["visit"]), day=pl.lit(None, dtype=pl.Int64))
    if rows["time_days"].null_count() == rows.height:
        return rows.with_columns(order=pl.col("time").dt.epoch("s"), day=pl.col("time").dt.epoch("d").cast(pl.Int64))
    days = pl.col("time_days")
    return rows.with_columns(order=(days * 86_400).cast(pl.Int64), day=days.floor().cast(pl.Int64))


def visits_of_rows(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger, past_notes: bool) -> pl.DataFrame:
    # The notes of a visit in the order of their times, of one time as the file has them.
    notes = pl.col("text").sort_by("order", maintain_order=True).drop_nulls().unique(maintain_order=True)
    first = rows.group_by("patient", "visit").agg(
        pl.col("order", "day").min(),
        sex=_one(pl.col("sex")) if columns.sex else pl.lit(None, dtype=pl.String),
        age=_one(pl.col("age")) if "age" in rows.columns else pl.lit(None, dtype=pl.Int64),
        birth_date=_one(pl.col("birth_date")) if columns.birth_date else pl.lit(None, dtype=pl.Datetime),
        text=notes.str.join("\n\n") if columns.text else pl.lit(None, dtype=pl.String),
        num_texts=pl.col("text").drop_nulls().n_unique() if columns.text else pl.lit(0),
    )
    for name in (name for name in ("sex", "age") if name in rows.columns):
        several = rows.drop_nulls(name).group_by("patient", "visit").agg(pl.col(name).n_unique())
        ledger.change(f"visit whose rows differ in {name}, which is left out", several.filter(pl.col(name) > 1).height)
    visits = first.select(
        *("order", "day", "age", "sex", "birth_date"), patient_id="patient", admission_id="visit", period="day"
    )
    if not columns.text:
        return visits
    text = pl.when(pl.col("text").str.strip_chars() != "").then("text")
    if past_notes:
        texts = first.select(text=text, num_notes=pl.when(text.is_not_null()).then("num_texts").otherwise(0))
        ledger.read("notes", int(texts["num_notes"].sum()))
        return visits.hstack(texts.get_columns())
    texts = first.select(text=text, num_notes=pl.lit(1))
    noted = visits.hstack(texts.get_columns()).drop_nulls("text")
    joined = int((first["num_texts"].cast(pl.Int64) - 1).clip(0).sum())
    ledger.change("note of a visit that has others, with which it is read as one", joined)
    ledger.read("notes", noted.height)
    ledger.drop("visits", "without a note", visits.height - noted.height)
    ledger.drop("patients", "without a note", visits["patient_id"].n_unique() - noted["patient_id"].n_unique())
    return noted


def _far_apart(rows: pl.DataFrame) -> int:
    """Visits whose days lie far apart: an id that begins anew each year, or a stay of months."""
    days = rows.group_by("patient", "visit").agg(span=pl.col("day").max() - pl.col("day").min())
    return days.filter(pl.col("span") > FAR_APART).height


def _on_one_day(rows: pl.DataFrame) -> int:
    """Visits that begin when the patient's last one did: transfers and the episodes of one stay do."""
    began = rows.group_by("patient", "visit").agg(pl.col("day").min()).drop_nulls("day")
    return began.height - began.select("patient", "day").n_unique()


def _one(values: pl.Expr) -> pl.Expr:
    """The value where all that are there agree, else null."""
    known = values.drop_nulls()
    return pl.when(known.n_unique() == 1).then(known.min())
