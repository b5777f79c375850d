"""Terms of ICD-10-CM from the CDC's XML of one year: alphabetic index, external causes, tables, tabular list.

A term goes to the node that its code names, to the unspecified leaf below it, and with a side to the codes that only
add one (`index_codes`). Of a code with a manifestation in brackets, `E11.39 [H42]`, it goes to both: whoever says it
means both. Where `see` replaces a code, and where `see also` stands without one, the term goes to the codes of its
target. What is left out is counted, by reason.
"""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import polars as pl

from data.codes.book.book import TERM_COLUMNS
from data.codes.book.icd10cm.icd10cm_files import YearFile, year_files
from data.codes.book.icd10cm.index_codes import IndexCodes
from data.codes.book.index.code_tables import drug_terms, neoplasm_terms
from data.codes.book.index.index_references import DanglingReference, IndexTree
from data.codes.book.index.index_xml import IndexEntry, read_entries
from data.codes.book.index.readable_terms import readable_terms
from data.codes.book.index.xml_elements import stream_elements
from data.codes.book.sources.book_part import LONGEST_TERM, TITLE, TOO_LONG
from data.ontology import Ontology
from mera.system.errors import UserError

_KINDS = {"index": "index", "eindex": "external", "neoplasm": "neoplasm", "drug": "drug", "tabular": "inclusion"}
_TABLES = {"neoplasm": neoplasm_terms, "drug": drug_terms}

Row = tuple[Sequence[str], str]
"""Terms, the code as written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexTerms:
    """What the files of one year say of how codes are called."""

    terms: pl.DataFrame
    """TERM_COLUMNS."""
    year: str
    """Empty where the names of the files say none."""
    num_pairs: int
    """Of the alphabetic index: entries with a code of the edition, each counted once per code."""
    num_codes: int
    """Of the alphabetic index: different codes, as written, that the edition has or had."""
    counts: dict[str, int]
    """What was left out or replaced, by reason."""


def read_icd10cm_index(paths: Path | Sequence[Path], ontology: Ontology) -> IndexTerms:
    """The terms in one zip of the CDC, or in the XML files from it, for the codes of `ontology`.

    Raises UserError on files of another kind (`year_files`), on damaged ones, and on another edition than ICD-10-CM.
    """
    if ontology.system != "icd10cm":
        raise UserError(f"the CDC's index is one of ICD-10-CM, not of {ontology.edition}")
    files = year_files([paths] if isinstance(paths, Path) else paths)
    entries = {part: _read(file) for part, file in files.items() if part != "tabular"}
    codes, counts = IndexCodes(ontology), Counter[str]()
    pairs = [code for entry in entries["index"] for code in entry.codes if codes.resolve(code)]
    codes.counts.clear()
    neoplasms = entries.get("neoplasm", ())
    trees = {part: IndexTree(() if part == "neoplasm" else entries[part], neoplasms) for part in entries}
    tables: list[pl.DataFrame] = []
    for part, file in files.items():
        rows = _tabular_rows(file) if part == "tabular" else _rows(part, entries[part], trees[part], counts)
        tables.append(_table(rows, codes, counts).with_columns(kind=pl.lit(_KINDS[part]), source=pl.lit(file.name)))
    everything = pl.concat(tables).with_columns(language=pl.lit("en")).select(list(TERM_COLUMNS))
    terms = _without_titles(everything, ontology)
    counts[TITLE] += everything.height - terms.height
    return IndexTerms(
        terms=terms,
        year=next((file.year for file in files.values() if file.year), ""),
        num_pairs=len(pairs),
        num_codes=len(set(pairs)),
        counts=dict(sorted((counts + codes.counts).items())),
    )


def _read(file: YearFile) -> list[IndexEntry]:
    with file.stream() as stream:
        entries = list(read_entries(stream, file.name))
    if not entries:
        raise UserError(f"{file.name} has no entry (<mainTerm>); it is no index of the CDC")
    return entries


def _rows(part: str, entries: Iterable[IndexEntry], tree: IndexTree, counts: Counter[str]) -> Iterator[Row]:
    for entry in entries:
        if part in _TABLES:
            yield from _table_rows(part, entry, tree, counts)
        elif entry.codes:
            yield from _pairs(part, entry, tree)
        else:
            yield from _reference_rows(part, entry, tree, counts)


def _table_rows(part: str, entry: IndexEntry, tree: IndexTree, counts: Counter[str]) -> Iterator[Row]:
    if not entry.cells and entry.see:
        try:
            entry = replace(entry, cells=tree.cells(entry.see[0]))
        except DanglingReference as reason:
            counts[str(reason)] += 1
    yield from _TABLES[part](entry)


def _pairs(part: str, entry: IndexEntry, tree: IndexTree) -> Iterator[Row]:
    terms = readable_terms(entry.path, inverted=part != "eindex", below=tree.below(entry.path))
    yield from ((terms, code) for code in (*entry.codes, *entry.manifestations))


def _reference_rows(part: str, entry: IndexEntry, tree: IndexTree, counts: Counter[str]) -> Iterator[Row]:
    for reference in entry.see or entry.see_also:
        try:
            targets = tree.targets(reference)
        except DanglingReference as reason:
            counts[str(reason)] += 1
            continue
        for titles, code in targets:
            yield readable_terms((*entry.path, *titles), inverted=part != "eindex"), code


def _tabular_rows(file: YearFile) -> Iterator[Row]:
    with file.stream() as stream:
        yield from (([term], code) for code, term in _tabular_terms(stream, file.name))


def _table(rows: Iterable[Row], codes: IndexCodes, counts: Counter[str]) -> pl.DataFrame:
    """(code, term), none twice."""
    distinct: dict[tuple[str, str], None] = {}
    for terms, written in rows:
        short = [term for term in terms if 0 < len(term) <= LONGEST_TERM]
        counts[TOO_LONG] += len(terms) - len(short)
        named = codes.resolve(written)
        meant = ((code.code, code.term(term)) for code in named for term in short)
        distinct.update(dict.fromkeys((code, term) for code, term in meant if term))
    return pl.DataFrame(list(distinct), schema={"code": pl.String(), "term": pl.String()}, orient="row")


def _without_titles(terms: pl.DataFrame, ontology: Ontology) -> pl.DataFrame:
    """Without the rows whose term is the title that the code has today."""
    titles = ontology.nodes()
    table = pl.DataFrame({"code": list(titles), "title": list(titles.values())})
    is_title = pl.col("term").str.to_lowercase() == pl.col("title").str.to_lowercase()
    return terms.join(table, on="code", how="left").filter(~is_title.fill_null(False)).drop("title")


def _tabular_terms(file: BinaryIO, name: str) -> Iterator[tuple[str, str]]:
    """(code as written, term): the title and the inclusion terms of every code, in the order of the file.

    `name`: what errors call the file. Raises UserError where it is damaged.
    """
    for category in stream_elements(file, {"diag"}, name):
        for code in category.iter("diag"):
            written = _words(code.find("name"))
            for term in (*code.findall("desc"), *code.findall("inclusionTerm/note")):
                yield written, _words(term)


def _words(element: ET.Element | None) -> str:
    return " ".join("".join(element.itertext()).split()) if element is not None else ""
