"""Procedures, drugs and abnormal labs of a user's table: columns whose cells name them, one or several each.

A drug is put to its class (`drug_classes`), as that of every source, and an ATC code to its fourth level. A procedure
is an ICD-10-PCS code, an ICD-9-CM code with its dot (four digits too, where others of the table have one), either with
its version before it (`9:3961`), or anything else that names it. A lab is what is out of order, in the hospital's own
words (`creatinine high`). Words are the same in capitals and without.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.drug_classes import ATC, drug_class
from data.sources.shared.events.event_rows import EventRows, EventTable, plain_name
from data.sources.shared.events.options import KINDS
from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key
from data.sources.shared.own_table.code_cells import refuse_listed
from mera.system.errors import UserError

_ATC = re.compile(ATC, re.IGNORECASE)
_ICD9_PROCEDURE, _WITHOUT_ITS_DOT = r"^\d\d\.\d{1,2}$", r"^(\d\d)(\d\d)$"
_NUMBER, _MOST_NUMBERS = r"^[.,\s/-]*\d[\d.,\s/-]*$", 0.5
_WANTED = {
    "drugs": "names or ATC codes, as furosemide or C03CA01",
    "labs": "what was out of order, as creatinine high",
}
_LIST_MARKS = (";", "|")
"""Not the comma, which stands in names of drugs and labs."""


def refuse_event_lists(path: str | Path, rows: pl.DataFrame, columns: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError where a column holds several events a cell: each list would be an event of its own. `columns`:
    as `read_table_events` takes them."""
    patterns = {mark: rf"\S\s*{re.escape(mark)}\s*\S" for mark in _LIST_MARKS}
    for name in (name for names in columns.values() for name in names):
        values = rows[name].cast(pl.String).drop_nulls()
        refuse_listed(path, values, patterns, "procedures, drugs or labs", "--event-separator")


def refuse_numbers(path: str | Path, rows: pl.DataFrame, columns: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError where a column of drugs or labs holds numbers alone: results without what they are of, or NDC.
    `columns`: as `read_table_events` takes them."""
    for kind, wanted in _WANTED.items():
        for name in columns.get(kind, ()):
            values = rows[name].cast(pl.String).drop_nulls().str.strip_chars()
            if values.str.contains(_NUMBER).sum() > _MOST_NUMBERS * len(values):
                raise UserError(f"{path}: --{kind} reads words, and one of its columns holds numbers; give it {wanted}")


def read_table_events(
    rows: pl.DataFrame,
    columns: Mapping[str, Sequence[str]],
    visits: pl.DataFrame,
    ledger: Ledger,
    *,
    separator: str | None,
    timed: bool,
) -> EventTable:
    """The events of `visits` (VISIT_COLUMNS of `data.cohorts.cohort`).

    `rows`: patient_id, admission_id, order (seconds, where `timed`) and the columns of events; `columns`: of each of
    `procedures`, `drugs`, `labs` that the table has, where they stand. Rows without what is needed are counted.
    """
    events = EventRows(visits=visits, ledger=ledger, dated=timed)
    for kind, read in (("procedures", _procedure), ("drugs", _drug), ("labs", _lab)):
        cells = _cells(rows, columns.get(kind, ()), separator, pl.col("order") if timed else pl.lit(None))
        ledger.read("events", cells.height)
        if timed:
            dated = cells.drop_nulls("order")
            ledger.drop("events", "row without a usable time", cells.height - dated.height)
            cells = dated.with_columns(time=pl.from_epoch("order", time_unit="s"))
        words = cells["cell"].unique(maintain_order=True)
        read_as = words
        if kind == "procedures" and words.str.contains(_ICD9_PROCEDURE).any():  # others may have lost their dot
            read_as = words.str.replace(_WITHOUT_ITS_DOT, "${1}.${2}")
            dotted = int(cells["cell"].str.contains(_WITHOUT_ITS_DOT).sum())
            ledger.change(
                "procedure of four digits beside codes of ICD-9-CM, read as such a one without its dot", dotted
            )
        keys_and_names = [read(word) for word in read_as]
        table = pl.DataFrame(keys_and_names, schema={"key": pl.String, "name": pl.String}, orient="row")
        named = cells.join(table.with_columns(cell=words), on="cell", how="left", maintain_order="left")
        events.add(KINDS[kind], named.drop("cell", "order"))
    return events.table()


def _cells(rows: pl.DataFrame, columns: Sequence[str], separator: str | None, order: pl.Expr) -> pl.DataFrame:
    """patient_id, admission_id, order, cell: one row for each event that a cell names."""
    schema = {"patient_id": pl.String, "admission_id": pl.String, "order": pl.Int64, "cell": pl.String}
    named = rows.with_columns(order=order.cast(pl.Int64))
    parts = [named.select("patient_id", "admission_id", "order", cell=pl.col(name).cast(pl.String)) for name in columns]
    cells = pl.concat([pl.DataFrame(schema=schema), *parts])
    if separator is not None:
        cells = cells.with_columns(pl.col("cell").str.split(separator)).explode("cell")
    # A list may come with the brackets and quotes of the program that wrote it.
    stripped = pl.col("cell").str.strip_chars(" \t\"'" if separator is None else " \t[]{}\"'")
    return cells.with_columns(cell=stripped).filter(pl.col("cell") != "")


def _drug(cell: str) -> tuple[str, str]:
    atc = _ATC.fullmatch(cell)
    if atc is not None:
        return f"atc:{atc[1].upper()}", f"ATC {atc[1].upper()}"
    name = drug_class(cell)
    return name, name


def _procedure(cell: str) -> tuple[str, str]:
    version, _, code = cell.partition(":")
    if version in ("9", "10"):
        key = procedure_key(code, int(version))
    elif re.fullmatch(_ICD9_PROCEDURE, cell):
        key = procedure_key(cell, 9)
    else:
        key = procedure_key(cell, 10) if re.search(r"\d", cell) else ""
    return (key, name_of_procedure(key)) if key else _lab(cell)


def _lab(cell: str) -> tuple[str, str]:
    return cell.lower(), plain_name(cell)
