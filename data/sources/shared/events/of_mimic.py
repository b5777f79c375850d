"""Procedures, drugs and abnormal labs of MIMIC-III and MIMIC-IV.

Procedures are rows of procedures_icd with their titles in d_icd_procedures (where that is missing, `procedure_names`);
drugs are orders in prescriptions by their class (`drug_classes`), without the solutions that carry them (drug_type
BASE); labs are results in labevents that are flagged or outside their range, each item apart for high and low where the
range says which (MIMIC-III has no ranges: abnormal). Labs of no admission are counted and left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.abnormal_labs import abnormal, side_of
from data.sources.shared.events.drug_classes import drug_class
from data.sources.shared.events.event_rows import EventRows, EventTable, names_of
from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key
from data.sources.shared.mimic import ADMISSION, PATIENT, read_mimic_table
from data.table_files.columns import Column, ColumnForms, column
from data.table_files.meanings import Meaning
from data.table_files.row_stream import RowStream
from data.table_files.stored_files import InputFile, find_table

_EMPTY = pl.lit(None, pl.Float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class MimicTables:
    """What the tables of one release are called, and what they hold."""

    procedures: str
    titles: str
    drugs: str
    labs: str
    items: str
    codes: tuple[Column, ...]
    """Of procedures; the first is the code."""
    done: str | None
    """Date of a procedure."""
    ordered: str
    """Time of a drug."""
    ranges: bool
    """Whether labs have a reference range."""


MIMIC4 = MimicTables(
    procedures="procedures_icd",
    titles="d_icd_procedures",
    drugs="prescriptions",
    labs="labevents",
    items="d_labitems",
    codes=(column("icd_code", Meaning.CODE), column("icd_version", Meaning.WHOLE)),
    done="chartdate",
    ordered="starttime",
    ranges=True,
)
MIMIC3 = MimicTables(
    procedures="PROCEDURES_ICD",
    titles="D_ICD_PROCEDURES",
    drugs="PRESCRIPTIONS",
    labs="LABEVENTS",
    items="D_LABITEMS",
    codes=(column("icd9_code", Meaning.CODE),),
    done=None,
    ordered="startdate",
    ranges=False,
)


def read_mimic_events(
    folder: str | Path,
    tables: MimicTables,
    kinds: Sequence[str],
    visits: pl.DataFrame,
    ledger: Ledger,
    forms: ColumnForms | None = None,
) -> tuple[EventTable, list[InputFile]]:
    """The events of `kinds` (`procedures`, `drugs`, `labs`) of the `visits`, and the files they were read from.

    Raises FileNotFoundError or UserError where a table is missing or cannot be used.
    """
    events = EventRows(visits=visits, ledger=ledger, dated=True)
    reader = _Reader(Path(folder), tables, ledger, forms or ColumnForms(), events.files)
    for kind, rows in (("procedures", reader.procedures), ("drugs", reader.drugs), ("labs", reader.labs)):
        if kind in kinds:
            for part in rows():
                events.add(kind[:-1], part)
    return events.table(), events.files


@dataclass(frozen=True, slots=True)
class _Reader:
    folder: Path
    tables: MimicTables
    ledger: Ledger
    forms: ColumnForms
    files: list[InputFile]

    def procedures(self) -> Iterator[pl.DataFrame]:
        tables = self.tables
        dates = (column(tables.done, Meaning.TIME, may_be_empty=True),) if tables.done else ()
        rows = self._read(tables.procedures, (PATIENT, ADMISSION, *tables.codes, *dates))
        self.ledger.read("events", rows.height)
        named = _with_keys(rows).join(self._titles(), on="key", how="left", maintain_order="left")
        own = pl.col("key").map_elements(lambda key: name_of_procedure(key) if key else "", return_dtype=pl.String)
        time = [pl.col(tables.done).alias("time")] if tables.done else []
        yield named.select(
            "key",
            *time,
            patient_id="subject_id",
            admission_id="hadm_id",
            name=pl.coalesce("long_title", own),
        )

    def _titles(self) -> pl.DataFrame:
        title = column("long_title", Meaning.WORD)
        try:
            find_table(self.folder, self.tables.titles)
        except FileNotFoundError:
            return pl.DataFrame(schema={"key": pl.String, "long_title": pl.String})
        rows = self._read(self.tables.titles, (*self.tables.codes, title))
        return names_of(_with_keys(rows), ["key"], "long_title")

    def drugs(self) -> Iterator[pl.DataFrame]:
        columns = (
            PATIENT,
            ADMISSION,
            column(self.tables.ordered, Meaning.TIME, may_be_empty=True),
            column("drug_type", Meaning.WORD, may_be_empty=True),
            column("drug", Meaning.WORD, may_be_empty=True),
        )
        for rows in self._stream(self.tables.drugs, columns):
            self.ledger.read("events", rows.height)
            base = (pl.col("drug_type").str.to_uppercase() == "BASE").fill_null(False)
            drugs = rows.filter(~base)
            self.ledger.drop("events", "solution that carries a drug", rows.height - drugs.height)
            key = pl.col("drug").map_elements(drug_class, return_dtype=pl.String)
            yield drugs.select(
                patient_id="subject_id", admission_id="hadm_id", time=self.tables.ordered, key=key, name=key
            )

    def labs(self) -> Iterator[pl.DataFrame]:
        item = column("itemid", Meaning.NUMBER_ID)
        fluid = column("fluid", Meaning.WORD, optional=True)
        items = self._read(self.tables.items, (item, column("label", Meaning.WORD), fluid))
        names = names_of(items.with_columns(name=_label(items)), ["itemid"], "name")
        numbers = ["valuenum", *(["ref_range_lower", "ref_range_upper"] if self.tables.ranges else [])]
        columns = (
            PATIENT,
            column("hadm_id", Meaning.NUMBER_ID, may_be_empty=True),
            item,
            column("charttime", Meaning.TIME, may_be_empty=True),
            *(column(name, Meaning.NUMBER, may_be_empty=True) for name in numbers),
            column("flag", Meaning.WORD, may_be_empty=True),
        )
        for rows in self._stream(self.tables.labs, columns):
            self.ledger.read("events", rows.height)
            low, high = (pl.col(name) if name in numbers else _EMPTY for name in ("ref_range_lower", "ref_range_upper"))
            out, normal, unknown = abnormal(rows, side_of(pl.col("flag"), pl.col("valuenum"), low, high))
            self.ledger.drop("events", "lab within its range, or not flagged", normal + unknown)
            named = out.join(names, on="itemid", how="left", maintain_order="left")
            yield named.select(
                patient_id="subject_id",
                admission_id="hadm_id",
                time="charttime",
                key=pl.concat_str("itemid", pl.lit(":"), "side"),
                name=pl.concat_str("name", pl.lit(" "), "side"),
            )

    def _read(self, name: str, columns: Sequence[Column]) -> pl.DataFrame:
        table = read_mimic_table(self.folder, name, columns, self.ledger, self.forms)
        self.files.append(table.file)
        return table.rows

    def _stream(self, name: str, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
        stream = RowStream(find_table(self.folder, name), columns, self.ledger, self.forms)
        yield from stream
        self.files.append(stream.file)


def _with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` of procedures or of their titles, with their `key`."""
    if "icd9_code" in rows.columns:
        rows = rows.with_columns(icd_code="icd9_code", icd_version=pl.lit(9, pl.Int64))
    codes = rows.select("icd_code", "icd_version").unique()
    keys = [
        None if code is None or version not in (9, 10) else procedure_key(code, version) or None
        for code, version in codes.iter_rows()
    ]
    keyed = codes.with_columns(pl.Series("key", keys, dtype=pl.String))
    return rows.join(keyed, on=["icd_code", "icd_version"], how="left", nulls_equal=True, maintain_order="left")


def _label(items: pl.DataFrame) -> pl.Expr:
    """`Creatinine`, or `Creatinine (Urine)` for what is not measured in blood."""
    if "fluid" not in items.columns:
        return pl.col("label")
    in_blood = (pl.col("fluid").str.to_lowercase() == "blood").fill_null(True)
    return pl.when(in_blood).then("label").otherwise(pl.concat_str("label", pl.lit(" ("), "fluid", pl.lit(")")))
