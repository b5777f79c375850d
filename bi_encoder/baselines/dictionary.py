"""A dictionary of phrases, each with the codes it names and how often it was right in training.

What a practitioner tries first on notes: look for the codes' names and for the words that annotators marked, and trust
a phrase as far as it was right on the training notes. N notes, C codes. The search is that of Aho and Corasick (1975).

Phrases may lie in one another: of `acute renal failure` each of the three parts speaks for what it was right about, and
that most `failure`s are of no code by that name is what training counts. Where little was counted, `longest_alone`
has the longest phrase take its words.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bi_encoder.baselines.phrases.finder import ALL_PHRASES, MatchRule, PhraseFinder
from bi_encoder.baselines.phrases.known import USUAL_PRECISION, Kind, Phrases, known_phrases, marked_phrases
from bi_encoder.baselines.phrases.words import words_of
from bi_encoder.evidence.attended_spans import Span
from mera.runs.fitted_contents import Contents

LEAST_LIFT = 2.0
"""By how much a code has to be likelier (its odds) behind a phrase than in any note, for the phrase to speak for it."""
Precisions = dict[str, dict[int, float]]
"""phrase -> column -> precision (0 to 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseSpan:
    """Characters `[start, end)` of a note that name a code."""

    column: int
    start: int
    end: int
    precision: float


class Dictionary:
    """Scores notes by the most precise phrase that names a code in them; 0 where none does."""

    kind: ClassVar[str] = "dictionary"

    def __init__(
        self,
        finder: PhraseFinder,
        precisions: Precisions,
        rule: MatchRule,
        num_codes: int,
        base_rates: np.ndarray | None = None,
    ):
        """`finder` finds the phrases of `precisions`. base_rates (C,): in which share of the training notes each code
        is true; None: nothing is known of it."""
        self.finder = finder
        self.precisions = precisions
        self.rule = rule
        self.num_codes = num_codes
        self.base_rates = np.zeros(num_codes) if base_rates is None else base_rates

    @classmethod
    def fit(
        cls,
        names: Sequence[Sequence[str]],
        texts: Sequence[str],
        targets: Sequence[Sequence[int]],
        spans: Sequence[Sequence[tuple[int, str]]] | None = None,
        *,
        smoothing: float = 1.0,
        rule: MatchRule = ALL_PHRASES,
    ) -> "Dictionary":
        """`known_phrases`, counted in the training notes and weighed: see `PhraseCounts`."""
        phrases = known_phrases(names, texts, targets, spans)
        return PhraseCounts.of(phrases, texts, targets, spans, len(names), rule).dictionary(smoothing)

    def scores(self, texts: Iterable[str]) -> np.ndarray:
        """(N, C) float32: the precision of the most precise phrase."""
        return self.scores_of(self.finder.phrases_in(text, self.rule) for text in texts)

    def scores_of(self, found: Iterable[Iterable[str]]) -> np.ndarray:
        """(N, C) float32, of the phrases that were found in each text."""
        rows = []
        for phrases in found:
            row = np.zeros(self.num_codes, dtype=np.float32)
            for phrase in phrases:
                for column, precision in self.precisions[phrase].items():
                    row[column] = max(row[column], precision)
            rows.append(row)
        return np.stack(rows) if rows else np.zeros((0, self.num_codes), dtype=np.float32)

    def spans(self, text: str) -> list[PhraseSpan]:
        """The phrases of a note with their codes, in order: the evidence for them. Of a code's phrases that lie in one
        another the longest. A phrase that says hardly more than how frequent the code is speaks for nothing."""
        words = words_of(text)
        spans, behind = [], defaultdict[int, int](int)
        for match in self.finder.matches(words, self.rule):
            start, end = words.starts[match.first], words.ends[match.last]
            for column, precision in self.precisions[match.phrase].items():
                base_rate = self.base_rates[column]
                says_more = precision * (1 - base_rate) >= LEAST_LIFT * base_rate * (1 - precision)
                if end > behind[column] and says_more:
                    behind[column] = end
                    spans.append(PhraseSpan(column=column, start=start, end=end, precision=precision))
        return spans

    def evidence(self, note: str, columns: np.ndarray) -> list[list[Span]]:
        """For each code of `columns` the phrases that name it, weighted by their precision; those that overlap as one,
        with the higher."""
        places: dict[int, list[Span]] = {column: [] for column in columns.tolist()}
        for span in self.spans(note):
            if span.column not in places:
                continue
            found, start, weight = places[span.column], span.start, span.precision
            if found and start < found[-1].end:
                before = found.pop()
                start, weight = before.start, max(weight, before.weight)
            found.append(Span(start=start, end=span.end, weight=weight))
        return list(places.values())

    def contents(self) -> Contents:
        pairs = [pair for columns in self.precisions.values() for pair in columns.items()]
        return Contents(
            settings={**self.rule._asdict(), "num_codes": self.num_codes},
            arrays={
                "codes_per_phrase": np.array([len(columns) for columns in self.precisions.values()], dtype=np.int32),
                "columns": np.array([column for column, _ in pairs], dtype=np.int32),
                "precisions": np.array([precision for _, precision in pairs], dtype=np.float64),
                "base_rates": np.asarray(self.base_rates, dtype=np.float64),
            },
            lists={"phrases": list(self.precisions)},
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "Dictionary":
        columns, precisions = (contents.arrays[name].tolist() for name in ("columns", "precisions"))
        ends = np.cumsum(contents.arrays["codes_per_phrase"]).tolist()
        of_phrase = {
            phrase: dict(zip(columns[start:end], precisions[start:end], strict=True))
            for phrase, start, end in zip(contents.lists["phrases"], [0, *ends], ends, strict=False)
        }
        rule = MatchRule(*(bool(contents.settings[name]) for name in MatchRule._fields))
        base_rates = contents.arrays.get("base_rates")  # none in a run of before
        return cls(PhraseFinder(of_phrase), of_phrase, rule, int(contents.number("num_codes")), base_rates)


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseCounts:
    """How often phrases stand in the training notes by the rule, and in how many of these their code is true."""

    phrases: Phrases
    rows: Mapping[str, int]
    """Notes with the phrase."""
    right: Mapping[tuple[str, int], int]
    """Notes with the phrase that have the code."""
    marked: Mapping[tuple[str, int], int]
    """Those of them in which the phrase was marked for the code."""
    finder: PhraseFinder
    rule: MatchRule
    num_codes: int
    base_rates: np.ndarray
    """(C,): in which share of the notes each code is true."""

    @classmethod
    def of(
        cls,
        phrases: Phrases,
        texts: Sequence[str],
        targets: Sequence[Sequence[int]],
        spans: Sequence[Sequence[tuple[int, str]]] | None,
        num_codes: int,
        rule: MatchRule,
        finder: PhraseFinder | None = None,
    ) -> "PhraseCounts":
        """texts, targets, spans: of each training note, its true columns and, where notes have evidence, (column,
        marked words). `finder` (unset: a new one) finds these phrases."""
        finder = finder or PhraseFinder(phrases)
        rows, right, marked = Counter[str](), Counter[tuple[str, int]](), Counter[tuple[str, int]]()
        marks = map(set, marked_phrases(spans or [()] * len(texts)))
        for text, true, marked_here in zip(texts, map(set, targets), marks, strict=True):
            for phrase in finder.phrases_in(text, rule):
                named = [(phrase, column) for column in phrases[phrase] if column in true]
                rows[phrase] += 1
                right.update(named)
                marked.update(pair for pair in named if pair in marked_here)
        true_in = np.zeros(num_codes)
        for columns in targets:
            true_in[list(set(columns))] += 1
        return cls(
            phrases=phrases,
            rows=rows,
            right=right,
            marked=marked,
            finder=finder,
            rule=rule,
            num_codes=num_codes,
            base_rates=true_in / (len(targets) + 2),  # a handful of notes shows no rate of 1
        )

    def dictionary(self, smoothing: float) -> Dictionary:
        """A phrase that stands in n notes, of which t have the code, has the precision
        (t + smoothing * `usual_precisions` of its kind) / (n + smoothing)."""
        usual = self.usual_precisions()
        precisions = {
            phrase: {
                column: (self.right.get((phrase, column), 0) + smoothing * usual[meaning.kind])
                / (self.rows.get(phrase, 0) + smoothing)
                for column, meaning in columns.items()
            }
            for phrase, columns in self.phrases.items()
        }
        return Dictionary(self.finder, precisions, self.rule, self.num_codes, self.base_rates)

    def usual_precisions(self) -> dict[Kind, float]:
        """Kind -> the mean precision of its phrases, and of one with USUAL_PRECISION, in the training notes where they
        were not marked: where they were, they are right by that. Sequences keep theirs, since they are such as were
        right there."""
        measured: dict[Kind, list[float]] = {kind: [precision] for kind, precision in USUAL_PRECISION.items()}
        for phrase, columns in self.phrases.items():
            for column, meaning in columns.items():
                marked = self.marked.get((phrase, column), 0)
                elsewhere = self.rows.get(phrase, 0) - marked
                if elsewhere > 0 and meaning.kind != "sequence":
                    right = self.right.get((phrase, column), 0) - marked
                    measured[meaning.kind].append(right / elsewhere)
        return {kind: sum(precisions) / len(precisions) for kind, precisions in measured.items()}
