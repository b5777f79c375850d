"""Codes that no sentence of their note speaks for, by the words of their names.

A sentence speaks for a code where it holds at least SUPPORT of the weight of one of its names (title, synonyms, terms
of the code book): each word weighs by how few candidates' names hold it, words are compared by their first STEM
letters. An abbreviation that no name holds (`CHF`) is unknown, so a code without support is a place to look, no proof.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data.task import SPLITS, Task

SUPPORT = 0.5
STEM = 5
MOST_NOTES = 2_000
_WORD, _SENTENCE = re.compile(r"[^\W\d_]{3,}|\d+"), re.compile(r"[.;:\n]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Support:
    """How many true codes of notes some sentence speaks for."""

    notes: int
    """Looked at."""
    targets: int
    without: int
    """Targets that no sentence speaks for."""
    by_code: dict[str, tuple[int, int]]
    """Code -> its targets and those without support, where there are some, the most first."""


def support_of(task: Task, most_notes: int = MOST_NOTES, seed: int = 0) -> Support | None:
    """Of at most `most_notes` notes, drawn at random; None where the task has no notes."""
    places = [(name, row) for name in SPLITS for row, text in enumerate(task.splits[name]["text"]) if text]
    if not places:
        return None
    chosen = sorted(random.Random(seed).sample(places, min(most_notes, len(places))))
    names = _names(task)
    targets, without = Counter[str](), Counter[str]()
    for split, number in chosen:
        row = task.splits[split][number]
        sentences = [_stems(sentence) for sentence in _SENTENCE.split(row["text"])]
        for code in row["targets"]:
            if code not in names:
                continue
            targets[code] += 1
            without[code] += not is_supported(names[code], sentences)
    lacking = sorted((code for code in without if without[code]), key=lambda code: (-without[code], code))
    return Support(
        notes=len(chosen),
        targets=targets.total(),
        without=without.total(),
        by_code={code: (targets[code], without[code]) for code in lacking},
    )


def is_supported(names: Sequence[dict[str, float]], sentences: Sequence[frozenset[str]]) -> bool:
    """Whether one of `sentences` holds SUPPORT of the weight of one of `names` (stem -> weight)."""
    together = frozenset().union(*sentences)
    for name in names:
        least = SUPPORT * sum(name.values())
        if sum(weight for stem, weight in name.items() if stem in together) < least:
            continue
        if any(sum(weight for stem, weight in name.items() if stem in sentence) >= least for sentence in sentences):
            return True
    return False


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:STEM] for word in _WORD.findall(text.lower()))


def _names(task: Task) -> dict[str, list[dict[str, float]]]:
    """Candidate -> its names, each as stem -> weight."""
    stems: dict[str, list[frozenset[str]]] = {}
    for code, title, synonyms, terms in zip(
        task.codes, task.definitions, task.synonyms, task.terms_by_code(), strict=True
    ):
        own = [_stems(name) for name in (title, *synonyms, *terms)]
        stems[code] = [name for name in own if name]
    holders = Counter(stem for names in stems.values() for stem in frozenset().union(*names))
    weight = {stem: math.log(1 + len(stems) / count) for stem, count in holders.items()}
    return {code: [{stem: weight[stem] for stem in name} for name in names] for code, names in stems.items()}
