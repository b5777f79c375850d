"""What the notes of an edition say of the codes of a set: which exclude each other, and which comes first."""

from collections.abc import Sequence

import polars as pl

from data.codes.book.book import CodeBook
from data.codes.book.task_rules import edition_notes, task_rules
from data.codes.notes.code_ranges import is_heading
from data.ontology import load_ontology


def code_relations(codes: Sequence[str], rules: pl.DataFrame) -> tuple[list[list[str]], list[list[str]]]:
    """For each of `codes` those that may not stand with it (excludes1, whichever of the two has the note), and those
    one of which must stand before it (code first); in the order of `codes`. Notes of blocks and chapters are left out:
    they say the same of hundreds of codes.

    `rules`: RULE_SCHEMA of `data.task_folder.book_parts`; its subjects and objects may be codes that are not here.
    """
    place = {code: index for index, code in enumerate(codes)}
    excluded: list[set[int]] = [set() for _ in codes]
    first: list[set[int]] = [set() for _ in codes]
    for kind, node, subjects, objects in rules.select("kind", "node", "subjects", "objects").iter_rows():
        if is_heading(node):
            continue
        about, named = ({place[code] for code in row if code in place} for row in (subjects, objects))
        if kind == "excludes1":
            for subject in about:
                excluded[subject] |= named - {subject}
            for code in named:
                excluded[code] |= about - {code}
        elif kind == "code_first":
            for subject in about:
                first[subject] |= named - {subject}
    return _in_order(excluded, codes), _in_order(first, codes)


def ontology_rules(system: str, codes: Sequence[str], book: CodeBook | None) -> pl.DataFrame:
    """RULE_SCHEMA: the rules on some codes of an ontology, as a prepared task has them."""
    return task_rules(codes, load_ontology(system), edition_notes(system, book))


def _in_order(rows: Sequence[set[int]], codes: Sequence[str]) -> list[list[str]]:
    return [[codes[place] for place in sorted(row)] for row in rows]
