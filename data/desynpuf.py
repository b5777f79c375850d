"""CMS 2008-2010 DE-SynPUF: inpatient claims of invented Medicare beneficiaries, in ICD-9-CM.

Any number of samples, concatenated (their beneficiaries differ). A visit is a claim (CLM_ID; its segments together),
dated by its admission. The codes carry almost no signal about a patient: use them for scale and loaders, not accuracy.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.code_columns import by_ontology, resolve_codes
from data.cohort import Patient, build_cohort
from data.csv_tables import InputFile, SourceTable, read_table, stripped
from data.ledger import Ledger
from data.ontology import load_ontology

DIAGNOSES = tuple(f"icd9_dgns_cd_{number}" for number in range(1, 11))
CLAIM_COLUMNS = ("desynpuf_id", "clm_id", "segment", "clm_from_dt", "clm_admsn_dt", *DIAGNOSES)
PERSON_COLUMNS = ("desynpuf_id", "bene_birth_dt", "bene_sex_ident_cd")


def read_desynpuf(paths: Sequence[str | Path], ledger: Ledger) -> tuple[list[Patient], list[InputFile]]:
    """The cohort in ICD-9-CM, and the files it was read from.

    `paths`: folders, or files as published (`DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.zip` or .csv, and
    `DE1_0_2008_Beneficiary_Summary_File_Sample_1.zip`); without beneficiaries age and sex are unknown. Raises
    FileNotFoundError or ValueError where there are no claims, or a file cannot be used.
    """
    files = [file for path in paths for file in _files(Path(path))]
    claims = [read_table(path, CLAIM_COLUMNS) for path in files if "inpatient_claims" in path.name.lower()]
    people = [read_table(path, PERSON_COLUMNS) for path in files if "beneficiary_summary" in path.name.lower()]
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
            position=pl.col("segment").cast(pl.Int64, strict=False) * len(DIAGNOSES) + pl.col("number"),
        )
    )
    codes = resolve_codes(diagnoses, by_ontology(load_ontology("icd9cm")), "icd9cm", ledger)
    return build_cohort(visits, codes, ledger), [table.file for table in [*claims, *people]]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.name.lower().endswith((".zip", ".csv", ".csv.gz")))
    return [path]


def _segments(claims: Sequence[SourceTable], ledger: Ledger) -> pl.DataFrame:
    """A row per segment of a claim with an id; sorted, so that of two with the same id the same one stays."""
    rows = pl.concat([stripped(table) for table in claims])
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
    date = pl.coalesce(_date("clm_admsn_dt"), _date("clm_from_dt"))
    dated = claims.with_columns(date=date).drop_nulls("date")
    ledger.drop("visits", "without a date", claims.height - dated.height)
    lost = claims["desynpuf_id"].n_unique() - dated["desynpuf_id"].n_unique()
    ledger.drop("patients", "without a dated claim", lost)
    joined = dated.join(people, on="desynpuf_id", how="left", maintain_order="left")
    return joined.select(
        patient_id="desynpuf_id",
        admission_id="clm_id",
        order=pl.col("date").dt.epoch("d"),
        sex=pl.col("bene_sex_ident_cd").replace_strict({"1": "M", "2": "F"}, default=None, return_dtype=pl.String),
        age=((pl.col("date") - _date("bene_birth_dt")).dt.total_days() / 365.25).floor().cast(pl.Int64),
        day=pl.col("date").dt.epoch("d").cast(pl.Int64),
        period=pl.col("date").dt.epoch("d").cast(pl.Int64),
    )


def _people(tables: Sequence[SourceTable]) -> pl.DataFrame:
    if not tables:
        return pl.DataFrame(schema=dict.fromkeys(PERSON_COLUMNS, pl.String))
    rows = pl.concat([stripped(table) for table in tables]).sort(pl.all(), nulls_last=True)
    return rows.unique("desynpuf_id", keep="first", maintain_order=True)


def _date(column: str) -> pl.Expr:
    return pl.col(column).str.to_date("%Y%m%d", strict=False)
