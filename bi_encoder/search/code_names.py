"""What the codes of an ontology are called, with a code book or without one. C codes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.codes.book.book import CodeBook
from data.codes.book.sources.unspecified_leaf import UnspecifiedLeaves
from data.codes.notes.code_ranges import CodeOrder
from data.ontology import Ontology, UnknownCode, load_ontology

CODE_SETS = ("leaves", "all")
"""`leaves`: codes with none below them, those that can be billed; `all`: every code, block and chapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeNames:
    codes: list[str]
    definitions: list[str]
    """Titles (C)."""
    names: list[list[str]]
    """For each code its title, its inclusion terms, what its notes include and the terms of the book, none of them
    twice."""


def names_of_codes(ontology: str, code_set: str, book: CodeBook | None) -> CodeNames:
    """`code_set`: one of CODE_SETS. Terms of a book for codes that are not among them are left out; what a heading
    includes is also a name of the leaf below it that says no more, as in a book."""
    opened = load_ontology(ontology)
    titles = opened.nodes(leaves_only=code_set == "leaves")
    further = {code: _inclusion_terms(opened, code) for code in titles}
    for code, term in _included(opened):
        if code in further:
            further[code].append(term)
    if book is not None:
        for code, term in book.terms.select("code", "term").iter_rows():
            if code in further:
                further[code].append(term)
    names = [list(dict.fromkeys([title, *further[code]])) for code, title in titles.items()]
    return CodeNames(codes=list(titles), definitions=list(titles.values()), names=names)


def _inclusion_terms(ontology: Ontology, node: str) -> list[str]:
    try:
        return list(ontology.synonyms(node))
    except UnknownCode:  # a block or a chapter
        return []


def _included(ontology: Ontology) -> Iterator[tuple[str, str]]:
    """(code, term)"""
    unspecified = UnspecifiedLeaves(ontology, CodeOrder.of(ontology))
    for code in ontology.nodes():
        if ontology.knows(code) and (terms := ontology.includes(code)):
            yield from ((node, term) for node in dict.fromkeys((code, unspecified.of(code))) for term in terms)


def terms_digest(book: CodeBook | None) -> str:
    """SHA-256 of the book's file of terms; empty without a book."""
    return "" if book is None else _digest(book.path / "terms.parquet")


def translations_digest(book: CodeBook | None) -> str:
    """SHA-256 of the book's file of names in two languages; empty without one."""
    return "" if book is None or not book.translations.height else _digest(book.path / "translations.parquet")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
