"""The terms that the ICD-9-CM index gives to codes: its paths as one would say them, and those it refers to."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from data.codes.book.icd9cm.index_lines import Icd9Index
from data.codes.book.index.code_tables import neoplasm_terms
from data.codes.book.index.index_references import DanglingReference, IndexTree
from data.codes.book.index.index_xml import IndexEntry, Title
from data.codes.book.index.readable_terms import readable_terms

CodesOf = Callable[[str], Sequence[str]]
"""A code as written -> the codes of the edition that it stands for; none where it has no such code."""


def index_terms(index: Icd9Index, codes_of: CodesOf, dropped: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """(code, term, kind): kind is one of TERM_KINDS. References that lead nowhere are counted in `dropped`."""
    tree = IndexTree(index.entries, index.neoplasms)
    for entry in index.entries:
        own = (*entry.codes, *entry.manifestations)
        if own:
            terms = readable_terms(entry.path)
            yield from ((code, term, "index") for raw in own for code in codes_of(raw) for term in terms)
        else:
            yield from _referred(entry, tree, codes_of, dropped)
    for entry in index.neoplasms:
        for terms, raw in neoplasm_terms(_with_cells(entry, tree, dropped)):
            yield from ((code, term, "neoplasm") for code in codes_of(raw) for term in terms)


def _with_cells(entry: IndexEntry, tree: IndexTree, dropped: Counter[str]) -> IndexEntry:
    """A line of the table, with the columns of the line that it refers to where it has none."""
    if entry.cells or not entry.see:
        return entry
    try:
        return replace(entry, cells=tree.cells(entry.see[0]))
    except DanglingReference as reason:
        dropped[f"index line with a {reason}"] += 1
        return entry


def _referred(
    entry: IndexEntry, tree: IndexTree, codes_of: CodesOf, dropped: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    """The terms of a line without a code, which stand for the codes that it refers to."""
    for reference in entry.see or entry.see_also:
        try:
            targets: list[tuple[tuple[Title, ...], str]] = tree.targets(reference)
        except DanglingReference as reason:
            dropped[f"index line with a {reason}"] += 1
            continue
        for titles, raw in targets:
            terms = readable_terms((*entry.path, *titles))
            yield from ((code, term, "index") for code in codes_of(raw) for term in terms)
