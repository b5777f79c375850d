"""What a code is called: its definition and its further names. C codes."""

from dataclasses import dataclass

from bi_encoder.inputs.texts import key_texts
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class NamesOfCodes:
    """V names of C codes, those of a code together, in column order. The first of each is its definition."""

    texts: list[str]
    owner: list[int]
    """The column of the code that each text names, ascending."""


def further_names(task: Task) -> list[list[list[str]]]:
    """For each candidate its names beyond the definition, a list for each kind: inclusion terms (`Task.synonyms`) and
    the terms of a code book (`Task.terms_by_code`); no kind is empty."""
    kinds = zip(task.synonyms, task.terms_by_code(), strict=True)
    return [[list(names) for names in of_code if names] for of_code in kinds]


def names_for_scoring(task: Task, views_per_code: int) -> NamesOfCodes:
    """The definition of each candidate and, up to `views_per_code` in all, its further names, the shortest first.

    Short names are the usual ones: long ones add what few notes say.
    """
    texts: list[str] = []
    owner: list[int] = []
    for column, (definition, kinds) in enumerate(zip(key_texts(task), further_names(task), strict=True)):
        further = sorted((name for kind in kinds for name in kind), key=lambda name: (len(name), name))
        names = [definition, *further][:views_per_code]
        texts += names
        owner += [column] * len(names)
    return NamesOfCodes(texts=texts, owner=owner)
