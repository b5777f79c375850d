"""What a code is called: its definition and its further names. C codes."""

import re
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass

from bi_encoder.config import NameKind
from bi_encoder.evidence.annotated import phrases_of_codes
from bi_encoder.inputs.texts import key_texts, query_texts
from data.task import Task

ENGLISH = "en"
NOTES_LOOKED_AT = 200
"""To tell their language."""
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamesOfCodes:
    """V names of C codes, those of a code together, in column order. The first of each is its definition."""

    texts: list[str]
    owner: list[int]
    """The column of the code that each text names, ascending."""


def further_names(task: Task, max_terms: int | None = None, max_spans: int = 0) -> dict[NameKind, list[list[str]]]:
    """Kind -> for each candidate its names of that kind beyond the definition: inclusion terms (`Task.synonyms`), and
    the terms of a code book (`Task.terms_by_code`), or the first `max_terms` of them (`shortest_first`). With
    `max_spans` also so many of the phrases that annotators marked for it in training notes, where they did."""
    terms, own = task.terms_by_code(), terms_in_language_of_notes(task)
    names: dict[NameKind, list[list[str]]] = {
        "synonyms": [list(names) for names in task.synonyms],
        "terms": terms if max_terms is None else [shortest_first(names, own)[:max_terms] for names in terms],
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


def shortest_first(names: Iterable[str], before: Set[str] = frozenset()) -> list[str]:
    """Short names are the usual ones: long ones add what few notes say. Those of `before` come first, however long."""
    return sorted(names, key=lambda name: (name not in before, len(name), name))


def terms_in_language_of_notes(task: Task) -> frozenset[str]:
    """The terms in the language of the training notes, where that is none of English: a book has a few names in it
    beside thousands of English ones, of which the shortest would be taken. Empty for histories.

    Notes are in the language whose own words, such as stand in no name of another, they have most of.
    """
    words: dict[str, set[str]] = {ENGLISH: _words(task.definitions)}
    for language, terms in task.terms.group_by("language").agg("term").iter_rows():
        words.setdefault(language, set()).update(_words(terms))
    notes = [text for text in task.splits["train"]["text"][:NOTES_LOOKED_AT] if text]
    if len(words) < 2 or not notes:
        return frozenset()
    counts = Counter(word for note in notes for word in _WORD.findall(note.lower()))
    of_others = {name: set().union(*(words[other] for other in words if other != name)) for name in words}
    told = {name: sum(counts[word] for word in words[name] - of_others[name]) for name in sorted(words)}
    language = max(told, key=lambda name: told[name])
    return frozenset() if language == ENGLISH else frozenset(task.terms.filter(language=language)["term"])


def _words(names: Iterable[str]) -> set[str]:
    return {word for name in names for word in _WORD.findall(name.lower())}


def names_for_scoring(task: Task, views_per_code: int, spans_per_code: int = 0) -> NamesOfCodes:
    """The definition of each candidate and, up to `views_per_code` in all, its further names (`shortest_first`); behind
    them up to `spans_per_code` phrases that annotators marked for it in training notes."""
    texts: list[str] = []
    owner: list[int] = []
    by_kind, own = list(further_names(task).values()), terms_in_language_of_notes(task)
    spans = further_names(task, max_spans=spans_per_code)["spans"] if spans_per_code else [[] for _ in task.codes]
    for column, definition in enumerate(key_texts(task)):
        further = shortest_first([name for of_kind in by_kind for name in of_kind[column]], own)
        names = [definition, *further][:views_per_code]
        names += [phrase for phrase in spans[column] if phrase not in names]
        texts += names
        owner += [column] * len(names)
    return NamesOfCodes(texts=texts, owner=owner)
