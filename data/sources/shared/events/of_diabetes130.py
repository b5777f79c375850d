"""Drugs and abnormal labs of Diabetes-130: what the columns of antidiabetic drugs, A1Cresult and max_glu_serum say.

A drug counts where its column says Steady, Up or Down. A lab is high where its column names a bound (`>7`, `>300`). Of
procedures the data have a number, and not which they were.
"""

from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.event_rows import EventRows, EventTable
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.meanings import Meaning
from mera.system.errors import UserError

KINDS = ("drugs", "labs")
_SUBSTANCES = (
    "metformin repaglinide nateglinide chlorpropamide glimepiride acetohexamide glipizide glyburide tolbutamide "
    "pioglitazone rosiglitazone acarbose miglitol troglitazone tolazamide examide citoglipton insulin "
    "glyburide-metformin glipizide-metformin glimepiride-pioglitazone metformin-rosiglitazone metformin-pioglitazone"
)
DRUGS = tuple(_SUBSTANCES.split())
LABS = {"a1cresult": "A1C", "max_glu_serum": "glucose in serum"}
"""Column -> how the lab is called."""
_TAKEN, _OUT_OF_RANGE = ("steady", "up", "down"), r"^>\s*\d"


def read_diabetes130_events(
    path: str | Path, kinds: tuple[str, ...], visits: pl.DataFrame, ledger: Ledger, forms: ColumnForms | None = None
) -> EventTable:
    """The events of `kinds` of the `visits`. Raises UserError where the file has none of their columns."""
    names = [*(DRUGS if "drugs" in kinds else ()), *(LABS if "labs" in kinds else ())]
    columns = (
        column("encounter_id", Meaning.NUMBER_ID),
        column("patient_nbr", Meaning.NUMBER_ID),
        *(column(name, Meaning.WORD, optional=True, may_be_empty=True) for name in names),
    )
    rows = read_columns(path, columns, Ledger(), forms).rows  # what is amiss in it was counted with the diagnoses
    present = [name for name in names if name in rows.columns]
    if not present:
        raise UserError(f"{path} has none of the columns of {' and '.join(kinds)}, such as {names[0]}; is it complete?")
    long = rows.unpivot(present, index=["patient_nbr", "encounter_id"], variable_name="column", value_name="said")
    said = long.drop_nulls("said").filter(pl.col("said").str.to_lowercase() != "no")
    ledger.read("events", said.height)
    is_lab = pl.col("column").is_in(list(LABS))
    out = said.filter(
        pl.when(is_lab)
        .then(pl.col("said").str.contains(_OUT_OF_RANGE))
        .otherwise(pl.col("said").str.to_lowercase().is_in(_TAKEN))
    )
    ledger.drop("events", "lab within its range, or a word that says nothing of a drug", said.height - out.height)
    events = EventRows(visits=visits, ledger=ledger, dated=False)
    words = pl.col("column").replace(LABS)
    named = out.select(
        "column",
        patient_id="patient_nbr",
        admission_id="encounter_id",
        key=pl.when(is_lab).then(pl.concat_str("column", pl.lit(":high"))).otherwise("column"),
        name=pl.when(is_lab).then(pl.concat_str(words, pl.lit(" high"))).otherwise(words),
    )
    events.add("drug", named.filter(~is_lab).drop("column"))
    events.add("lab", named.filter(is_lab).drop("column"))
    return events.table()
