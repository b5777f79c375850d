"""Add a file to a code book: what it says joins what the book has, and the book is written anew, complete or not."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.codes.book.book import FORM, BookRecord, CodeBook, load_book, save_book
from data.codes.book.sources.book_part import BookPart
from data.codes.book.sources.file_kinds import read_part
from data.codes.book.store import default_book
from data.ontology import SYSTEMS, load_ontology
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Addition:
    """What came of adding a file."""

    book: CodeBook
    part: BookPart
    replaced: str | None
    """The kind of an earlier source that the file took the place of."""


def add_to_book(
    file: str | Path,
    book_path: str | Path | None = None,
    system: str | None = None,
    language: str | None = None,
    code_column: str | None = None,
    term_column: str | None = None,
) -> CodeBook:
    """The book in `book_path` (None: the user's book of the file's edition) with what `file` says; see `add_file`."""
    return add_file(file, book_path, system, language, code_column, term_column).book


def add_file(
    file: str | Path,
    book_path: str | Path | None = None,
    system: str | None = None,
    language: str | None = None,
    code_column: str | None = None,
    term_column: str | None = None,
    report: Callable[[str], None] = lambda step: None,
) -> Addition:
    """Add a file to a book and write it.

    A source of the same kind replaces the earlier one (another year of the index, the same table again), others are
    added. `system`: the edition of a table; None: the book's, or else the one that knows its codes. `language`: of a
    table's terms; `code_column`, `term_column`: what it calls them, if not code and term. `report` is called with the
    name of each step. Raises FileNotFoundError where there is no such file, UserError where it cannot be added
    (`file_kinds.read_part`) or the book is damaged or of another edition.
    """
    if system is not None and system not in SYSTEMS:
        raise UserError(f"--system must be one of {', '.join(SYSTEMS)}, got {system!r}")
    book = None if book_path is None else _existing(Path(book_path))
    _refuse_other_edition(book, system, Path(file))
    report(f"reading {Path(file).name}")
    edition = system or (book.system if book is not None else None)
    part = read_part(file, edition, language, code_column, term_column)
    if system is not None and part.system != system:
        raise UserError(f"{file} names codes of {part.system}, not of {system} as --system says")
    _refuse_other_edition(book, part.system, Path(file))
    place = default_book(part.system) if book_path is None else Path(book_path)
    if book_path is None:
        book = _existing(place)
        _refuse_other_edition(book, part.system, Path(file))
    report(f"writing {place}")
    return _write(place, book, part)


def _existing(place: Path) -> CodeBook | None:
    """The book that is there, if any."""
    try:
        return load_book(place)
    except FileNotFoundError:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise UserError(f"{place} is there and is no code book; name another place with --book") from None
        return None
    except UserError as error:
        raise UserError(f"{str(error).split(';')[0]}; remove the folder and add its files again") from None


def _refuse_other_edition(book: CodeBook | None, system: str | None, file: Path) -> None:
    if book is None:
        return
    if system is not None and book.system != system:
        raise UserError(
            f"{file.name} names codes of {system}, the code book in {book.path} those of {book.system}; a book is of "
            "one edition: name another place with --book"
        )
    edition = load_ontology(book.system).edition
    if book.record["edition"] != edition:
        raise UserError(
            f"the code book in {book.path} was made for {book.record['edition']}, here is {edition}; remove the folder "
            "and add its files again"
        )


def _write(place: Path, book: CodeBook | None, part: BookPart) -> Addition:
    sources = [] if book is None else book.record["sources"]
    replaced = next((source["kind"] for source in sources if f"{source['kind']} ".startswith(f"{part.family} ")), None)
    terms, relations, translations = part.terms, part.relations, part.translations
    if book is not None:
        is_other = pl.col("source") != (replaced or "")
        terms = pl.concat([book.terms.filter(is_other), terms])
        relations = pl.concat([book.relations.filter(is_other), relations])
        translations = pl.concat([book.translations.filter(is_other), translations])
    record: BookRecord = {
        "form": FORM,
        "system": part.system,
        "edition": load_ontology(part.system).edition,
        "sources": [*(source for source in sources if source["kind"] != replaced), part.record()],
        "contradictions": count_contradictions(terms, part.system),
    }
    return Addition(book=save_book(place, terms, relations, record, translations), part=part, replaced=replaced)


def count_contradictions(terms: pl.DataFrame, system: str) -> int:
    """Terms of one language (whatever the case) that two sources give to codes without a common category."""
    shared = (
        terms.with_columns(pl.col("term").str.to_lowercase())
        .select("term", "language", "source", "code")
        .unique()
        .filter(pl.col("source").n_unique().over("term", "language") > 1)
    )
    ontology = load_ontology(system)
    categories: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for term, language, source, code in shared.iter_rows():
        categories[term, language][source].add(ontology.groups(code)["category"])
    return sum(_disagree(list(by_source.values())) for by_source in categories.values())


def _disagree(categories: list[set[str]]) -> bool:
    return any(one.isdisjoint(other) for number, one in enumerate(categories) for other in categories[:number])
