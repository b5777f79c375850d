"""Which names of the codes are trained on, and which are only ever measured."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from memorize.code_sets.code_set import CodeSet
from memorize.code_sets.near_copies import near_copy_groups

Pair = tuple[str, str]
"""A code and a name of it."""


class NameCounts(TypedDict):
    """How many (code, name) pairs went where."""

    trained_synonyms: int
    held_out_synonyms: int
    trained_terms: int
    held_out_terms: int
    terms_left_out: int
    """beyond questions.terms_per_code, or all where questions.mixture.term_to_code is 0: not trained, not measured"""
    held_out_near_copies: int
    """of the terms that are measured: neither trained nor measured"""


@dataclass(frozen=True, kw_only=True, slots=True)
class NameSplit:
    """Synonyms are the inclusion terms that a task or an ontology package has; terms are what a code book adds."""

    trained_synonyms: list[Pair]
    held_out_synonyms: list[Pair]
    trained_terms: list[Pair]
    held_out_terms: list[Pair]
    terms_left_out: int
    held_out_near_copies: int

    def counts(self, train_terms: bool = True) -> NameCounts:
        """`train_terms`: whether `trained_terms` are trained on, or left out as well."""
        return {
            "trained_synonyms": len(self.trained_synonyms),
            "held_out_synonyms": len(self.held_out_synonyms),
            "trained_terms": len(self.trained_terms) if train_terms else 0,
            "held_out_terms": len(self.held_out_terms),
            "terms_left_out": self.terms_left_out + (0 if train_terms else len(self.trained_terms)),
            "held_out_near_copies": self.held_out_near_copies,
        }


def split_names(code_set: CodeSet, held_out: float, terms_per_code: int) -> NameSplit:
    """Hold out the share `held_out`, always the same draw for a code set, and at most `terms_per_code` terms to train.

    With a code book whole groups of near copies are held out, and none that holds a near copy of a definition: no
    wording that is measured is trained on in another order or with a word more. One term of each group is measured for
    each of its codes, lest fifty variants of one path count fifty times. Without a book the synonyms are drawn one by
    one. The draw does not depend on what is trained, so runs with and without the terms measure the same.
    """
    synonyms = _pairs(code_set, code_set.synonyms)
    if code_set.terms is None:
        held_out_pairs = random.Random(0).sample(synonyms, round(len(synonyms) * held_out))
        apart = set(held_out_pairs)
        return NameSplit(
            trained_synonyms=[pair for pair in synonyms if pair not in apart],
            held_out_synonyms=held_out_pairs,
            trained_terms=[],
            held_out_terms=[],
            terms_left_out=0,
            held_out_near_copies=0,
        )
    terms = _pairs(code_set, code_set.terms)
    definitions = list(zip(code_set.codes, code_set.definitions, strict=True))
    every = near_copy_groups([*definitions, *synonyms, *terms])
    trained_groups, groups = set(every[: len(definitions)]), every[len(definitions) :]
    held_out_groups = _draw_groups([group for group in groups if group not in trained_groups], held_out)
    of_synonym, of_term = groups[: len(synonyms)], groups[len(synonyms) :]
    trained = [(pair, group) for pair, group in zip(terms, of_term, strict=True) if group not in held_out_groups]
    drawn = _at_most(trained, terms_per_code)
    held_out_terms = [(pair, group) for pair, group in zip(terms, of_term, strict=True) if group in held_out_groups]
    measured = _one_of_each(held_out_terms)
    return NameSplit(
        trained_synonyms=[p for p, group in zip(synonyms, of_synonym, strict=True) if group not in held_out_groups],
        held_out_synonyms=[p for p, group in zip(synonyms, of_synonym, strict=True) if group in held_out_groups],
        trained_terms=drawn,
        held_out_terms=measured,
        terms_left_out=len(trained) - len(drawn),
        held_out_near_copies=len(held_out_terms) - len(measured),
    )


def _pairs(code_set: CodeSet, names: Sequence[Sequence[str]]) -> list[Pair]:
    return [(code, name) for code, row in zip(code_set.codes, names, strict=True) for name in row]


def _draw_groups(groups: Sequence[int], share: float) -> set[int]:
    distinct = list(dict.fromkeys(groups))
    return set(random.Random(0).sample(distinct, round(len(distinct) * share)))


def _one_of_each(terms: Sequence[tuple[Pair, int]]) -> list[Pair]:
    """One term of each code and group, any of them."""
    rng = random.Random(0)
    of_group: dict[tuple[str, int], list[Pair]] = defaultdict(list)
    for pair, group in terms:
        of_group[pair[0], group].append(pair)
    return [rng.choice(pairs) for pairs in of_group.values()]


def _at_most(terms: Sequence[tuple[Pair, int]], number: int) -> list[Pair]:
    """At most `number` terms of each code, in their order: one of each group before a second of any."""
    rng = random.Random(0)
    of_code: dict[str, dict[int, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair, group in terms:
        of_code[pair[0]][group].append(pair)
    drawn: set[Pair] = set()
    for rows in of_code.values():
        shuffled = [rng.sample(row, len(row)) for row in rng.sample(list(rows.values()), len(rows))]
        rounds = range(max(map(len, shuffled)))
        drawn.update([row[place] for place in rounds for row in shuffled if place < len(row)][:number])
    return [pair for pair, _ in terms if pair in drawn]
