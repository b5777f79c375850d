"""The codes that stage one learns: of a prepared task, of an ontology alone, or those a checkpoint was trained on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
import polars as pl

from data.codes.book.book import CodeBook
from data.codes.book.task_terms import book_facts, task_terms
from data.codes.code_table import code_table, group_table
from data.ontology import load_ontology
from data.task import LEVELS, Task
from data.task_folder.book_parts import terms_of_codes
from data.task_folder.task_info import BookFacts
from memorize.code_sets.code_notes import code_relations
from mera.system.errors import UserError

Item = TypeVar("Item")


class CodeSetRecord(TypedDict):
    """A code set in JSON: the ontology's side only, no counts of patients; fields as in `CodeSet`."""

    name: str
    edition: str
    codes: list[str]
    definitions: list[str]
    synonyms: list[list[str]]
    level_groups: dict[str, list[str]]
    group_names: dict[str, dict[str, str]]
    terms: NotRequired[list[list[str]]]
    excluded: NotRequired[list[list[str]]]
    first: NotRequired[list[list[str]]]
    book: NotRequired[BookFacts]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeSet:
    """C codes in a fixed order; every list is in that order."""

    name: str
    """folder of the task, or name of the ontology"""
    edition: str
    codes: list[str]
    definitions: list[str]
    synonyms: list[list[str]]
    level_groups: dict[str, list[str]]
    """level -> group of each code"""
    group_names: dict[str, dict[str, str]]
    """level -> group -> its name"""
    train_counts: list[int] | None = None
    """training examples with the code among their targets; None where the codes come from no task"""
    terms: list[list[str]] | None = None
    """further names of each code, from a code book; None without one"""
    excluded: list[list[str]] | None = None
    """codes of this set that may not stand with each code (excludes1, either way); None where no notes are known"""
    first: list[list[str]] | None = None
    """codes of this set one of which must stand before each code (code first); None where no notes are known"""
    book: BookFacts | None = None
    """which code book the terms are from"""

    def __post_init__(self) -> None:
        if not self.codes:
            raise UserError(f"{self.name} holds no codes: there is nothing to memorize")

    def groups(self, level: str) -> list[str]:
        """The group of each code at `level`."""
        if level not in LEVELS:
            raise UserError(f"unknown level {level!r}; the levels are {', '.join(LEVELS)}")
        return self.level_groups[level]

    def meanings(self) -> dict[str, str]:
        """code -> definition."""
        return dict(zip(self.codes, self.definitions, strict=True))

    def texts(self) -> list[str]:
        """Every definition, synonym and name of a group."""
        names = [name for groups in self.group_names.values() for name in groups.values()]
        return [*self.definitions, *(text for texts in self.synonyms for text in texts), *names]

    def codes_called(self) -> dict[str, set[str]]:
        """Definition, synonym or term in lower case -> the codes that are called so."""
        called = defaultdict(set)
        rows = [[[definition] for definition in self.definitions], self.synonyms, *([self.terms] if self.terms else [])]
        for names_of_codes in rows:
            for code, names in zip(self.codes, names_of_codes, strict=True):
                for name in names:
                    called[name.casefold()].add(code)
        return called

    def right_codes(self) -> dict[str, set[str]]:
        """code -> the codes with the same definition: where a definition has several codes, each is a right answer."""
        by_definition = defaultdict(set)
        for code, definition in zip(self.codes, self.definitions, strict=True):
            by_definition[definition].add(code)
        return {code: by_definition[definition] for code, definition in self.meanings().items()}

    def ambiguous(self) -> int:
        """How many codes share their definition with another code."""
        return sum(len(codes) > 1 for codes in self.right_codes().values())

    def fingerprint(self) -> str:
        """sha256 of `record()`."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def record(self) -> CodeSetRecord:
        """What a checkpoint keeps."""
        record: CodeSetRecord = {
            "name": self.name,
            "edition": self.edition,
            "codes": self.codes,
            "definitions": self.definitions,
            "synonyms": self.synonyms,
            "level_groups": self.level_groups,
            "group_names": self.group_names,
        }
        if self.terms is not None:
            record["terms"] = self.terms
        if self.excluded is not None:
            record["excluded"] = self.excluded
        if self.first is not None:
            record["first"] = self.first
        if self.book is not None:
            record["book"] = self.book
        return record

    def with_notes(self, rules: pl.DataFrame) -> "CodeSet":
        """This set with what `rules` (RULE_SCHEMA) say of its codes."""
        excluded, first = code_relations(self.codes, rules)
        return replace(self, excluded=excluded, first=first)

    def subset(self, codes: Sequence[str]) -> "CodeSet":
        """Those of `codes` that are here, in the order they have here."""
        wanted = set(codes)
        places = [index for index, code in enumerate(self.codes) if code in wanted]

        def pick(values: Sequence[Item]) -> list[Item]:
            return [values[index] for index in places]

        def pick_codes(values: list[list[str]] | None) -> list[list[str]] | None:
            return None if values is None else [[code for code in row if code in wanted] for row in pick(values)]

        return replace(
            self,
            codes=pick(self.codes),
            definitions=pick(self.definitions),
            synonyms=pick(self.synonyms),
            level_groups={level: pick(groups) for level, groups in self.level_groups.items()},
            train_counts=None if self.train_counts is None else pick(self.train_counts),
            terms=None if self.terms is None else pick(self.terms),
            excluded=pick_codes(self.excluded),
            first=pick_codes(self.first),
        )

    def spread(self, number: int | None) -> "CodeSet":
        """`number` codes at even distances in the order, so that all chapters stay; all where there are not so many."""
        if number is None or number >= len(self.codes):
            return self
        return self.subset([self.codes[index] for index in np.linspace(0, len(self.codes) - 1, number).astype(int)])


def task_codes(task: Task, with_terms: bool = True) -> CodeSet:
    """The candidates of a prepared task, with the terms of its code book where `with_terms` says so. Raises UserError
    where it has no candidates."""
    terms = task.terms_by_code() if with_terms else []
    return CodeSet(
        name=task.path.name,
        edition=task.info.get("edition", "unknown edition"),
        codes=task.codes,
        definitions=task.definitions,
        synonyms=task.synonyms,
        level_groups={level: task.groups(level) for level in LEVELS},
        group_names=task.group_names,
        train_counts=task.train_counts.tolist(),
        terms=terms if any(terms) else None,
        book=task.info.get("book") if any(terms) else None,
    )


def ontology_codes(system: str, book: CodeBook | None = None) -> CodeSet:
    """Every leaf of the ontology `icd9cm` (14,567 codes), `icd10cm` (74,719) or `icd10who` (10,658), with the terms of
    a code book of that edition."""
    ontology = load_ontology(system)
    table = code_table(ontology.leaves(), ontology)
    names: dict[str, dict[str, str]] = {level: {} for level in LEVELS}
    for level, group, name in group_table(table, ontology).iter_rows():
        names[level][group] = name
    codes, definitions, synonyms = (table[column].to_list() for column in ("code", "definition", "synonyms"))
    terms: list[list[str]] = []
    if book is not None:
        rows = task_terms(codes, ontology, ontology, "full", book)
        terms = terms_of_codes(codes, definitions, synonyms, rows)
    return CodeSet(
        name=system,
        edition=ontology.edition,
        codes=codes,
        definitions=definitions,
        synonyms=synonyms,
        level_groups={level: table[level].to_list() for level in LEVELS},
        group_names=names,
        terms=terms if any(terms) else None,
        book=book_facts(book) if book is not None and any(terms) else None,
    )
