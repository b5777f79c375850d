"""MEDS, the Medical Event Data Standard: Parquet shards with subject_id, time, code.

Diagnoses are the events whose code names an ICD edition: `ICD10CM/I50.9`, `ICD9CM//4280`, `DIAGNOSIS//ICD//10//I509`.
What other prefixes hold (`HOSPITAL_DIAGNOSIS//ICD10CM//I50.9`) is read where the user asks for it, else counted under
the prefix's name, apart from events that are no diagnoses; so are other editions than CM, or with `icd10who`, for codes
of the WHO's ICD-10 (`ICD10//I50.9`, `ICD10WHO//I50.9`), other editions than that. MEDS has no visits: those of one
subject with the same value of `visit_column` (MIMIC's shards have hadm_id), or else on one calendar day, are a visit
that begins with its earliest event of any kind. A diagnosis of after the day on which the patient's next visit began is
counted and left out. Within a visit codes have no order. Birth (MEDS_BIRTH) gives the age, `GENDER//F` or `GENDER//M`
the sex; visits that begin after the day of MEDS_DEATH are counted and left out. metadata/subject_splits.parquet, where
it is there, serves `--protocol given`.
"""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.cohorts.split_file import split_name
from data.ledger import Ledger
from data.sources.shared.events.of_meds import KINDS, read_meds_events
from data.sources.shared.events.options import add_events
from data.sources.shared.icd_versions import CODE_SYSTEMS, WHO, codes_of_the_who, resolve_versions
from data.sources.shared.in_time import known_in_time
from data.sources.shared.options import add_code_system, add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, TypedTable, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from data.table_files.times import completed_years
from mera.system.errors import UserError

PREFIXES = ("", "DIAGNOSIS", "CONDITION", "DX")
"""What may stand before the edition, in upper case, without being asked for."""
_DIAGNOSIS = (
    r"(?i)^\s*(?:(?<prefix>[^/:]+(?:/+[^/:]+)*?)/+)?ICD[-_]?(?:/+)?(?<version>9|10)[-_]?(?<edition>[A-Z]{2,3})?"
    r"(?:/+|:|_)\s*(?<icd>[A-Z0-9.]+)\s*(?:/+(?<behind>.*))?$"
)
_TAKES_BACK = r"(?i)rule[ds]?[_ -]?out|refuted|differential|suspect|excluded|entered[_ -]?in[_ -]?error"
"""Behind a code, that the patient has it not, or perhaps."""
_WHO_EDITIONS, _AMERICAN_EDITIONS = ("", "WHO"), ("", "CM")
"""What may stand behind `ICD10`: nothing for the edition that the user asks for, or its name."""
_OF_A_DIAGNOSIS = r"(?i)DIAG|CONDITION|PROBLEM|DX"
SEX = r"(?i)^(?:MEDS_)?(?:GENDER|SEX)/+([FM])(?:EMALE|ALE)?$"


def read_meds(
    folder: str | Path,
    ledger: Ledger,
    code_system: str | None = None,
    visit_column: str | None = None,
    prefixes: Collection[str] = (),
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], str, dict[str, str] | None, pl.DataFrame | None]:
    """The cohort, the files it was read from, the ontology of its codes, subject -> split where the data have it, and
    the names of its events.

    `folder`: the data set (with a folder data) or the folder of the shards. `code_system`: of CODE_SYSTEMS or WHO.
    `prefixes`: of diagnoses, beside PREFIXES; `kinds`: of procedures and drugs. Raises FileNotFoundError or UserError
    where there are no shards, one cannot be used, or no event is a diagnosis.
    """
    folder = Path(folder)
    shards = folder / "data" if (folder / "data").is_dir() else folder
    paths = sorted(shards.rglob("*.parquet"))
    if not paths:
        raise FileNotFoundError(f"no .parquet shards in {shards}; --input must name a MEDS data set")
    columns = [
        column("subject_id", Meaning.NUMBER_ID),
        column("time", Meaning.TIME),
        column("code", Meaning.WORD),
    ]
    if visit_column is not None:
        columns.append(column("visit", Meaning.NUMBER_ID, header=visit_column, may_be_empty=True))
    tables = [read_columns(path, columns, ledger, forms) for path in paths]
    wanted = {*PREFIXES, *(prefix.strip("/").upper() for prefix in prefixes)}
    editions = _WHO_EDITIONS if code_system == WHO else _AMERICAN_EDITIONS
    events = pl.concat([_wanted(table, wanted, editions, ledger) for table in tables])
    diagnoses = events.filter(pl.col("icd_code").is_not_null() & pl.col("subject_id").is_not_null())
    if diagnoses.is_empty():
        raise UserError(f"no event of {folder} is a diagnosis that is read{_named_apart(ledger)}")
    dated = diagnoses.drop_nulls("time")
    ledger.drop("diagnoses", "without a time", diagnoses.height - dated.height)
    visit = pl.col("visit") if visit_column is not None else pl.col("time").dt.strftime("%Y-%m-%d")
    placed = dated.with_columns(
        hadm_id=visit, seq_num=pl.lit(None, dtype=pl.Int64), known_on=pl.col("time").dt.epoch("d").cast(pl.Int64)
    ).drop_nulls("hadm_id")
    ledger.drop("diagnoses", f"no {visit_column}", dated.height - placed.height)
    begins = None if visit_column is None else pl.concat([_begins(table.rows) for table in tables])
    visits, others = _visits(placed, events, begins, ledger), None
    placed = known_in_time(placed, visits, ledger, "event")
    if code_system == WHO:
        codes, system = codes_of_the_who(placed, ledger, granularity), WHO
    else:
        codes, system = resolve_versions(placed, code_system, ledger, zeros=zeros, granularity=granularity)
    files = [
        InputFile(file_name=str(path.relative_to(folder)), sha256=table.file.sha256)
        for path, table in zip(paths, tables, strict=True)
    ]
    if kinds:
        rows = pl.concat([table.rows for table in tables]).with_columns(hadm_id=visit)
        others, more = read_meds_events(folder, kinds, rows, visits, ledger)
        files += more
    patients = build_cohort(visits, codes, ledger, events=None if others is None else others.rows)
    names = None if others is None else others.names
    return patients, files, system, _given_split(folder, files, ledger), names


def _wanted(table: TypedTable, prefixes: Collection[str], editions: Collection[str], ledger: Ledger) -> pl.DataFrame:
    """The diagnoses, births and sexes of one shard, with what their code says in columns of its own."""
    rows = table.rows
    parts = _parts_of_codes(rows["code"], prefixes, editions)
    parsed = rows.join(parts, on="code", how="left", maintain_order="left", nulls_equal=True)
    ledger.read("diagnoses", rows.height)
    unnamed = parsed.filter(pl.col("icd_code").is_not_null() & pl.col("subject_id").is_null()).height
    ledger.drop("diagnoses", "event without a subject", unnamed)
    for (reason,), group in parsed.filter(pl.col("icd_code").is_null()).group_by(["apart"]):
        ledger.drop("diagnoses", reason or "event that is no ICD diagnosis", group.height)
    of_people = pl.col("sex").is_not_null() | pl.col("is_birth") | pl.col("is_death")
    return parsed.filter(pl.col("icd_code").is_not_null() | of_people)


def _parts_of_codes(codes: pl.Series, prefixes: Collection[str], editions: Collection[str]) -> pl.DataFrame:
    """A row per different code: icd_version, icd_code, sex, is_birth, is_death, and `apart`: why a diagnosis is not
    read."""
    distinct = pl.DataFrame({"code": codes.unique()})
    parts = distinct.with_columns(pl.col("code").str.extract_groups(_DIAGNOSIS).alias("parts")).unnest("parts")
    prefix = pl.col("prefix").fill_null("").str.to_uppercase()
    edition = pl.col("edition").fill_null("").str.to_uppercase()
    takes_back = pl.col("behind").fill_null("").str.contains(_TAKES_BACK)
    is_asked_for = pl.col("version").is_not_null() & prefix.is_in(list(prefixes)) & edition.is_in(list(editions))
    is_read = is_asked_for & ~takes_back
    of_a_diagnosis = prefix.is_in(list(prefixes)) | prefix.str.contains(_OF_A_DIAGNOSIS)
    # A prefix is a name of the data set's vocabulary; anything else might be a patient's text.
    name = pl.when(prefix.str.contains(r"^[A-Z][A-Z_/-]{0,60}$")).then(prefix).otherwise(pl.lit("another"))
    under_prefix = pl.format("diagnosis under the prefix {}, not asked for", name)
    of_edition = pl.format("diagnosis in the edition ICD{}{}, which is not read", "version", edition)
    is_apart = pl.col("version").is_not_null() & of_a_diagnosis & ~is_read
    return parts.select(
        "code",
        icd_version=pl.when(is_read).then(pl.col("version").cast(pl.Int64)),
        icd_code=pl.when(is_read).then("icd"),
        sex=pl.col("code").str.extract(SEX, 1).str.to_uppercase(),
        is_birth=(pl.col("code").str.to_uppercase() == "MEDS_BIRTH").fill_null(False),
        is_death=(pl.col("code").str.to_uppercase() == "MEDS_DEATH").fill_null(False),
        apart=pl.when(is_asked_for & takes_back)
        .then(pl.lit("diagnosis that is ruled out, suspected or refuted behind its code"))
        .when(is_apart)
        .then(pl.when(prefix.is_in(list(prefixes))).then(of_edition).otherwise(under_prefix)),
    )


def _named_apart(ledger: Ledger) -> str:
    """The diagnoses that are there and not read, for a message; --diagnosis-prefix takes those of another prefix."""
    apart = [f"{count:,} {reason}" for reason, count in ledger.record()["dropped"].items() if "diagnosis " in reason]
    hint = " (--diagnosis-prefix NAME takes them)" if any("prefix" in reason for reason in apart) else ""
    return f": {', '.join(apart)}{hint}" if apart else ""


def _begins(rows: pl.DataFrame) -> pl.DataFrame:
    """subject_id, hadm_id and the time of the earliest event of each visit of a shard."""
    return rows.drop_nulls().group_by("subject_id", hadm_id="visit").agg(pl.col("time").min())


def _visits(diagnoses: pl.DataFrame, events: pl.DataFrame, begins: pl.DataFrame | None, ledger: Ledger) -> pl.DataFrame:
    """`begins`: as `_begins`, of all shards; None: a visit is a day."""
    people = events.select("subject_id", "sex", birth=pl.when("is_birth").then("time"))
    people = people.filter(pl.any_horizontal(pl.col("sex", "birth").is_not_null()))
    visits = diagnoses.group_by("subject_id", "hadm_id").agg(pl.col("time").min())
    ledger.read("visits", visits.height)
    ledger.read("patients", visits["subject_id"].n_unique())
    if begins is not None:
        of_visit = begins.group_by("subject_id", "hadm_id").agg(began=pl.col("time").min())
        visits = visits.join(of_visit, on=["subject_id", "hadm_id"], how="left", maintain_order="left")
        visits = visits.with_columns(time=pl.min_horizontal("time", "began")).drop("began")
    visits = _before_death(visits, events, ledger)
    joined = with_people(visits, people, "subject_id", ledger)
    day = pl.col("time").dt.epoch("d").cast(pl.Int64)
    return joined.select(
        patient_id="subject_id",
        admission_id="hadm_id",
        order=pl.col("time").dt.epoch("s"),
        sex="sex",
        age=completed_years(pl.col("birth"), pl.col("time")),
        day=day,
        period=day,
    )


def _before_death(visits: pl.DataFrame, events: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    deaths = events.filter("is_death").group_by("subject_id").agg(death=pl.col("time").min())
    dated = visits.join(deaths, on="subject_id", how="left", maintain_order="left")
    alive = dated.filter(~(pl.col("time").dt.date() > pl.col("death").dt.date()).fill_null(False)).drop("death")
    ledger.drop("visits", "death before admission", visits.height - alive.height)
    lost = visits["subject_id"].n_unique() - alive["subject_id"].n_unique()
    ledger.drop("patients", "without a visit before death", lost)
    return alive


def _given_split(folder: Path, files: list[InputFile], ledger: Ledger) -> dict[str, str] | None:
    path = folder / "metadata" / "subject_splits.parquet"
    if not path.is_file():
        return None
    columns = (column("subject_id", Meaning.NUMBER_ID), column("split", Meaning.WORD))
    table = read_columns(path, columns, ledger)
    files.append(InputFile(file_name=str(path.relative_to(folder)), sha256=table.file.sha256))
    named = ((subject, split_name(split)) for subject, split in table.rows.drop_nulls().iter_rows())
    different = (
        table.rows.drop_nulls().group_by("subject_id").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    )
    if different.height:
        raise UserError(f"{path} puts {different.height:,} subjects into several splits; a patient belongs to one")
    return {subject: split for subject, split in named if split is not None}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare meds`."""
    add_diagnosis_options(parser, "FOLDER", "the data set, or the folder of its shards")
    add_code_system(parser, (*CODE_SYSTEMS, WHO), "; icd10who: the edition of the WHO")
    parser.add_argument(
        "--visit-column", metavar="NAME", help="id of the visit (default: events of one day are a visit)"
    )
    add_events(parser, KINDS)
    parser.add_argument(
        "--diagnosis-prefix",
        nargs="+",
        default=(),
        metavar="NAME",
        help="also take diagnoses whose codes begin so, such as HOSPITAL_DIAGNOSIS (always: DIAGNOSIS, CONDITION, DX)",
    )


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system, split_of, event_names = read_meds(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.visit_column,
        arguments.diagnosis_prefix,
        column_forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        arguments.events,
    )
    options = {"code_system": arguments.code_system, "visit_column": arguments.visit_column}
    return Source(
        name="meds",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options=options,
        given_split=split_of,
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="meds",
    help="""\
MEDS: a data set of Parquet shards with subject_id, time, code.

  mera prepare meds --input meds/ --code-system icd10 --output prepared/meds
  mera prepare meds --input mimic-iv-meds/ --visit-column hadm_id --code-system to-icd10 --protocol given \\
      --output prepared/meds-mimic4
  mera prepare meds --input mimic-iv-meds/ --visit-column hadm_id --code-system to-icd10 --events procedures,drugs \\
      --output prepared/meds-events
  mera prepare meds --input meds/ --diagnosis-prefix HOSPITAL_DIAGNOSIS --code-system icd10 --output prepared/meds""",
    add_options=add_options,
    read=read_source,
)
