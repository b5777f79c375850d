"""What a code is called: its definition and its further names. C codes."""

from collections.abc import Iterable
from dataclasses import dataclass

from bi_encoder.config import NameKind
from bi_encoder.evidence.annotated import phrases_of_codes
from bi_encoder.inputs.texts import key_texts, query_texts
from data.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class NamesOfCodes:
    """V names of C codes, those of a code together, in column order. The first of each is its definition."""

    texts: list[str]
    owner: list[int]
    """The column of the code that each text names, ascending."""


def further_names(task: Task, max_terms: int | None = None, max_spans: int = 0) -> dict[NameKind, list[list[str]]]:
    """Kind -> for each candidate its names of that kind beyond the definition: inclusion terms (`Task.synonyms`), and
    the terms of a code book (`Task.terms_by_code`), or its `max_terms` shortest. With `max_spans` also so many of the
    phrases that annotators marked for it in training notes, where they did."""
    terms = task.terms_by_code()
    names: dict[NameKind, list[list[str]]] = {
        "synonyms": [list(names) for names in task.synonyms],
        "terms": terms if max_terms is None else [shortest_first(names)[:max_terms] for names in terms],
    }
    if max_spans:
        names["spans"] = phrases_of_codes(task, query_texts(task, "train"), max_spans)
    return names


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


def names_for_scoring(task: Task, views_per_code: int, spans_per_code: int = 0) -> NamesOfCodes:
    """The definition of each candidate and, up to `views_per_code` in all, its further names, the shortest first;
    behind them up to `spans_per_code` phrases that annotators marked for it in training notes."""
    texts: list[str] = []
    owner: list[int] = []
    by_kind = list(further_names(task).values())
    spans = further_names(task, max_spans=spans_per_code)["spans"] if spans_per_code else [[] for _ in task.codes]
    for column, definition in enumerate(key_texts(task)):
        further = shortest_first([name for of_kind in by_kind for name in of_kind[column]])
        names = [definition, *further][:views_per_code]
        names += [phrase for phrase in spans[column] if phrase not in names]
        texts += names
        owner += [column] * len(names)
    return NamesOfCodes(texts=texts, owner=owner)
