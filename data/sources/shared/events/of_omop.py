"""Procedures, drugs and abnormal labs of OMOP: procedure_occurrence, drug_exposure and measurement.

Each is named by its concept in `concept`, or where it has none (0) by its source value. A drug's class is that of the
ATC's fourth level above its concept, where concept_ancestor says so (of several the first by its code); else the class
that the concept's name, or the source value, says (`drug_classes`). A measurement is abnormal where its result is the
concept High, Low or Abnormal, or its number lies outside range_low to range_high. Rows of no visit are counted and left
out.
"""

from collections.abc import Iterator, Sequence

import polars as pl

from data.ledger import Ledger
from data.sources.shared.events.abnormal_labs import abnormal, side_of
from data.sources.shared.events.drug_classes import drug_class
from data.sources.shared.events.event_rows import EventRows, EventTable
from data.sources.shared.omop_tables import OmopTables
from data.table_files.columns import Column, column
from data.table_files.meanings import Meaning

_PLACE = (column("person_id", Meaning.NUMBER_ID), column("visit_occurrence_id", Meaning.NUMBER_ID, may_be_empty=True))
_CONCEPTS = (
    column("concept_id", Meaning.NUMBER_ID),
    column("concept_name", Meaning.WORD),
    column("vocabulary_id", Meaning.WORD),
    column("concept_class_id", Meaning.WORD, optional=True, may_be_empty=True),
    column("concept_code", Meaning.WORD),
)
_ANCESTORS = (
    column("ancestor_concept_id", Meaning.NUMBER_ID),
    column("descendant_concept_id", Meaning.NUMBER_ID),
)
_ATC_LEVEL = "ATC 4TH"
_RESULTS = {
    **dict.fromkeys(("4328749", "45876384"), "high"),
    **dict.fromkeys(("4267416", "45881666"), "low"),
    **dict.fromkeys(("4135493", "45878745"), "abnormal"),
    **dict.fromkeys(("4069590", "45884153"), "normal"),
}
"""value_as_concept_id -> what it says: the concepts of SNOMED and of LOINC's answers."""


def read_omop_events(tables: OmopTables, kinds: Sequence[str], visits: pl.DataFrame, ledger: Ledger) -> EventTable:
    """The events of `kinds` of the `visits`; the files are noted in `tables`. Raises FileNotFoundError or UserError
    where a table is missing or cannot be used."""
    events = EventRows(visits=visits, ledger=ledger, dated=True)
    concepts = tables.concepts(_CONCEPTS)
    names = concepts.select(concept="concept_id", words="concept_name")
    if "procedures" in kinds:
        for rows in _parts(tables, "procedure_occurrence", "procedure", "procedure_date", ledger):
            events.add("procedure", _named(rows, names))
    if "drugs" in kinds:
        classes = _atc_classes(tables, concepts)
        for rows in _parts(tables, "drug_exposure", "drug", "drug_exposure_start_date", ledger):
            events.add("drug", _with_classes(_named(rows, names), classes))
    if "labs" in kinds:
        more = (
            column("value_as_number", Meaning.NUMBER, optional=True, may_be_empty=True),
            column("value_as_concept_id", Meaning.NUMBER_ID, optional=True, may_be_empty=True),
            column("range_low", Meaning.NUMBER, optional=True, may_be_empty=True),
            column("range_high", Meaning.NUMBER, optional=True, may_be_empty=True),
        )
        for rows in _parts(tables, "measurement", "measurement", "measurement_date", ledger, more):
            events.add("lab", _abnormal(_named(rows, names), ledger))
    return events.table()


def _parts(
    tables: OmopTables, table: str, what: str, date: str, ledger: Ledger, more: Sequence[Column] = ()
) -> Iterator[pl.DataFrame]:
    """The rows of one file of a table at a time: patient_id, admission_id, time, concept, source, and `more`."""
    columns = (
        *_PLACE,
        column(f"{what}_concept_id", Meaning.NUMBER_ID),
        column(f"{what}_source_value", Meaning.WORD, optional=True, may_be_empty=True),
        column(date, Meaning.TIME, may_be_empty=True),
        *more,
    )
    for rows in tables.parts(table, columns):
        ledger.read("events", rows.height)
        yield rows.select(
            *(each.name for each in more),
            patient_id="person_id",
            admission_id="visit_occurrence_id",
            time=date,
            concept=f"{what}_concept_id",
            source=f"{what}_source_value",
        )


def _named(rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `key` and `name`."""
    joined = rows.join(names, on="concept", how="left", maintain_order="left")
    has_concept = (pl.col("concept") != "0").fill_null(False) & pl.col("words").is_not_null()
    key = pl.when(has_concept).then("concept").otherwise(pl.col("source").str.to_lowercase())
    return joined.with_columns(key=key, name=pl.when(has_concept).then("words").otherwise("source"))


def _atc_classes(tables: OmopTables, concepts: pl.DataFrame) -> pl.DataFrame:
    """concept, atc (the code), atc_name: the class of each drug that has one."""
    is_class = (pl.col("vocabulary_id").str.to_uppercase() == "ATC") & (
        pl.col("concept_class_id").str.to_uppercase() == _ATC_LEVEL
    )
    classes = concepts.filter(is_class.fill_null(False)).select(
        "concept_id", atc="concept_code", atc_name="concept_name"
    )
    ancestors = tables.read("concept_ancestor", _ANCESTORS, optional=True) if classes.height else None
    if ancestors is None:
        return pl.DataFrame(schema={"concept": pl.String, "atc": pl.String, "atc_name": pl.String})
    above = ancestors.join(classes, left_on="ancestor_concept_id", right_on="concept_id")
    ordered = above.sort("descendant_concept_id", "atc").unique("descendant_concept_id", keep="first")
    return ordered.select("atc", "atc_name", concept="descendant_concept_id")


def _with_classes(rows: pl.DataFrame, classes: pl.DataFrame) -> pl.DataFrame:
    joined = rows.join(classes, on="concept", how="left", maintain_order="left")
    own = pl.col("name").map_elements(drug_class, return_dtype=pl.String)
    return joined.with_columns(key=pl.coalesce("atc", own), name=pl.coalesce("atc_name", own))


def _abnormal(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    flag = pl.col("value_as_concept_id").replace_strict(_RESULTS, default=None, return_dtype=pl.String)
    side = side_of(flag, pl.col("value_as_number"), pl.col("range_low"), pl.col("range_high"))
    out, normal, unknown = abnormal(rows, side)
    ledger.drop("events", "lab within its range", normal)
    ledger.drop("events", "lab of which nothing says whether it is in range", unknown)
    return out.with_columns(
        key=pl.concat_str("key", pl.lit(":"), "side"), name=pl.concat_str("name", pl.lit(" "), "side")
    )
