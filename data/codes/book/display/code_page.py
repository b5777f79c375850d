"""One code with what stands around it, as plain values: what the page of `mera serve` shows of a code."""

import functools
from collections.abc import Mapping
from typing import TypedDict

from data.codes.book.book import CodeBook
from data.codes.book.display.code_facts import NamedNode, code_facts
from data.codes.book.store import choose_book
from data.ontology import UnknownCode, load_ontology

LONGEST_NOTE = 300
"""Characters of a note."""


class NamedCode(TypedDict):
    code: str
    definition: str


class CodePage(TypedDict):
    code: str
    definition: str
    edition: str | None
    is_candidate: bool
    path: list[NamedCode]
    """From the chapter down to the node above."""
    below: list[NamedCode]
    neighbours: list[NamedCode]
    """With the same node above them."""
    terms: list[str]
    notes: list[str]


def code_page(code: str, system: str | None, candidates: Mapping[str, str]) -> CodePage | None:
    """`candidates`: code -> definition of what a model ranks; `system`: their edition, or None for a national one,
    where the candidates are all that is known. None where there is no such code."""
    if system is None:
        return _page_of_candidate(code, candidates)
    try:
        load_ontology(system).resolve(code)
    except UnknownCode:
        return _page_of_candidate(code, candidates)
    facts = code_facts(code, system, _book(system), with_counterparts=False)
    return CodePage(
        code=facts.code.node,
        definition=candidates.get(facts.code.node, facts.code.title),
        edition=facts.edition,
        is_candidate=facts.code.node in candidates,
        path=[_named(node) for node in facts.path],
        below=[_named(node) for node in facts.below],
        neighbours=[_named(node) for node in facts.neighbours],
        terms=[term.term for term in facts.terms],
        notes=[f"{note.node} {note.kind}: {note.text[:LONGEST_NOTE]}" for note in (*facts.notes, *facts.inherited)],
    )


@functools.cache
def _book(system: str) -> CodeBook | None:
    """The user's code book of the edition, as it was when it was first asked for."""
    return choose_book("auto", system)


def _page_of_candidate(code: str, candidates: Mapping[str, str]) -> CodePage | None:
    """Its neighbours are the candidates with the same first three characters."""
    if code not in candidates:
        return None
    beside = [other for other in candidates if other[:3] == code[:3] and other != code]
    return CodePage(
        code=code,
        definition=candidates[code],
        edition=None,
        is_candidate=True,
        path=[],
        below=[],
        neighbours=[NamedCode(code=other, definition=candidates[other]) for other in sorted(beside)],
        terms=[],
        notes=[],
    )


def _named(node: NamedNode) -> NamedCode:
    return NamedCode(code=node.node, definition=node.title)
