"""The codes that stage one learns: of a prepared task, of an ontology alone, or those a checkpoint was trained on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, TypeVar

import numpy as np

from data.codes.code_table import code_table, group_table
from data.ontology import load_ontology
from data.task import LEVELS, Task
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
        """sha256 of the codes, their definitions, synonyms and groups."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def record(self) -> CodeSetRecord:
        """What a checkpoint keeps."""
        return {
            "name": self.name,
            "edition": self.edition,
            "codes": self.codes,
            "definitions": self.definitions,
            "synonyms": self.synonyms,
            "level_groups": self.level_groups,
            "group_names": self.group_names,
        }

    def subset(self, codes: Sequence[str]) -> "CodeSet":
        """Those of `codes` that are here, in the order they have here."""
        wanted = set(codes)
        places = [index for index, code in enumerate(self.codes) if code in wanted]

        def pick(values: Sequence[Item]) -> list[Item]:
            return [values[index] for index in places]

        return replace(
            self,
            codes=pick(self.codes),
            definitions=pick(self.definitions),
            synonyms=pick(self.synonyms),
            level_groups={level: pick(groups) for level, groups in self.level_groups.items()},
            train_counts=None if self.train_counts is None else pick(self.train_counts),
        )

    def spread(self, number: int | None) -> "CodeSet":
        """`number` codes at even distances in the order, so that all chapters stay; all where there are not so many."""
        if number is None or number >= len(self.codes):
            return self
        return self.subset([self.codes[index] for index in np.linspace(0, len(self.codes) - 1, number).astype(int)])


def task_codes(task: Task) -> CodeSet:
    """The candidates of a prepared task. Raises ValueError where it has none."""
    return CodeSet(
        name=task.path.name,
        edition=task.info.get("edition", "unknown edition"),
        codes=task.codes,
        definitions=task.definitions,
        synonyms=task.synonyms,
        level_groups={level: task.groups(level) for level in LEVELS},
        group_names=task.group_names,
        train_counts=task.train_counts.tolist(),
    )


def ontology_codes(system: str) -> CodeSet:
    """Every leaf of the ontology `icd9cm` (14,567 codes), `icd10cm` (74,719) or `icd10who` (10,658)."""
    ontology = load_ontology(system)
    table = code_table(ontology.leaves(), ontology)
    names: dict[str, dict[str, str]] = {level: {} for level in LEVELS}
    for level, group, name in group_table(table, ontology).iter_rows():
        names[level][group] = name
    return CodeSet(
        name=system,
        edition=ontology.edition,
        codes=table["code"].to_list(),
        definitions=table["definition"].to_list(),
        synonyms=table["synonyms"].to_list(),
        level_groups={level: table[level].to_list() for level in LEVELS},
        group_names=names,
    )
