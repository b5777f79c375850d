"""Discharges of Chile's public hospitals by diagnosis-related group (GRD), published by FONASA and the DEIS.

One file a year, 2019 to 2024, columns separated by `|` (or `;`); UTF-8, UTF-16 or cp1252, which the file itself shows.
A discharge has up to 35 diagnoses in the WHO's ICD-10, the first the principal one. The patient's id is CIP_ENCRIPTADO,
in 2024 ID_BENEFICIARIO. It was made anew between 2020 and 2021: the same number before and after is another person. So
patients are linked within the discharges of 2019-2020 and within those of 2021-2024; a later year stands by itself.

A visit is a discharge, day surgery included. The files have no id of it: a visit is called by its number among its
patient's discharges, in order of admission, then of discharge. Files are read a piece at a time.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.editions.national_edition import read_national_edition
from data.ledger import Ledger
from data.ontology import Ontology, load_ontology
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column, type_columns, without_nothing
from data.table_files.csv_stream import TEXT_SUFFIXES, CsvStream
from data.table_files.meanings import LARGEST_AGE, Meaning
from data.table_files.stored_files import InputFile
from data.table_files.text_tables import TextTable
from mera.system.errors import UserError

PATIENT_IDS = ("cip_encriptado", "id_beneficiario")
DIAGNOSES = tuple(f"diagnostico{number}" for number in range(1, 36))
HEADERS = {
    "hospital": "cod_hospital",
    "sex": "sexo",
    "birth": "fecha_nacimiento",
    "admitted": "fecha_ingreso",
    "discharged": "fechaalta",
    "ending": "tipoalta",
}
COLUMNS = (
    column("patient", Meaning.NUMBER_ID),
    column("hospital", Meaning.WORD, header="COD_HOSPITAL"),
    column("sex", Meaning.SEX, header="SEXO"),
    column("birth", Meaning.TIME, header="FECHA_NACIMIENTO"),
    column("admitted", Meaning.TIME, header="FECHA_INGRESO"),
    column("discharged", Meaning.TIME, header="FECHAALTA"),
    column("ending", Meaning.WORD, header="TIPOALTA"),
)
DATE_FORMAT = "%d-%m-%Y"
"""Beside ISO; no file has the month first."""
UNKNOWN = ("DESCONOCIDO", "SIN INFORMACIÓN", "SIN INFORMACION", "0")
"""What stands for an id, a sex or a word that is not there."""
_FIRST_YEAR_OF_NEW_IDS, _LAST_KNOWN_YEAR = 2021, 2024
_VISITS_AT_A_TIME = 250_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Discharges:
    """All files, in columns of few bytes."""

    visits: pl.DataFrame
    """row, patient, block, hospital, sex, birth, admitted, discharged, died, content (a hash of the diagnoses)."""
    diagnoses: pl.DataFrame
    """row, position, number: the place of the code in `codes`."""
    codes: list[str]
    """Codes as written."""
    files: list[InputFile]
    encodings: dict[str, str]


def read_grd_chile(
    paths: Sequence[str | Path],
    ledger: Ledger,
    forms: ColumnForms | None = None,
    granularity: str = "full",
    edition: Ontology | None = None,
) -> tuple[list[Patient], list[InputFile], dict[str, str]]:
    """The cohort in the WHO's ICD-10 or in `edition`, the files, and file name -> the encoding it is in.

    `paths`: files, or folders of them. Raises FileNotFoundError or UserError where there are none, or one cannot be
    used.
    """
    discharges = _read_all([file for path in paths for file in _files(Path(path))], ledger, forms or ColumnForms())
    files, encodings = discharges.files, discharges.encodings
    codes = pl.Series("raw", discharges.codes, dtype=pl.String)
    visits = _usable_visits(discharges.visits, ledger)
    diagnoses = discharges.diagnoses.join(visits.select("row"), on="row", how="semi")
    ledger.drop("diagnoses", "visit dropped", discharges.diagnoses.height - diagnoses.height)
    del discharges  # half of what is in memory, before patients are made
    edition = edition or load_ontology("icd10who")
    resolve = by_ontology(edition, granularity)
    patients: list[Patient] = []
    for begin, end in _parts(visits):
        part = _cohort_visits(visits[begin:end])
        rows = diagnoses.join(part.select("row", "patient_id", "admission_id"), on="row", how="inner")
        of_part = rows.select(
            "patient_id",
            "admission_id",
            position=pl.col("position").cast(pl.Int64),
            primary=pl.col("position") == 0,
            raw=codes.gather(rows["number"]),
        )
        resolved = resolve_codes(of_part, resolve, edition.system, ledger)
        patients += build_cohort(part.drop("row"), resolved, ledger)
    return patients, files, encodings


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if _is_text(file.name.lower()))
    if not files:
        raise FileNotFoundError(f"{path} holds no .txt or .csv file; --input must name the yearly files of the GRD")
    return files


def _is_text(name: str) -> bool:
    return name.removesuffix(".gz").removesuffix(".zip").endswith(TEXT_SUFFIXES)


def _read_all(paths: Sequence[Path], ledger: Ledger, forms: ColumnForms) -> _Discharges:
    visits, diagnoses, files = [], [], []
    number_of: dict[str, int] = {}
    encodings: dict[str, str] = {}
    num_rows = 0
    for path in paths:
        stream = CsvStream(path, (*HEADERS.values(), *DIAGNOSES), forms.encoding)
        people: list[pl.DataFrame] = []
        for piece in stream.pieces(_headers(stream)):
            codes = piece.select(name for name in DIAGNOSES if name in piece.columns)
            start = num_rows + sum(each.height for each in people)
            people.append(piece.drop(codes.columns).with_columns(content=codes.hash_rows(seed=1)))
            diagnoses.append(_long(codes, start, number_of))
        visits.append(_typed(stream, pl.concat(people), num_rows, ledger, forms))
        num_rows += stream.num_rows
        files.append(stream.file)
        encodings[path.name] = stream.encoding
        _count(stream, ledger)
    together = pl.concat(diagnoses)
    ledger.read("diagnoses", together.height)
    return _Discharges(
        visits=pl.concat(visits), diagnoses=together, codes=list(number_of), files=files, encodings=encodings
    )


def _headers(stream: CsvStream) -> dict[str, str]:
    """Our name -> the file's. Raises UserError where it has no or two columns of the patient's id."""
    ids = [name for name in PATIENT_IDS if name in stream.names]
    if len(ids) > 1:
        raise UserError(f"{stream.path} has both columns {' and '.join(ids)}; leave the one that is not meant out")
    diagnoses = [name for name in DIAGNOSES if name in stream.names] or [DIAGNOSES[0]]
    return {"patient": (ids or [PATIENT_IDS[0]])[0], **HEADERS, **{name: name for name in diagnoses}}


def _long(codes: pl.DataFrame, start: int, number_of: dict[str, int]) -> pl.DataFrame:
    """A row for each field of `codes` that holds something: row (from `start`), position, and the code's number, which
    is new in `number_of` where the code is."""
    columns = codes.with_row_index("row", offset=start).with_columns(pl.col("row").cast(pl.UInt32))
    parts = [
        columns.select("row", position=pl.lit(place, pl.UInt8), raw=name).drop_nulls("raw")
        for place, name in enumerate(codes.columns)
    ]
    long = pl.concat(parts)
    long = long.with_columns(without_nothing(long["raw"])).drop_nulls("raw")
    distinct = long["raw"].unique().sort().to_list()
    for raw in distinct:
        number_of.setdefault(raw, len(number_of))
    numbers = pl.DataFrame(
        {"raw": distinct, "number": [number_of[raw] for raw in distinct]},
        schema={"raw": pl.String, "number": pl.UInt32},
    )
    return long.join(numbers, on="raw", how="left").drop("raw")


def _typed(stream: CsvStream, texts: pl.DataFrame, start: int, ledger: Ledger, forms: ColumnForms) -> pl.DataFrame:
    """The visits of one file, as in `_Discharges`."""
    forms = replace(forms, date_format=forms.date_format or DATE_FORMAT)
    known = texts.with_columns(
        pl.when(~pl.col(name).str.strip_chars().str.to_uppercase().is_in(UNKNOWN)).then(name).alias(name)
        for name in ("patient", "sex")
    )
    table = TextTable(path=stream.path, file=stream.file, rows=known)
    columns = [
        replace(each, header=_headers(stream)["patient"]) if each.name == "patient" else each for each in COLUMNS
    ]
    rows = type_columns(table, columns, ledger, forms)
    rows = rows.with_columns(pl.col("birth", "admitted", "discharged").cast(pl.Date))
    year = pl.coalesce("discharged", "admitted").dt.year()
    later = rows.select(year > _LAST_KNOWN_YEAR).to_series().sum()
    ledger.change(f"discharge after {_LAST_KNOWN_YEAR}, whose ids are linked within its year alone", int(later))
    block = (
        pl.when(year < _FIRST_YEAR_OF_NEW_IDS)
        .then(pl.lit(2019))
        .when(year <= _LAST_KNOWN_YEAR)
        .then(pl.lit(_FIRST_YEAR_OF_NEW_IDS))
    )
    died = pl.col("ending").str.to_uppercase().str.starts_with("FALLEC").fill_null(False)
    return rows.select(
        pl.int_range(start, start + pl.len(), dtype=pl.UInt32).alias("row"),
        "patient",
        "hospital",
        "sex",
        "birth",
        "admitted",
        "discharged",
        block=block.otherwise(year).cast(pl.Int16),
        died=died,
        content=texts["content"],
    )


def _count(stream: CsvStream, ledger: Ledger) -> None:
    ledger.change("empty line, left out", stream.num_blank)
    ledger.change("row with fewer fields than the header, the rest taken for empty", stream.num_short)
    ledger.change("row with more fields than the header, left out", stream.num_long)
    ledger.change("row that repeats the header, left out", stream.num_headers)
    ledger.change(f"character of {stream.path.name} that is none in its encoding", stream.num_bad_characters)


def _usable_visits(visits: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """row, patient_id, sex, number (of the visit among its patient's), age and day, in columns of few bytes, sorted by
    patient and in time; the others are counted."""
    person = pl.format("{}-{}", pl.col("block") - 2000, "patient")
    rows = visits.with_columns(patient_id=person).drop("patient", "block")
    ledger.read("visits", rows.height)
    everyone = rows["patient_id"].drop_nulls().n_unique()
    ledger.read("patients", everyone)
    for name, reason in (("admitted", "without an admission date"), ("patient_id", "without a patient id")):
        complete = rows.drop_nulls(name)
        ledger.drop("visits", reason, rows.height - complete.height)
        rows = complete
    key = ["patient_id", "admitted", "discharged", "hospital", "content"]
    ordered = rows.sort(*key, "birth", "sex", "died", "row", nulls_last=True)
    unique = ordered.unique(key, keep="first", maintain_order=True)
    ledger.drop("visits", "discharge listed twice, all its diagnoses the same", ordered.height - unique.height)
    death = pl.col("discharged").filter("died").min().over("patient_id")
    alive = unique.filter((pl.col("admitted") <= death).fill_null(True))
    ledger.drop("visits", "death before admission", unique.height - alive.height)
    ledger.drop("patients", "without a usable discharge", everyone - alive["patient_id"].n_unique())
    ages = alive.select(age=_age())["age"]
    odd = ages.is_between(0, LARGEST_AGE).not_().fill_null(False)
    ledger.change(f"age below 0 or above {LARGEST_AGE}, left out", int(odd.sum()))
    return alive.select(
        "row",
        "patient_id",
        sex=pl.col("sex").cast(pl.Enum(["F", "M"])),
        number=pl.int_range(1, pl.len() + 1).over("patient_id").cast(pl.UInt32),
        age=pl.when(_age().is_between(0, LARGEST_AGE)).then(_age()).cast(pl.Int16),
        day=pl.col("admitted").dt.epoch("d").cast(pl.Int32),
    )


def _cohort_visits(visits: pl.DataFrame) -> pl.DataFrame:
    """`row` and the columns of `data.cohorts.cohort`, of visits sorted by patient and in time."""
    day = pl.col("day").cast(pl.Int64)
    return visits.select(
        "row",
        "patient_id",
        pl.col("sex").cast(pl.String),
        pl.col("age").cast(pl.Int64),
        admission_id=pl.col("number").cast(pl.String),
        order=pl.col("number").cast(pl.Int64),
        day=day,
        period=day,
    )


def _age() -> pl.Expr:
    """Completed years at admission."""
    birth, admitted = pl.col("birth"), pl.col("admitted")
    day_of_year = [date.dt.month().cast(pl.Int32) * 100 + date.dt.day() for date in (admitted, birth)]
    years = admitted.dt.year() - birth.dt.year() - (day_of_year[0] < day_of_year[1]).cast(pl.Int32)
    return years.cast(pl.Int64)


def _parts(visits: pl.DataFrame) -> list[tuple[int, int]]:
    """First row and the one behind the last of parts of `visits`, sorted by patient, that hold whole patients; what is
    made of one fits into memory."""
    first_of_patient = visits.select(pl.col("patient_id") != pl.col("patient_id").shift(1)).to_series().fill_null(True)
    cuts = [0]
    for start in first_of_patient.arg_true():
        if start - cuts[-1] >= _VISITS_AT_A_TIME:
            cuts.append(start)
    return list(zip(cuts, [*cuts[1:], visits.height], strict=True))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare grd-chile`."""
    add_diagnosis_options(parser, "PATH", "yearly files, plain, gzipped or zipped, or folders of them", True, False)
    parser.add_argument(
        "--encoding", metavar="NAME", help="of all files, as cp1252 (default: each file's own, which it shows)"
    )
    parser.add_argument(
        "--codes",
        metavar="TABLE",
        help="instead of the WHO's edition: Chile's own as CSV or Parquet with the columns code, definition and "
        "perhaps parent",
    )


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    edition, edition_files = None, []
    if arguments.codes is not None:
        edition, file = read_national_edition(arguments.codes, ledger)
        edition_files.append(file)
    patients, files, encodings = read_grd_chile(
        arguments.input, ledger, column_forms(arguments), arguments.granularity, edition
    )
    return Source(
        name="grd-chile",
        system="icd10who" if edition is None else edition.system,
        edition=edition,
        patients=patients,
        ledger=ledger,
        files=[*files, *edition_files],
        options={"encodings": dict(encodings)},
    )


SOURCE = SourceCommand(
    name="grd-chile",
    help="""\
Chile's public hospitals: the yearly GRD files of FONASA, 2019 to 2024 (GRD_PUBLICO_2019.txt ...), in ICD-10.

  mera prepare grd-chile --input grd/ --output prepared/grd
  mera prepare grd-chile --input GRD_PUBLICO_2021.txt GRD_PUBLICO_EXTERNO_2022.txt --protocol temporal \\
      --output prepared/grd-2021-22

Ids link within 2019-2020 and within 2021-2024 only; docs/data.md says what else is taken.""",
    add_options=add_options,
    read=read_source,
)
