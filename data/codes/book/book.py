"""A code book: names of the codes of one edition beyond its titles, and the notes that relate codes to each other.

    BOOK/
      terms.parquet       code, term, language, kind, source
      relations.parquet   node, kind, target_first, target_last, text, source
      translations.parquet  text, translation, language, source
      book.json           edition, what was added from which file, what was left out and why

Codes and nodes are canonical names of the edition (`data.ontology`): a node is a code, a block or a chapter, and what
its note says holds for every code below it. Translations are names of one thing in the language of the titles,
English, and in another, whether the edition has a code for it or not; a book made before there were any has no file.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import polars as pl

from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock
from mera.system.folder_replacement import replace_folder, restore_folder
from mera.system.terminal import as_json

TERM_KINDS = ("inclusion", "index", "external", "neoplasm", "drug", "name", "own")
"""Inclusion terms of the tabular list; the alphabetic index, that of external causes, the neoplasm and the drug table;
names of other vocabularies such as the Disease Ontology; a table of the user's own."""
RELATION_KINDS = (
    "includes",
    "excludes1",
    "excludes2",
    "code_first",
    "use_additional",
    "code_also",
    "seventh_character",
)
"""The notes of the tabular list. ICD-9-CM's only kind of exclusion counts as `excludes1`."""
TERM_COLUMNS = {column: pl.String() for column in ("code", "term", "language", "kind", "source")}
RELATION_COLUMNS = {column: pl.String() for column in ("node", "kind", "target_first", "target_last", "text", "source")}
"""The targets of a note are the codes from `target_first` to `target_last`; both are null where the note names none."""
TRANSLATION_COLUMNS = {column: pl.String() for column in ("text", "translation", "language", "source")}
FORM = 1
"""Version of the files."""


class BookSource(TypedDict):
    """One file that was added."""

    file: str
    """Its name without folders."""
    sha256: str
    kind: str
    """What it was taken for, such as `icd10cm tabular and index 2017`."""
    terms: int
    relations: int
    dropped: dict[str, int]
    """Reason -> entries left out."""


class BookRecord(TypedDict):
    """book.json."""

    form: int
    system: str
    """`icd9cm`, `icd10cm` or `icd10who`."""
    edition: str
    """The release that the codes were resolved in."""
    sources: list[BookSource]
    contradictions: int
    """Terms of one language that different sources give to codes of different categories; all of them are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeBook:
    """A code book in memory."""

    path: Path
    terms: pl.DataFrame
    """TERM_COLUMNS, sorted, no row twice."""
    relations: pl.DataFrame
    """RELATION_COLUMNS, sorted, no row twice."""
    translations: pl.DataFrame
    """TRANSLATION_COLUMNS, sorted, no row twice."""
    record: BookRecord

    @property
    def system(self) -> str:
        return self.record["system"]

    def terms_of(self, code: str) -> pl.DataFrame:
        """The rows of `terms` of one code."""
        return self.terms.filter(pl.col("code") == code)

    def notes_of(self, nodes: Sequence[str]) -> pl.DataFrame:
        """The rows of `relations` of any of `nodes`, such as a code and its ancestors."""
        return self.relations.filter(pl.col("node").is_in(list(nodes)))


def save_book(
    path: str | Path,
    terms: pl.DataFrame,
    relations: pl.DataFrame,
    record: Mapping[str, object] | BookRecord,
    translations: pl.DataFrame | None = None,
) -> CodeBook:
    """Write a book, complete or not at all, in place of one that may be there, and return it as read back.

    `terms`: TERM_COLUMNS; `relations`: RELATION_COLUMNS; `translations`: TRANSLATION_COLUMNS; in any order.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    restore_folder(path)
    lock = FolderLock(path.with_name(f".{path.name}.partial"))
    beside = lock.folder
    try:
        lock.clear()
        _in_order(terms, TERM_COLUMNS).write_parquet(beside / "terms.parquet")
        _in_order(relations, RELATION_COLUMNS).write_parquet(beside / "relations.parquet")
        if translations is not None:
            _in_order(translations, TRANSLATION_COLUMNS).write_parquet(beside / "translations.parquet")
        text = as_json(record)
        (beside / "book.json").write_text(text, encoding="utf-8")
        replace_folder(beside, path)
        lock.release(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        lock.release()
        raise
    return load_book(path)


def load_book(path: str | Path) -> CodeBook:
    """Read a book. Raises FileNotFoundError where there is none, UserError where a file is damaged or of another
    version."""
    path = Path(path)
    if not (path / "book.json").is_file():
        raise FileNotFoundError(f"no code book in {path}; make one with `mera ontology add FILE`")
    try:
        record: BookRecord = json.loads((path / "book.json").read_text(encoding="utf-8"))
        form = record["form"]
        terms = pl.read_parquet(path / "terms.parquet").select(list(TERM_COLUMNS))
        relations = pl.read_parquet(path / "relations.parquet").select(list(RELATION_COLUMNS))
        translations = pl.DataFrame(schema=TRANSLATION_COLUMNS)
        if (path / "translations.parquet").is_file():
            translations = pl.read_parquet(path / "translations.parquet").select(list(TRANSLATION_COLUMNS))
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        raise UserError(f"the code book in {path} is damaged; make it again with `mera ontology add`") from None
    if form != FORM:
        raise UserError(f"the code book in {path} has form {form}, this version reads {FORM}; make it again")
    return CodeBook(path=path, terms=terms, relations=relations, translations=translations, record=record)


def _in_order(table: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return table.select(pl.col(name).cast(kind) for name, kind in columns.items()).unique().sort(list(columns))
