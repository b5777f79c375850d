"""The CDC's files of ICD-9-CM: the alphabetic index in RTF, the tabular list in RTF or as text."""

import re
from collections import Counter
from collections.abc import Iterable

import polars as pl

from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS
from data.codes.book.icd9cm.index_lines import read_index
from data.codes.book.icd9cm.index_terms import index_terms
from data.codes.book.icd9cm.rtf_paragraphs import SIGNATURE, Paragraph, read_paragraphs
from data.codes.book.icd9cm.tabular import is_tabular, read_tabular
from data.codes.book.sources.book_part import BookPart, no_relations, term_rows, total
from data.codes.book.sources.unspecified_leaf import UnspecifiedLeaves
from data.codes.notes.code_ranges import load_order
from data.ontology import UnknownCode, load_ontology
from data.table_files.stored_files import InputFile

SYSTEM = "icd9cm"
_HEAD = 2000
"""Lines that show whether a text is the tabular list."""
UNKNOWN_CODE = "code in the index that the edition does not have"
TO_LEAF = "term of a code with codes below it, given to the unspecified one of them too"


def is_icd9_tabular(text: bytes) -> bool:
    """Whether the beginning of a text file is that of the tabular list."""
    return is_tabular(text[: 1 << 18].decode("utf-8", errors="replace").splitlines()[:_HEAD])


def read_icd9_rtf(rtf: bytes, name: str, file: InputFile) -> BookPart:
    """The index or the tabular list, whichever the RTF file called `name` holds."""
    paragraphs = list(read_paragraphs(rtf, name))
    lines = [paragraph.text for paragraph in paragraphs]
    return _tabular_part(lines, name, file) if is_tabular(lines[:_HEAD]) else _index_part(paragraphs, name, file)


def read_icd9_tabular(text: bytes, name: str, file: InputFile) -> BookPart:
    """The tabular list as text, in UTF-8 or Windows-1252."""
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = text.decode("cp1252", errors="replace").splitlines()
    return _tabular_part(lines, name, file)


def is_rtf(stored: bytes) -> bool:
    """Whether a file begins as RTF does."""
    return stored.startswith(SIGNATURE)


def _index_part(paragraphs: list[Paragraph], name: str, file: InputFile) -> BookPart:
    dropped, changed = Counter[str](), Counter[str]()
    ontology = load_ontology(SYSTEM)
    leaves = UnspecifiedLeaves(ontology, load_order(SYSTEM))
    known: dict[str, tuple[str, ...]] = {}

    def codes_of(raw: str) -> tuple[str, ...]:
        if raw not in known:
            try:
                code = ontology.resolve(raw)[0]
                known[raw] = tuple(dict.fromkeys((code, leaves.of(code))))
            except UnknownCode:
                known[raw] = ()
        dropped[UNKNOWN_CODE] += not known[raw]
        changed[TO_LEAF] += len(known[raw]) > 1
        return known[raw]

    index = read_index(paragraphs, name, dropped)
    kind = f"icd9cm index{_year(name, file.file_name)}"
    by_kind: dict[str, list[tuple[str, str, str]]] = {"index": [], "neoplasm": []}
    for code, term, term_kind in index_terms(index, codes_of, dropped):
        by_kind[term_kind].append((code, term, "en"))
    tables, counts = zip(*(term_rows(terms, each, kind, ontology) for each, terms in by_kind.items()), strict=True)
    return BookPart(
        system=SYSTEM,
        kind=kind,
        family="icd9cm index",
        file=file,
        terms=pl.concat(tables),
        relations=no_relations(),
        dropped=total([dropped, *counts]),
        changed=changed,
    )


def _tabular_part(lines: Iterable[str], name: str, file: InputFile) -> BookPart:
    order = load_order(SYSTEM)
    leaves = UnspecifiedLeaves(load_ontology(SYSTEM), order)
    kind = f"icd9cm tabular{_year(name, file.file_name)}"
    tabular = read_tabular(lines, name, order, kind)
    texts = [(each, term, "en") for code, term in tabular.terms for each in dict.fromkeys((code, leaves.of(code)))]
    terms, dropped = term_rows(texts, "inclusion", kind, load_ontology(SYSTEM))
    return BookPart(
        system=SYSTEM,
        kind=kind,
        family="icd9cm tabular",
        file=file,
        terms=terms.select(list(TERM_COLUMNS)),
        relations=tabular.relations.select(list(RELATION_COLUMNS)),
        dropped=total([tabular.dropped, dropped]),
        changed={TO_LEAF: len(texts) - len(tabular.terms)},
    )


def _year(*names: str) -> str:
    """` 2012` of `icd9cm_index_fy2012_rtf.zip` or `Dindex12.rtf`; empty where no name tells."""
    for name in names:
        if match := re.search(r"(?<!\d)(?:20(\d\d)|(\d\d)(?=\.))(?!\d)", name):
            return f" 20{match[1] or match[2]}"
    return ""
