"""Annotated evidence carried over to a translation of the note, where its place there is beyond doubt.

A translated note says the same in the same order, so a phrase is looked for near its relative place, by the words that
both languages share in nearly the same letters (Latin and Greek roots, names, numbers), or by a name of its code.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import datasets

from bi_encoder.index.words import latin_spelling
from data.task import Task
from data.task_folder.features import EvidenceSpan
from mera.system.errors import UserError

WORD = re.compile(r"\w+")
SHORTEST_WORD = 4
"""Shorter words are mostly function words, and alike by chance; numbers count at any length."""
SIMILAR = 0.72
"""Least similarity (`SequenceMatcher.ratio`) of two words without accents that are taken for one word."""
SECOND_BEST = 0.08
"""A word of another place must be less similar by so much, else the place is in doubt."""
MOST_GAP = 3
"""Words that may lie between two words of a phrase in the translation."""
NEIGHBOURHOOD = 0.06
"""Of the note's length to both sides, where a phrase is looked for; at least FEWEST_CHARACTERS."""
FEWEST_CHARACTERS = 160


@dataclass(kw_only=True, slots=True)
class TransferCounts:
    """What became of the spans of a split."""

    by_words: int = 0
    by_names: int = 0
    in_doubt: int = 0
    """Several places, or none."""

    @property
    def total(self) -> int:
        return self.by_words + self.by_names + self.in_doubt

    def sentence(self) -> str:
        return (
            f"evidence of the translation: of {self.total:,} spans {self.by_words:,} are carried over by shared words, "
            f"{self.by_names:,} by a name of their code; {self.in_doubt:,} are in doubt and left out"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Word:
    plain: str
    start: int
    end: int


def evidence_from(
    task: Task, translated: Task, split: str, names: Sequence[Sequence[str]], counts: TransferCounts
) -> list[list[EvidenceSpan]]:
    """For each example of a split of `task` the evidence that the same example of `translated`, the task in the
    language of the annotators, has. `names` (C): of each candidate in the language of `task`.

    Raises UserError where `translated` lacks an example of the split.
    """
    rows = {row["example_id"]: row for row in translated.splits[split]}
    evidence = []
    for row in task.splits[split]:
        other = rows.get(row["example_id"])
        if other is None:
            raise UserError(
                f"{translated.path} has not all examples of the {split} split of {task.path}; the translation must be "
                f"the same corpus, prepared with the same options in the language of its annotators"
            )
        spans = other["evidence"] if row["text"] and other["text"] else []
        evidence.append(carried_over(spans, other["text"] or "", row["text"] or "", task.column, names, counts))
    return evidence


def with_evidence_of(task: Task, translated: Task, names: Sequence[Sequence[str]], counts: TransferCounts) -> Task:
    """`task` with `evidence_from` in its training split; its other splits and its fingerprint stay as they are.

    Raises UserError where `translated` is another corpus or has no evidence.
    """
    train = task.splits["train"]
    evidence = evidence_from(task, translated, "train", names, counts)
    if not counts.total:
        raise UserError(f"{translated.path} has no evidence that could be carried over to {task.path}")
    rows = [{**row, "evidence": spans} for row, spans in zip(train, evidence, strict=True)]
    splits = datasets.DatasetDict({**task.splits, "train": datasets.Dataset.from_list(rows, features=train.features)})
    return replace(task, splits=splits)


def carried_over(
    spans: Iterable[EvidenceSpan],
    source: str,
    target: str,
    column: dict[str, int],
    names: Sequence[Sequence[str]],
    counts: TransferCounts,
) -> list[EvidenceSpan]:
    """The spans of the note `source` that have one place in its translation `target`."""
    source_words, target_words = _words(source), _words(target)
    carried: list[EvidenceSpan] = []
    for span in spans:
        phrase = [word for word in source_words if word.start < span["end"] and word.end > span["start"]]
        middle = (span["start"] + span["end"]) / 2 / max(len(source), 1) * len(target)
        reach = max(FEWEST_CHARACTERS, NEIGHBOURHOOD * len(target))
        near = [word for word in target_words if abs((word.start + word.end) / 2 - middle) <= reach]
        place = _place_by_words(phrase, near)
        if place is not None:
            counts.by_words += 1
        elif span["code"] in column:
            place = _place_by_name(names[column[span["code"]]], near)
            counts.by_names += place is not None
        if place is None:
            counts.in_doubt += 1
        else:
            carried.append({"code": span["code"], "start": place[0], "end": place[1]})
    return carried


def _place_by_words(phrase: Sequence[_Word], near: Sequence[_Word]) -> tuple[int, int] | None:
    """Where the words of a phrase that both languages share are; None where one of them has two places, none is shared,
    or they lie apart."""
    places: list[int] = []
    for word in phrase:
        if not _counts(word.plain):
            continue
        scored = sorted(((_similarity(word.plain, other.plain), at) for at, other in enumerate(near)), reverse=True)
        if not scored or scored[0][0] < SIMILAR:
            continue
        if len(scored) > 1 and scored[1][0] > scored[0][0] - SECOND_BEST:
            return None
        places.append(scored[0][1])
    if not places or max(places) - min(places) > len(phrase) + MOST_GAP:
        return None
    return near[min(places)].start, near[max(places)].end


def _place_by_name(names: Iterable[str], near: Sequence[_Word]) -> tuple[int, int] | None:
    """The one place where a name of the code stands word for word; of several names the longest."""
    for name in sorted(names, key=len, reverse=True):
        words = [word.plain for word in _words(name)]
        if not words or not any(_counts(word) for word in words):
            continue
        starts = [
            at
            for at in range(len(near) - len(words) + 1)
            if all(near[at + offset].plain == word for offset, word in enumerate(words))
        ]
        if len(starts) == 1:
            return near[starts[0]].start, near[starts[0] + len(words) - 1].end
    return None


def _words(text: str) -> list[_Word]:
    return [
        _Word(plain=latin_spelling(match[0]), start=match.start(), end=match.end()) for match in WORD.finditer(text)
    ]


def _counts(word: str) -> bool:
    return len(word) >= SHORTEST_WORD or word.isdigit()


def _similarity(one: str, other: str) -> float:
    if not _counts(other) or one.isdigit() != other.isdigit():
        return 0.0
    if one == other:
        return 1.0
    if one.isdigit() or one[:2] != other[:2]:
        return 0.0
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
