"""CMS 2008-2010 DE-SynPUF: inpatient claims of invented Medicare beneficiaries, in ICD-9-CM.

Any number of samples, concatenated (their beneficiaries differ). A visit is a claim (CLM_ID; its segments together),
dated by its admission. The codes carry almost no signal about a patient: use them for scale and loaders, not accuracy.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.codes.leading_zeros import with_leading_zeros
from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import Column, ColumnForms, TypedTable, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from data.table_files.times import completed_years

DIAGNOSES = tuple(f"icd9_dgns_cd_{number}" for number in range(1, 11))
CLAIM_COLUMNS = (
    column("desynpuf_id", Meaning.ID),
    column("clm_id", Meaning.NUMBER_ID),
    column("segment", Meaning.WHOLE),
    column("clm_from_dt", Meaning.TIME),
    column("clm_admsn_dt", Meaning.TIME, may_be_empty=True),
    *(column(name, Meaning.CODE, may_be_empty=True) for name in DIAGNOSES),
)
PERSON_COLUMNS = (
    column("desynpuf_id", Meaning.ID),
    column("bene_birth_dt", Meaning.TIME),
    column("bene_sex_ident_cd", Meaning.SEX),
)
SEXES = {"1": "M", "2": "F"}


def read_desynpuf(
    paths: Sequence[str | Path],
    ledger: Ledger,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
) -> tuple[list[Patient], list[InputFile]]:
    """The cohort in ICD-9-CM, and the files it was read from.

    `paths`: folders, or files as published (`DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.zip` or .csv, and
    `DE1_0_2008_Beneficiary_Summary_File_Sample_1.zip`); without beneficiaries age and sex are unknown. Raises
    FileNotFoundError or UserError where there are no claims, or a file cannot be used.
    """
    files = [file for path in paths for file in _files(Path(path))]
    forms = forms or ColumnForms()
    forms = replace(forms, sex_values={**SEXES, **forms.sex_values})

    def read(part: str, columns: Sequence[Column]) -> list[TypedTable]:
        return [read_columns(path, columns, ledger, forms) for path in files if part in path.name.lower()]

    claims, people = read("inpatient_claims", CLAIM_COLUMNS), read("beneficiary_summary", PERSON_COLUMNS)
    if not claims:
        raise FileNotFoundError(f"no file named *Inpatient_Claims* in {', '.join(map(str, paths))}")
    segments = _segments(claims, ledger)
    visits = _visits(segments, _people(people), ledger)
    diagnoses = (
        segments.with_columns(pl.concat_list(DIAGNOSES).alias("raw"), number=pl.lit(list(range(len(DIAGNOSES)))))
        .explode("raw", "number")
        .select(
            "raw",
            patient_id="desynpuf_id",
            admission_id="clm_id",
            position=pl.col("segment") * len(DIAGNOSES) + pl.col("number"),
        )
    )
    diagnoses = with_leading_zeros(diagnoses, "icd9cm", ledger, zeros)
    codes = resolve_codes(diagnoses, by_ontology(load_ontology("icd9cm"), granularity), "icd9cm", ledger)
    return build_cohort(visits, codes, ledger), [table.file for table in [*claims, *people]]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.name.lower().endswith((".zip", ".csv", ".csv.gz")))
    return [path]


def _segments(claims: Sequence[TypedTable], ledger: Ledger) -> pl.DataFrame:
    """A row per segment of a claim with an id; sorted, so that of two with the same id the same one stays."""
    rows = pl.concat([table.rows for table in claims])
    ledger.read("diagnoses", rows.height * len(DIAGNOSES))
    named = rows.drop_nulls(["desynpuf_id", "clm_id"])
    unique = named.sort(pl.all(), nulls_last=True).unique(["clm_id", "segment"], keep="first", maintain_order=True)
    ledger.drop("diagnoses", "claim without an id", (rows.height - named.height) * len(DIAGNOSES))
    ledger.drop("diagnoses", "claim read twice", (named.height - unique.height) * len(DIAGNOSES))
    return unique


def _visits(segments: pl.DataFrame, people: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    claims = segments.unique(["desynpuf_id", "clm_id"], keep="first", maintain_order=True)
    ledger.read("visits", claims.height)
    ledger.read("patients", claims["desynpuf_id"].n_unique())
    dated = claims.with_columns(date=pl.coalesce("clm_admsn_dt", "clm_from_dt")).drop_nulls("date")
    ledger.drop("visits", "without a date", claims.height - dated.height)
    lost = claims["desynpuf_id"].n_unique() - dated["desynpuf_id"].n_unique()
    ledger.drop("patients", "without a dated claim", lost)
    joined = with_people(dated, people, "desynpuf_id", ledger)
    return joined.select(
        patient_id="desynpuf_id",
        admission_id="clm_id",
        order=pl.col("date").dt.epoch("d"),
        sex="bene_sex_ident_cd",
        age=completed_years(pl.col("bene_birth_dt"), pl.col("date")),
        day=pl.col("date").dt.epoch("d").cast(pl.Int64),
        period=pl.col("date").dt.epoch("d").cast(pl.Int64),
    )


def _people(tables: Sequence[TypedTable]) -> pl.DataFrame:
    if not tables:
        return pl.DataFrame(
            schema={"desynpuf_id": pl.String(), "bene_birth_dt": pl.Datetime("us"), "bene_sex_ident_cd": pl.String()}
        )
    return pl.concat([table.rows for table in tables])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare desynpuf`."""
    add_diagnosis_options(parser, "PATH", "claims and beneficiaries, or folders of them", several=True)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files = read_desynpuf(
        arguments.input, ledger, column_forms(arguments), arguments.codes_without_zeros, arguments.granularity
    )
    return Source(name="desynpuf", system="icd9cm", patients=patients, ledger=ledger, files=files)


SOURCE = SourceCommand(
    name="desynpuf",
    help="""\
CMS DE-SynPUF: inpatient claims and beneficiaries of one or more samples, zipped or not.

  mera prepare desynpuf --input DE1_0_sample_1/ DE1_0_sample_2/ --output prepared/desynpuf""",
    add_options=add_options,
    read=read_source,
)
