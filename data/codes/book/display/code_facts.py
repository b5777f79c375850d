"""Everything known of one code: from the packages, and from a code book where there is one."""

import bisect
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from data.codes.book.book import CodeBook
from data.codes.book.tabular_notes import package_relations
from data.codes.code_columns import DroppedCode
from data.codes.gem import by_gem
from data.codes.notes.code_ranges import CodeOrder, is_heading, load_order
from data.ontology import SYSTEMS, Ontology, UnknownCode, load_ontology
from mera.system.errors import UserError

_NEAREST = 5
_SHORTEST = 2
"""Characters that a code must share with what was asked for to be named as near it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedNode:
    """A code, block or chapter with its title."""

    node: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A name of the code."""

    term: str
    language: str
    kind: str
    """Of `book.TERM_KINDS`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One note of the tabular list."""

    node: str
    kind: str
    """Of `book.RELATION_KINDS`."""
    text: str
    targets: tuple[str, ...]
    """Codes, or ranges as `E08-E13`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterpart:
    """What stands for the code in another edition."""

    system: str
    nodes: tuple[NamedNode, ...]
    """Empty where nothing does."""
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeFacts:
    """Everything known of one code."""

    code: NamedNode
    edition: str
    replaced: str | None
    """What was asked for, where that is retired, or has more digits than the edition, and `code` stands above it."""
    path: tuple[NamedNode, ...]
    """From the chapter down to the node above the code."""
    below: tuple[NamedNode, ...]
    neighbours: tuple[NamedNode, ...]
    """Codes with the same node above them."""
    terms: tuple[Term, ...]
    notes: tuple[Note, ...]
    inherited: tuple[Note, ...]
    """Of the nodes above, which hold for the code too; the nearest first."""
    counterparts: tuple[Counterpart, ...]


def code_facts(raw: str, system: str, book: CodeBook | None, with_counterparts: bool = True) -> CodeFacts:
    """`raw`: a code of `system` as written. `with_counterparts`: without them no other edition has to be read. Raises
    UserError, naming the nearest codes, where there is no such code."""
    ontology, order = load_ontology(system), load_order(system)
    try:
        code, is_exact = ontology.resolve(raw)
    except UnknownCode as error:
        raise UserError(f"{error}{_nearest(raw, ontology, order)}{_elsewhere(raw, system)}") from None
    ancestors = ontology.ancestors(code)
    relations = _relations(system, book)
    return CodeFacts(
        code=_named(code, ontology),
        edition=ontology.edition,
        replaced=None if is_exact else raw,
        path=tuple(_named_heading(node, code, ontology) for node in reversed(ancestors)),
        below=tuple(_named(child, ontology) for child in order.children(code)),
        neighbours=tuple(_named(node, ontology) for node in _neighbours(code, ancestors, ontology, order)),
        terms=_terms(code, ontology, book),
        notes=_notes(relations, [code]),
        inherited=_notes(relations, ancestors),
        counterparts=_counterparts(code, system) if with_counterparts else (),
    )


def _named(code: str, ontology: Ontology) -> NamedNode:
    return NamedNode(node=code, title=ontology.definition(code))


def _named_heading(node: str, code: str, ontology: Ontology) -> NamedNode:
    groups = ontology.groups(code)
    level = next((level for level in ("chapter", "block") if groups[level] == node), None)
    return _named(node, ontology) if level is None else NamedNode(node=node, title=ontology.group_name(level, node))


def _neighbours(code: str, ancestors: Sequence[str], ontology: Ontology, order: CodeOrder) -> list[str]:
    above = ancestors[0] if ancestors else code
    if above in order.end:
        return [child for child in order.children(above) if child != code]
    categories = (name for name in order.names if not is_heading(name) and "." not in name and name != code)
    return [name for name in categories if ontology.groups(name)["block"] == ontology.groups(code)["block"]]


def _terms(code: str, ontology: Ontology, book: CodeBook | None) -> tuple[Term, ...]:
    """The edition's own inclusion terms first; of terms that differ in case only the first."""
    terms = [Term(term=term, language="en", kind="inclusion") for term in ontology.synonyms(code)]
    if book is not None:
        rows = book.terms_of(code).select("term", "language", "kind")
        terms += [Term(term=term, language=language, kind=kind) for term, language, kind in rows.iter_rows()]
    distinct: dict[tuple[str, str], Term] = {}
    for each in terms:
        distinct.setdefault((each.term.casefold(), each.language), each)
    return tuple(distinct.values())


def _relations(system: str, book: CodeBook | None) -> pl.DataFrame | None:
    """The book's notes, or else those that the package of ICD-10-CM holds."""
    if book is not None and book.relations.height:
        return book.relations
    return package_relations() if system == "icd10cm" else None


def _notes(relations: pl.DataFrame | None, nodes: Sequence[str]) -> tuple[Note, ...]:
    if relations is None:
        return ()
    targets: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    rows = relations.filter(pl.col("node").is_in(list(nodes)))
    for node, kind, text, first, last in rows.select("node", "kind", "text", "target_first", "target_last").iter_rows():
        targets[node, kind, text] += [] if first is None else [first if first == last else f"{first}-{last}"]
    place = {node: number for number, node in enumerate(nodes)}
    keys = sorted(targets, key=lambda key: (place[key[0]], key[1]))
    return tuple(
        Note(node=node, kind=kind, text=text, targets=tuple(dict.fromkeys(targets[node, kind, text])))
        for node, kind, text in keys
    )


def _counterparts(code: str, system: str) -> tuple[Counterpart, ...]:
    if system == "icd9cm":
        return (_by_gem(code, system, "icd10cm"),)
    if system == "icd10cm":
        return _by_gem(code, system, "icd9cm"), _by_category(code, system, "icd10who")
    return (_by_category(code, system, "icd10cm"),)


def _by_gem(code: str, source: str, target: str) -> Counterpart:
    ontology = load_ontology(target)
    try:
        resolved = by_gem(source, target)(code)
    except (DroppedCode, UnknownCode):
        return Counterpart(system=target, nodes=(), how="the GEM translates only codes without others below them")
    how = "by the GEM" + (", one of several choices" if "several" in (resolved.change or "") else "")
    return Counterpart(system=target, nodes=tuple(_named(each, ontology) for each in resolved.codes), how=how)


def _by_category(code: str, source: str, target: str) -> Counterpart:
    """The same code of another edition of ICD-10, or the nearest of those above it."""
    ontology = load_ontology(target)
    for each in (code, *load_ontology(source).ancestors(code)):
        if not is_heading(each):
            with contextlib.suppress(UnknownCode):
                how = "the same code" if each == code else "the nearest code above it"
                return Counterpart(system=target, nodes=(_named(ontology.normalize(each), ontology),), how=how)
    return Counterpart(system=target, nodes=(), how="it has no such category")


def _nearest(raw: str, ontology: Ontology, order: CodeOrder) -> str:
    """`; the nearest are ...`, the codes that share the most first characters; empty where none shares two."""
    plain = "".join(character for character in raw.upper() if character.isalnum())
    place = bisect.bisect_left(order.alphabet, plain)
    for length in range(len(plain), _SHORTEST - 1, -1):
        sharing = [(number, code) for number, code in enumerate(order.alphabet) if code.startswith(plain[:length])]
        if sharing:
            longest = max(len(plain), min(len(code) for _, code in sharing))
            short = [each for each in sharing if len(each[1]) <= longest]
            near = sorted(sorted(short, key=lambda each: abs(each[0] - place))[:_NEAREST])
            codes = [order.ontology.dotted(code) for _, code in near]
            return "; the nearest are " + ", ".join(f"{code} ({ontology.definition(code)})" for code in codes)
    return ""


def _elsewhere(raw: str, system: str) -> str:
    """`; it is a code of ...`, the other editions that have it."""
    others = []
    for other in SYSTEMS:
        if other != system:
            with contextlib.suppress(UnknownCode):
                load_ontology(other).normalize(raw)
                others.append(other)
    return f"; it is a code of {' and '.join(others)} (--system {others[0]})" if others else ""
