"""What a code is called: its definition and its further names. C codes."""

from collections.abc import Iterable
from dataclasses import dataclass

from bi_encoder.config import NameKind
from bi_encoder.inputs.texts import key_texts
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class NamesOfCodes:
    """V names of C codes, those of a code together, in column order. The first of each is its definition."""

    texts: list[str]
    owner: list[int]
    """The column of the code that each text names, ascending."""


def further_names(task: Task, max_terms: int | None = None) -> dict[NameKind, list[list[str]]]:
    """Kind -> for each candidate its names of that kind beyond the definition: inclusion terms (`Task.synonyms`), and
    the terms of a code book (`Task.terms_by_code`), or its `max_terms` shortest."""
    terms = task.terms_by_code()
    return {
        "synonyms": [list(names) for names in task.synonyms],
        "terms": terms if max_terms is None else [shortest_first(names)[:max_terms] for names in terms],
    }


def all_names(task: Task) -> list[list[str]]:
    """For each candidate its definition and every further name, none of them twice."""
    rows = zip(key_texts(task), *further_names(task).values(), strict=True)
    return [
        list(dict.fromkeys([definition, *(name for of_kind in kinds for name in of_kind)]))
        for definition, *kinds in rows
    ]


def shortest_first(names: Iterable[str]) -> list[str]:
    """Short names are the usual ones: long ones add what few notes say."""
    return sorted(names, key=lambda name: (len(name), name))


def names_for_scoring(task: Task, views_per_code: int) -> NamesOfCodes:
    """The definition of each candidate and, up to `views_per_code` in all, its further names, the shortest first."""
    texts: list[str] = []
    owner: list[int] = []
    by_kind = list(further_names(task).values())
    for column, definition in enumerate(key_texts(task)):
        further = shortest_first([name for of_kind in by_kind for name in of_kind[column]])
        names = [definition, *further][:views_per_code]
        texts += names
        owner += [column] * len(names)
    return NamesOfCodes(texts=texts, owner=owner)
