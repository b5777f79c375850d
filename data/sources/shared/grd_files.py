"""The yearly files of Chile's GRD: in which form each is, and what of it is read, a piece at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from data.ledger import Ledger
from data.table_files.columns import ColumnForms, column, type_columns, without_nothing
from data.table_files.csv_stream import CsvStream
from data.table_files.meanings import Meaning
from data.table_files.stored_files import TABLE_SUFFIXES, InputFile
from data.table_files.text_tables import TextTable
from mera.system.errors import UserError

PATIENT_IDS = ("cip_encriptado", "id_beneficiario")
DIAGNOSES = tuple(f"diagnostico{number}" for number in range(1, 36))
PROCEDURES = tuple(f"procedimiento{number}" for number in range(1, 31))
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
UNKNOWN = ("DESCONOCIDO", "SIN INFORMACIÓN", "SIN INFORMACION", "0")
"""What stands for an id, a sex or a word that is not there."""
_FIRST_YEAR_OF_NEW_IDS, _LAST_KNOWN_YEAR = 2021, 2024


@dataclass(frozen=True, kw_only=True, slots=True)
class Discharges:
    """All files, in columns of few bytes."""

    visits: pl.DataFrame
    """row, patient, block, hospital, sex, birth, admitted, discharged, died, content (a hash of the diagnoses)."""
    diagnoses: pl.DataFrame
    """row, position, number: the place of the code in `codes`."""
    codes: list[str]
    """Codes as written."""
    procedures: pl.DataFrame
    """The same of the procedures, where they were asked for."""
    procedure_codes: list[str]
    files: list[InputFile]
    encodings: dict[str, str]


def files_of(path: Path) -> list[Path]:
    """The file, or those of a folder. Raises FileNotFoundError where it holds none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if _is_text(file.name.lower()))
    if not files:
        raise FileNotFoundError(f"{path} holds no .txt or .csv file; --input must name the yearly files of the GRD")
    return files


def _is_text(name: str) -> bool:
    return name.removesuffix(".gz").removesuffix(".zip").endswith(TABLE_SUFFIXES)


def read_discharges(
    paths: Sequence[Path], ledger: Ledger, forms: ColumnForms, with_procedures: bool = False
) -> Discharges:
    """All files, one after the other, each a piece at a time. Raises FileNotFoundError or UserError where one cannot be
    used."""
    visits, files = [], []
    diagnoses, procedures = [], [pl.DataFrame(schema={"row": pl.UInt32, "position": pl.UInt8, "number": pl.UInt32})]
    number_of: dict[str, int] = {}
    number_of_procedure: dict[str, int] = {}
    encodings: dict[str, str] = {}
    num_rows = 0
    for path in paths:
        stream = CsvStream(path, (*HEADERS.values(), *DIAGNOSES), forms.encoding)
        people: list[pl.DataFrame] = []
        present = [name for name in PROCEDURES if with_procedures and name in stream.names]
        for piece in stream.pieces(_headers(stream) | {name: name for name in present}):
            codes = piece.select(name for name in DIAGNOSES if name in piece.columns)
            start = num_rows + sum(each.height for each in people)
            people.append(piece.drop(codes.columns, *present).with_columns(content=codes.hash_rows(seed=1)))
            diagnoses.append(_long(codes, start, number_of))
            if present:
                procedures.append(_long(piece.select(present), start, number_of_procedure))
        visits.append(_typed(stream, pl.concat(people), num_rows, ledger, forms))
        num_rows += stream.num_rows
        files.append(stream.file)
        encodings[path.name] = stream.encoding
        _count(stream, ledger)
    together = pl.concat(diagnoses)
    ledger.read("diagnoses", together.height)
    return Discharges(
        visits=pl.concat(visits),
        diagnoses=together,
        codes=list(number_of),
        procedures=pl.concat(procedures),
        procedure_codes=list(number_of_procedure),
        files=files,
        encodings=encodings,
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
    forms = replace(forms, day_first=True)  # no file has the month first
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
