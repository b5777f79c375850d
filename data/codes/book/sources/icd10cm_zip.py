"""The CDC's zip of ICD-10-CM: terms of its index and tables, inclusion terms and notes of its tabular list."""

from pathlib import Path

import polars as pl

from data.codes.book.icd10cm.icd10cm_files import year_files
from data.codes.book.icd10cm.icd10cm_index import read_icd10cm_index
from data.codes.book.sources.book_part import BookPart, no_relations, total
from data.codes.book.tabular_notes import tabular_notes
from data.codes.notes.code_ranges import load_order
from data.ontology import load_ontology
from data.table_files.stored_files import InputFile

SYSTEM = "icd10cm"
FAMILY = "icd10cm index"


def read_icd10cm_zip(path: Path, file: InputFile) -> BookPart:
    """Raises UserError where the zip has no index, is damaged or mixes years (`icd10cm_files.year_files`)."""
    files = year_files([path])
    index = read_icd10cm_index(path, load_ontology(SYSTEM))
    kind = f"{FAMILY} and tabular {index.year}".strip() if "tabular" in files else f"{FAMILY} {index.year}".strip()
    relations, dropped_notes = no_relations(), dict[str, int]()
    if "tabular" in files:
        with files["tabular"].stream() as stream:
            notes = tabular_notes(stream.read(), files["tabular"].name, load_order(SYSTEM))
        relations, dropped_notes = notes.relations.with_columns(source=pl.lit(kind)), notes.dropped
    return BookPart(
        system=SYSTEM,
        kind=kind,
        family=FAMILY,
        file=file,
        terms=index.terms.with_columns(source=pl.lit(kind)),
        relations=relations,
        dropped=total([index.counts, dropped_notes]),
    )
