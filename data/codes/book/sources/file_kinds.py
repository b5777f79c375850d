"""What a file is that is to be added to a code book, by its content."""

import io
import zipfile
import zlib
from pathlib import Path

from data.codes.book.sources.book_part import BookPart
from data.codes.book.sources.disease_ontology import (
    REFERENCES,
    TRANSLATIONS,
    find_disease_ontology,
    read_disease_ontology,
)
from data.codes.book.sources.icd9cm_files import is_icd9_tabular, is_rtf, read_icd9_rtf, read_icd9_tabular
from data.codes.book.sources.icd10cm_zip import read_icd10cm_zip
from data.codes.book.sources.terms_table import CODE, TERM, read_terms_table, system_of_table
from data.table_files.columnar import PARQUET_SUFFIXES
from data.table_files.stored_files import InputFile, read_bytes
from mera.system.errors import UserError

WHAT_CAN_BE_ADDED = (
    "the CDC's zip of ICD-10-CM with its XML, the CDC's ICD-9-CM index or tabular list (RTF, zipped or not, or text), "
    f"a folder with {REFERENCES} and {TRANSLATIONS} of the Disease Ontology, or a CSV, TSV or Parquet table with the "
    "columns code, term and perhaps language"
)
_ZIP = b"PK\x03\x04"
_TABLE_SUFFIXES = (".csv", ".tsv", ".txt", *PARQUET_SUFFIXES)


def read_part(
    path: str | Path,
    system: str | None,
    language: str | None,
    code_column: str | None = None,
    term_column: str | None = None,
) -> BookPart:
    """What a file or folder adds to a book.

    `system`: the edition of a table or of the Disease Ontology's references; None: by the codes of a table, ICD-10-CM
    for the Disease Ontology. `language`: of the terms of a table that has no column for it; None: English.
    `code_column`, `term_column`: what a table calls them; None: code, term.

    Raises FileNotFoundError where there is no such file, UserError where it is none of WHAT_CAN_BE_ADDED, is damaged,
    or is of another edition than `system`.
    """
    path = Path(path)
    if path.is_dir():
        if find_disease_ontology(path) is None:
            raise UserError(f"{path} is a folder without a pair of tables that can be added: {WHAT_CAN_BE_ADDED}")
        _refuse_options_of_a_table(path, language, code_column, term_column)
        return read_disease_ontology(path, system or "icd10cm")
    stored = read_bytes(path)
    file = InputFile.of(path, stored)
    if stored.startswith(_ZIP):
        part = _zip_part(path, stored, file)
    elif is_rtf(stored):
        part = read_icd9_rtf(stored, path.name, file)
    elif path.suffix.lower() not in PARQUET_SUFFIXES and is_icd9_tabular(stored):
        part = read_icd9_tabular(stored, path.name, file)
    else:
        part = None
    if part is not None:
        _refuse_options_of_a_table(path, language, code_column, term_column)
        return part
    if not stored.startswith(_ZIP) and not {each.lower() for each in path.suffixes} & set(_TABLE_SUFFIXES):
        raise UserError(f"{path} is nothing that can be added; it must be {WHAT_CAN_BE_ADDED}")
    columns = (code_column or CODE, term_column or TERM)
    return read_terms_table(path, system or system_of_table(path, *columns), language or "en", *columns)


def _zip_part(path: Path, stored: bytes, file: InputFile) -> BookPart | None:
    """None where a zip holds a table."""
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = [name for name in archive.namelist() if not name.split("/")[-1].startswith("._")]
            rtfs = [name for name in names if name.lower().endswith(".rtf")]
            tables = [name for name in names if name.lower().endswith(_TABLE_SUFFIXES)]
            if any(name.lower().endswith(".xml") for name in names):
                return read_icd10cm_zip(path, file)
            if len(rtfs) == 1:
                return read_icd9_rtf(archive.read(rtfs[0]), Path(rtfs[0]).name, file)
            if len(tables) == 1 and is_icd9_tabular(text := archive.read(tables[0])):
                return read_icd9_tabular(text, Path(tables[0]).name, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
        raise UserError(f"{path} is a damaged or protected zip file; download or copy it again") from None
    if len(rtfs) > 1:
        raise UserError(
            f"{path} holds {len(rtfs)} RTF files; unpack it and add the index (Dindex), then the list (Dtab)"
        )
    if len(tables) == 1:
        return None
    raise UserError(f"{path} is a zip with nothing in it that can be added; it must be {WHAT_CAN_BE_ADDED}")


def _refuse_options_of_a_table(path: Path, *options: str | None) -> None:
    if any(option is not None for option in options):
        raise UserError(
            f"--language, --code and --term are for a table of your own; {path.name} says itself what its terms are"
        )
