"""Treatments and drugs of eICU.

A treatment is its path in the table treatment (`pulmonary|ventilation and oxygenation|mechanical ventilation`), which
is what eICU has for procedures. A drug is one of the table medication that was not cancelled: of one substance, by
drughiclseqno, which puts brands and substances together, under the class (`drug_classes`) that most of its rows name;
else of its own name's class. Both belong to the visit of their ICU stay; what was begun after that visit's end, by the
stay's own clock, is counted and left out. The table lab has neither flags nor ranges, so that no lab is known to be
abnormal.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.drug_classes import drug_class
from data.sources.shared.events.event_rows import EventRows, EventTable
from data.table_files.columns import Column, ColumnForms, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile, find_table

KINDS = ("procedures", "drugs")
_STAY = column("patientunitstayid", Meaning.NUMBER_ID)
_TREATMENTS = (_STAY, column("treatmentstring", Meaning.WORD), column("treatmentoffset", Meaning.WHOLE))
_DRUGS = (
    _STAY,
    column("drugname", Meaning.WORD, may_be_empty=True),
    column("drughiclseqno", Meaning.NUMBER_ID, may_be_empty=True),
    column("drugordercancelled", Meaning.FLAG, may_be_empty=True),
    column("drugstartoffset", Meaning.WHOLE),
)
_ENDS = {"hospital": "hospitaldischargeoffset", "unit": "unitdischargeoffset"}
"""Minutes from the beginning of an ICU stay to the end of its visit."""


def read_eicu_events(
    folder: str | Path,
    kinds: Sequence[str],
    stays: pl.DataFrame,
    visit: str,
    ledger: Ledger,
    forms: ColumnForms | None = None,
) -> tuple[EventTable, list[InputFile]]:
    """The events of `kinds` and the files they were read from. `stays`: VISIT_COLUMNS and patientunitstayid, a row for
    each ICU stay; `visit`: `hospital` or `unit`. Raises FileNotFoundError or UserError where a table cannot be used."""
    events = EventRows(visits=stays, ledger=ledger, dated=False)
    ends = _read(folder, "patient", (_STAY, column(_ENDS[visit], Meaning.WHOLE)), ledger, forms, [])
    ends = ends.drop_nulls("patientunitstayid").unique("patientunitstayid", keep="first", maintain_order=True)
    places = stays.join(ends, on="patientunitstayid", how="left", maintain_order="left")
    places = places.select("patientunitstayid", "patient_id", "admission_id", end=_ENDS[visit])
    if "procedures" in kinds:
        rows = _read(folder, "treatment", _TREATMENTS, ledger, forms, events.files)
        ledger.read("events", rows.height)
        path = pl.col("treatmentstring")
        placed = _placed(rows, places, "treatmentoffset", "procedure", ledger)
        events.add("procedure", placed.with_columns(key=path, name=path.str.replace_all("|", ", ", literal=True)))
    if "drugs" in kinds:
        rows = _read(folder, "medication", _DRUGS, ledger, forms, events.files)
        ledger.read("events", rows.height)
        given = rows.filter(~pl.col("drugordercancelled").fill_null(False))
        ledger.drop("events", "drug whose order was cancelled", rows.height - given.height)
        placed = _placed(_with_classes(given), places, "drugstartoffset", "drug", ledger)
        events.add("drug", placed.with_columns(key=pl.col("class"), name=pl.col("class")))
    return events.table(), events.files


def _read(
    folder: str | Path,
    name: str,
    columns: Sequence[Column],
    ledger: Ledger,
    forms: ColumnForms | None,
    files: list[InputFile],
) -> pl.DataFrame:
    table = read_columns(find_table(folder, name), columns, ledger, forms)
    files.append(table.file)
    return table.rows


def _placed(rows: pl.DataFrame, places: pl.DataFrame, offset: str, kind: str, ledger: Ledger) -> pl.DataFrame:
    """`rows` with the patient and the visit of their ICU stay, null where it is not listed, without those of after the
    visit's end."""
    known = rows.join(places, on="patientunitstayid", how="left", maintain_order="left")
    in_time = known.filter(~(pl.col(offset) > pl.col("end")).fill_null(False))
    ledger.drop("events", f"{kind} of after its visit's end", known.height - in_time.height)
    return in_time


def _with_classes(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the column `class`; of several that the rows of one substance name the most frequent, of equals the
    first by the alphabet."""
    named = rows.with_columns(own=pl.col("drugname").map_elements(drug_class, return_dtype=pl.String))
    substance = pl.when(pl.col("drughiclseqno") != "0").then("drughiclseqno")
    named = named.with_columns(substance=substance)
    counts = named.filter(pl.col("own") != "").drop_nulls("substance").group_by("substance", "own").agg(rows=pl.len())
    best = counts.sort("substance", "rows", "own", descending=[False, True, False])
    best = best.unique("substance", keep="first", maintain_order=True).select("substance", of_substance="own")
    joined = named.join(best, on="substance", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("of_substance", "own").alias("class"))
