"""MEDS, the Medical Event Data Standard: Parquet shards with subject_id, time, code.

Diagnoses are the events whose code names an ICD edition: `ICD10CM/I50.9`, `ICD9CM//4280`, `DIAGNOSIS//ICD//10//I509`.
MEDS has no visits: those of one subject with the same value of `visit_column` (MIMIC's shards have hadm_id), or else
on one calendar day, are a visit at its earliest time. Within a visit codes have no order. Birth (MEDS_BIRTH) gives the
age, `GENDER//F` or `GENDER//M` the sex. metadata/subject_splits.parquet, where it is there, serves `--protocol given`.
"""

import re
from pathlib import Path

import polars as pl

from data.cohort import Patient, build_cohort
from data.csv_tables import InputFile
from data.event_tables import parse_times, read_parquet
from data.ledger import Ledger
from data.mimic4 import resolve_versions

DIAGNOSIS = r"(?i)^(?:(?:DIAGNOSIS|CONDITION|DX)/+)?ICD[-_]?(?:/+)?(9|10)[-_]?(?:CM)?/+(\S+)$"
SEX = r"(?i)^(?:MEDS_)?(?:GENDER|SEX)/+([FM])(?:EMALE|ALE)?$"
SPLIT_NAMES = {"train": "train", "tuning": "validation", "held_out": "test"}


def read_meds(
    folder: str | Path, ledger: Ledger, code_system: str | None = None, visit_column: str | None = None
) -> tuple[list[Patient], list[InputFile], str, dict[str, str] | None]:
    """The cohort, the files it was read from, the ontology of its codes, and subject -> split where the data have it.

    `folder`: the data set (with a folder data) or the folder of the shards. `code_system` as in `data.mimic4`. Raises
    FileNotFoundError or ValueError where there are no shards, or one cannot be used.
    """
    folder = Path(folder)
    shards = folder / "data" if (folder / "data").is_dir() else folder
    paths = sorted(shards.rglob("*.parquet"))
    if not paths:
        raise FileNotFoundError(f"no .parquet shards in {shards}; --input must name a MEDS data set")
    names = {"subject_id": "subject_id", "time": "time", "code": "code"}
    if visit_column is not None:
        names["visit"] = visit_column
    tables = [read_parquet(path, names) for path in paths]
    events = pl.concat([_wanted(table.rows, ledger) for table in tables])
    diagnoses = events.filter(pl.col("icd_code").is_not_null() & pl.col("subject_id").is_not_null())
    dated = diagnoses.with_columns(time=parse_times("time")).drop_nulls("time")
    ledger.drop("diagnoses", "without a time", diagnoses.height - dated.height)
    visit = pl.col("visit") if visit_column is not None else pl.col("time").dt.strftime("%Y-%m-%d")
    placed = dated.with_columns(hadm_id=visit, seq_num=pl.lit(None, dtype=pl.String)).drop_nulls("hadm_id")
    ledger.drop("diagnoses", f"no {visit_column}", dated.height - placed.height)
    codes, system = resolve_versions(placed, code_system, ledger)
    patients = build_cohort(_visits(placed, events, ledger), codes, ledger)
    files = [
        InputFile(file_name=str(path.relative_to(folder)), sha256=table.sha256)
        for path, table in zip(paths, tables, strict=True)
    ]
    return patients, files, system, _given_split(folder, files)


def _wanted(rows: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The diagnoses, births and sexes of one shard, with what their code says in columns of its own."""
    parsed = rows.with_columns(
        icd_version=pl.col("code").str.extract(DIAGNOSIS, 1),
        icd_code=pl.col("code").str.extract(DIAGNOSIS, 2),
        sex=pl.col("code").str.extract(SEX, 1).str.to_uppercase(),
        is_birth=pl.col("code").str.to_uppercase() == "MEDS_BIRTH",
    )
    ledger.read("diagnoses", rows.height)
    unnamed = parsed.filter(pl.col("icd_code").is_not_null() & pl.col("subject_id").is_null()).height
    ledger.drop("diagnoses", "event without a subject", unnamed)
    ledger.drop("diagnoses", "event that is no ICD diagnosis", parsed["icd_code"].null_count())
    return parsed.filter(pl.col("icd_code").is_not_null() | pl.col("sex").is_not_null() | pl.col("is_birth"))


def _visits(diagnoses: pl.DataFrame, events: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    birth = events.filter("is_birth").with_columns(birth=parse_times("time"))
    people = (
        birth.group_by("subject_id")
        .agg(pl.col("birth").min())
        .join(
            events.drop_nulls("sex").group_by("subject_id").agg(pl.col("sex").min(), sexes=pl.col("sex").n_unique()),
            on="subject_id",
            how="full",
            coalesce=True,
        )
    )
    visits = diagnoses.group_by("subject_id", "hadm_id").agg(pl.col("time").min())
    ledger.read("visits", visits.height)
    ledger.read("patients", visits["subject_id"].n_unique())
    joined = visits.join(people, on="subject_id", how="left")
    day = pl.col("time").dt.epoch("d").cast(pl.Int64)
    years = ((pl.col("time") - pl.col("birth")).dt.total_days() / 365.25).floor().cast(pl.Int64)
    return joined.select(
        patient_id="subject_id",
        admission_id="hadm_id",
        order=pl.col("time").dt.epoch("s"),
        sex=pl.when(pl.col("sexes") == 1).then("sex"),
        age=pl.when(years >= 0).then(years),
        day=day,
        period=day,
    )


def _given_split(folder: Path, files: list[InputFile]) -> dict[str, str] | None:
    path = folder / "metadata" / "subject_splits.parquet"
    if not path.is_file():
        return None
    table = read_parquet(path, {"subject_id": "subject_id", "split": "split"})
    files.append(InputFile(file_name=str(path.relative_to(folder)), sha256=table.sha256))
    return {
        subject: SPLIT_NAMES[re.sub(r"\W", "_", split.lower())]
        for subject, split in table.rows.drop_nulls().select("subject_id", "split").iter_rows()
        if re.sub(r"\W", "_", split.lower()) in SPLIT_NAMES
    }
