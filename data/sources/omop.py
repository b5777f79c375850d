"""OMOP Common Data Model 5.4, exported as CSV or Parquet: person, visit_occurrence, condition_occurrence, concept.

The code of a condition is that of its condition_source_concept_id, where `concept` says that it is of an edition of
ICD. Else, where concept_relationship is there, it is the ICD concept that `Maps to` the standard condition_concept_id;
of several the one that the source's own rows hold most often, and where they hold none the condition is dropped. Where
`--source-values` says so, a condition without a source concept has its code in condition_source_value.

A visit is a row of visit_occurrence. Conditions without one are dropped. The first diagnosis is one whose status is
primary. Notes (`note`) are those of the visit, oldest first. `death`, where it is there, ends a patient's visits.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.discharge_notes import next_admissions, read_visit_notes, visits_with_notes
from data.sources.shared.events.of_omop import read_omop_events
from data.sources.shared.events.options import add_events
from data.sources.shared.icd_versions import CODE_SYSTEMS, WHO, codes_of_the_who, resolve_versions
from data.sources.shared.in_time import count_overlaps, known_in_time
from data.sources.shared.omop_tables import OmopTables
from data.sources.shared.options import add_code_system, add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

PERSON = column("person_id", Meaning.NUMBER_ID)
VISIT = column("visit_occurrence_id", Meaning.NUMBER_ID)
PEOPLE = (
    PERSON,
    column("gender_concept_id", Meaning.SEX),
    column("year_of_birth", Meaning.WHOLE),
    column("month_of_birth", Meaning.WHOLE, optional=True, may_be_empty=True),
    column("day_of_birth", Meaning.WHOLE, optional=True, may_be_empty=True),
)
VISITS = (
    PERSON,
    VISIT,
    column("visit_concept_id", Meaning.NUMBER_ID),
    column("visit_start_date", Meaning.TIME),
    column("visit_start_datetime", Meaning.TIME, optional=True, may_be_empty=True),
    column("visit_end_date", Meaning.TIME, optional=True, may_be_empty=True),
)
CONDITIONS = (
    PERSON,
    VISIT,
    column("condition_occurrence_id", Meaning.NUMBER_ID),
    column("condition_concept_id", Meaning.NUMBER_ID),
    column("condition_source_concept_id", Meaning.NUMBER_ID, optional=True, may_be_empty=True),
    column("condition_source_value", Meaning.WORD, optional=True, may_be_empty=True),
    column("condition_status_concept_id", Meaning.NUMBER_ID, optional=True, may_be_empty=True),
    column("condition_start_date", Meaning.TIME, optional=True, may_be_empty=True),
)
CONCEPTS = (
    column("concept_id", Meaning.NUMBER_ID),
    column("vocabulary_id", Meaning.WORD),
    column("concept_code", Meaning.WORD),
)
RELATIONSHIPS = (
    column("concept_id_1", Meaning.NUMBER_ID),
    column("concept_id_2", Meaning.NUMBER_ID),
    column("relationship_id", Meaning.WORD),
    column("invalid_reason", Meaning.WORD, optional=True, may_be_empty=True),
)
DEATHS = (PERSON, column("death_date", Meaning.TIME))
PRIMARY = ("32901", "32902", "32903")
"""Condition statuses: primary admission diagnosis, primary diagnosis, primary discharge diagnosis."""
VOCABULARIES = {"ICD9CM": 9, "ICD10CM": 10}
"""Of CODE_SYSTEMS."""
WHO_VOCABULARIES = {"ICD10": 10}
SOURCE_VALUES = {"icd9": 9, "icd10": 10, WHO: 10}


def read_omop(
    folder: str | Path,
    ledger: Ledger,
    *,
    code_system: str | None = None,
    source_values: str | None = None,
    visit_concepts: Sequence[str] = (),
    notes: bool = False,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], str, pl.DataFrame | None]:
    """The cohort, the files it was read from, the ontology of its codes, and the names of its events.

    `folder`: one file for each table (person.csv, CONDITION_OCCURRENCE.parquet ...), or a folder of Parquet parts.
    `code_system`: of CODE_SYSTEMS or WHO. `source_values`: the edition (of SOURCE_VALUES) that condition_source_value
    is in where it has no concept. `visit_concepts`: only visits of these visit_concept_ids; none: all. With `notes`
    visits are those that have a note, with `past_notes` all. `kinds`: of events. Raises FileNotFoundError or UserError
    where a table is missing or cannot be used.
    """
    tables = OmopTables(Path(folder), ledger, forms or ColumnForms())
    visits = _visits(tables, visit_concepts, ledger)
    rows = _with_codes(tables, visits, code_system, source_values, ledger)
    visits = count_overlaps(visits, ledger)
    if code_system == WHO:
        codes, system = codes_of_the_who(rows, ledger, granularity), WHO
    else:
        codes, system = resolve_versions(rows, code_system, ledger, zeros=zeros, granularity=granularity)
    texts = None
    if notes or past_notes:
        next_ones = next_admissions(visits) if past_notes else None
        texts = read_visit_notes(tables.notes(), "note, note_date", ledger, next_ones, tables.forms.date_format)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes, what="note")
    events = read_omop_events(tables, kinds, visits, ledger) if kinds else None
    cohort = build_cohort(visits, codes, ledger, texts=texts, events=None if events is None else events.rows)
    return cohort, tables.files, system, None if events is None else events.names


def _visits(tables: OmopTables, visit_concepts: Sequence[str], ledger: Ledger) -> pl.DataFrame:
    rows = tables.needed("visit_occurrence", VISITS)
    ledger.read("visits", rows.height)
    everyone = rows["person_id"].drop_nulls().n_unique()
    ledger.read("patients", everyone)
    named = rows.drop_nulls(["person_id", "visit_occurrence_id"])
    ledger.drop("visits", "without a patient or visit id", rows.height - named.height)
    unique = named.sort(pl.all(), nulls_last=True).unique("visit_occurrence_id", keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate visit", named.height - unique.height)
    wanted = unique.filter(pl.col("visit_concept_id").is_in(list(visit_concepts)).fill_null(False))
    wanted = wanted if visit_concepts else unique
    ledger.drop("visits", "of another visit_concept_id", unique.height - wanted.height)
    # Where a datetime must not be null, some write 1970-01-01 for one that is not known.
    other_day = pl.col("visit_start_datetime").dt.date() != pl.col("visit_start_date").dt.date()
    changed = int(wanted.select(other_day.fill_null(False)).to_series().sum())
    ledger.change("visit whose datetime is of another day than its date, which is taken", changed)
    moment = pl.when(~other_day.fill_null(False)).then("visit_start_datetime")
    timed = wanted.with_columns(start=pl.coalesce(moment, "visit_start_date")).drop_nulls("start")
    ledger.drop("visits", "without a start", wanted.height - timed.height)
    joined = with_people(timed, tables.needed("person", PEOPLE), "person_id", ledger)
    alive = _before_death(tables, joined, ledger)
    ledger.drop("patients", "without a usable visit in visit_occurrence", everyone - alive["person_id"].n_unique())
    day = pl.col("start").dt.epoch("d").cast(pl.Int64)
    return alive.select(
        patient_id="person_id",
        admission_id="visit_occurrence_id",
        order=pl.col("start").dt.epoch("s"),
        end=pl.col("visit_end_date").dt.epoch("d").cast(pl.Int64),
        sex="gender_concept_id",
        age=_age(),
        day=day,
        period=day,
    )


def _before_death(tables: OmopTables, visits: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    deaths = tables.read("death", DEATHS, optional=True)
    if deaths is None:
        return visits
    of_person = deaths.drop_nulls().group_by("person_id").agg(pl.col("death_date").min())
    joined = visits.join(of_person, on="person_id", how="left")
    dead = (pl.col("death_date").dt.date() < pl.col("start").dt.date()).fill_null(False)
    ledger.drop("visits", "death before admission", joined.filter(dead).height)
    return joined.filter(~dead).drop("death_date")


def _age() -> pl.Expr:
    """Completed years at the visit; of a birthday that is not known, the year is counted from its middle."""
    born = pl.col("month_of_birth").fill_null(7) * 100 + pl.col("day_of_birth").fill_null(1)
    visit = pl.col("start").dt.month().cast(pl.Int64) * 100 + pl.col("start").dt.day()
    return pl.col("start").dt.year() - pl.col("year_of_birth") - (visit < born).cast(pl.Int64)


def _with_codes(
    tables: OmopTables, visits: pl.DataFrame, code_system: str | None, source_values: str | None, ledger: Ledger
) -> pl.DataFrame:
    """The conditions as `resolve_versions` wants them; those whose code is not known are counted and gone."""
    rows = tables.needed("condition_occurrence", CONDITIONS)
    ledger.read("diagnoses", rows.height)
    placed = rows.drop_nulls(["person_id", "visit_occurrence_id"])
    ledger.drop("diagnoses", "condition without a patient or visit", rows.height - placed.height)
    dated = placed.with_columns(
        subject_id="person_id", hadm_id="visit_occurrence_id", known_on=pl.col("condition_start_date").dt.epoch("d")
    )
    placed = known_in_time(dated, visits, ledger, "condition")
    editions = WHO_VOCABULARIES if code_system == WHO else VOCABULARIES
    concepts = tables.concepts(CONCEPTS)
    icd = concepts.filter(pl.col("vocabulary_id").str.to_uppercase().is_in(list(editions)).fill_null(False)).select(
        source="concept_id",
        icd_code="concept_code",
        icd_version=pl.col("vocabulary_id")
        .str.to_uppercase()
        .replace_strict(editions, default=None, return_dtype=pl.Int64),
    )
    coded = placed.join(
        icd, left_on="condition_source_concept_id", right_on="source", how="left", maintain_order="left"
    )
    own, rest = coded.filter(pl.col("icd_code").is_not_null()), coded.filter(pl.col("icd_code").is_null())
    parts = [own]
    if source_values is not None and rest.height:
        no_concept = pl.col("condition_source_concept_id").fill_null("0") == "0"
        has_value = (no_concept & pl.col("condition_source_value").is_not_null()).fill_null(False)
        version = pl.lit(SOURCE_VALUES[source_values], pl.Int64)
        parts.append(rest.filter(has_value).with_columns(icd_code="condition_source_value", icd_version=version))
        ledger.change("code taken from condition_source_value", parts[-1].height)
        rest = rest.filter(~has_value)
    mapped, without = _by_relationship(tables, rest, icd, own, ledger)
    parts.append(mapped)
    ledger.drop("diagnoses", "no ICD concept as its source, and none that maps to its concept", without)
    together = pl.concat(part.select(own.columns) for part in parts)
    if together.is_empty():
        raise UserError(
            f"no condition has a concept of {' or '.join(editions)}; does the table concept hold the vocabulary? "
            "(--code-system icd10who reads ICD10; --source-values reads condition_source_value)"
        )
    is_primary = pl.col("condition_status_concept_id").is_in(PRIMARY).fill_null(False)
    return together.select(
        "icd_code",
        "icd_version",
        "subject_id",
        "hadm_id",
        seq_num=pl.when(is_primary).then(0).otherwise(1).cast(pl.Int64)
        if together["condition_status_concept_id"].is_in(PRIMARY).any()
        else pl.lit(None, pl.Int64),
    )


def _by_relationship(
    tables: OmopTables, rest: pl.DataFrame, icd: pl.DataFrame, own: pl.DataFrame, ledger: Ledger
) -> tuple[pl.DataFrame, int]:
    """The conditions of `rest` with the ICD concept that maps to their standard concept, and how many have none."""
    relationships = tables.read("concept_relationship", RELATIONSHIPS, optional=True) if rest.height else None
    if relationships is None:
        return rest.clear(), rest.height
    maps = relationships.filter(
        (pl.col("relationship_id").str.to_lowercase() == "maps to") & pl.col("invalid_reason").is_null()
    )
    pairs = (
        maps.join(icd, left_on="concept_id_1", right_on="source")
        .select("icd_code", "icd_version", condition_concept_id="concept_id_2")
        .unique()
    )
    uses = own.group_by("icd_code", "icd_version").agg(uses=pl.len())
    ranked = (
        pairs.join(uses, on=["icd_code", "icd_version"], how="left")
        .with_columns(pl.col("uses").fill_null(0), choices=pl.len().over("condition_concept_id"))
        .sort("condition_concept_id", "uses", "icd_version", "icd_code", descending=[False, True, True, False])
        .unique("condition_concept_id", keep="first", maintain_order=True)
    )
    chosen = ranked.filter((pl.col("choices") == 1) | (pl.col("uses") > 0)).select(
        "condition_concept_id", "icd_code", "icd_version"
    )
    joined = rest.drop("icd_code", "icd_version").join(
        chosen, on="condition_concept_id", how="left", maintain_order="left"
    )
    mapped = joined.filter(pl.col("icd_code").is_not_null())
    unclear = joined.filter(pl.col("icd_code").is_null()).join(ranked, on="condition_concept_id", how="semi").height
    ledger.change("code that maps to the condition's concept, by concept_relationship", mapped.height)
    ledger.drop("diagnoses", "several ICD concepts map to its concept, and the source's own rows hold none", unclear)
    return mapped, joined.height - mapped.height - unclear


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare omop`."""
    add_diagnosis_options(parser, "FOLDER", "folder of the tables, a .csv, .csv.gz or .parquet for each")
    add_code_system(parser, (*CODE_SYSTEMS, WHO), "; icd10who: concepts of the WHO's ICD10 instead of the CM editions")
    parser.add_argument(
        "--source-values",
        choices=tuple(SOURCE_VALUES),
        help="of conditions without a source concept: condition_source_value is a code of this edition",
    )
    parser.add_argument(
        "--visit-concepts",
        nargs="+",
        default=(),
        metavar="ID",
        help="only visits of these visit_concept_ids, as 9201 (inpatient), 9203 (emergency), 262 (both); default: all",
    )
    add_kind(parser, "coding: with the notes of the table note")
    add_past_notes(parser)
    add_events(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system, event_names = read_omop(
        arguments.input,
        ledger,
        code_system=arguments.code_system,
        source_values=arguments.source_values,
        visit_concepts=arguments.visit_concepts,
        notes=kind == "coding",
        past_notes=arguments.past_notes,
        forms=column_forms(arguments),
        zeros=arguments.codes_without_zeros,
        granularity=arguments.granularity,
        kinds=arguments.events,
    )
    options = {
        "code_system": arguments.code_system or system.removesuffix("cm"),
        "source_values": arguments.source_values,
        "visit_concepts": list(arguments.visit_concepts),
    }
    return Source(
        name="omop",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options=options,
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="omop",
    help="""\
OMOP CDM 5.4: the folder with person, visit_occurrence, condition_occurrence and concept, as CSV or Parquet.

  mera prepare omop --input cdm/ --code-system icd10 --output prepared/omop
  mera prepare omop --input cdm/ --code-system to-icd10 --visit-concepts 9201 262 --output prepared/omop-inpatients
  mera prepare omop --input cdm/ --code-system icd10 --kind coding --output prepared/omop-coding
      with the table note
  mera prepare omop --input cdm/ --code-system icd10 --events procedures,drugs,labs --output prepared/omop-events
      with procedure_occurrence, drug_exposure and measurement of the visits before (docs/events.md)

concept_relationship, where it is there, gives conditions without an ICD source concept their code.""",
    add_options=add_options,
    read=read_source,
)
