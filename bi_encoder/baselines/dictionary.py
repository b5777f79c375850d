"""A dictionary of phrases, each with the codes it names and how often it was right in training.

What a practitioner tries first on notes: look for the codes' names and for the words that annotators marked, and trust
a phrase as far as it was right on the training notes. N notes, C codes.

Phrases may lie in one another: of `acute renal failure` each of the three parts speaks for what it was right about, and
that most `failure`s are of no code by that name is what training counts. Where little was counted, `longest_alone`
has the longest phrase take its words.

Phrases come from the codes' definitions, synonyms and terms of a code book, from the spans that training notes have as
evidence, and, where notes have none, from word sequences that mostly stand in notes with a code. Texts and phrases are
compared in lower case, without accents and plural endings. The search is that of Aho and Corasick (1975).
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ahocorasick
import numpy as np

from mera.system.errors import UserError

NAME_PRECISION, SPAN_PRECISION, SEQUENCE_PRECISION = 0.3, 0.5, 0.2
"""How often a phrase is taken to be right before it was seen: a name of a code, a span of evidence, a sequence."""
SEQUENCE_NOTES = 2_000
"""Training notes that are searched for sequences, the first ones."""
LONGEST_SEQUENCE = 4
"""Words."""
SEQUENCE_ROWS, SEQUENCE_SHARE = 2, 0.5
"""A sequence names a code where so many training notes with it have the code, and so large a share of them."""
CUE_REACH = 4
"""Words between a negation and the phrase that it negates."""
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?;\n]")


Phrases = dict[str, dict[int, float]]
"""phrase -> column -> precision (0 to 1)."""


class Words(NamedTuple):
    """The words of a text in the form that is compared, and where they stand."""

    joined: str
    """The words with a space around each: ` heart failure `."""
    starts: list[int]
    """The character of the text where each word begins."""
    ends: list[int]
    """The character behind each."""
    sentences: list[int]
    """The number of the sentence that each is in."""


class Match(NamedTuple):
    """A phrase in a text."""

    phrase: str
    first: int
    """Number of its first word."""
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseSpan:
    """Characters `[start, end)` of a note that name a code."""

    column: int
    start: int
    end: int
    precision: float


class MatchRule(NamedTuple):
    """Which of the phrases in a text count."""

    longest_alone: bool = False
    """Phrases that do not overlap, the longest first, then the earlier; else all."""
    leave_out_negated: bool = False
    """Not those with a negation, or a member of the family, in the words before them."""


ALL_PHRASES = MatchRule()


class PhraseFinder:
    """Finds phrases, such as `words_of` has them, in texts."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        for phrase in phrases:
            self._automaton.add_word(phrase, phrase)
        self._automaton.make_automaton()

    def matches(self, words: Words, rule: MatchRule) -> list[Match]:
        """Those that count, in the order of the text."""
        word_at = _word_numbers(words.joined)
        found = [
            Match(phrase, word_at[end - len(phrase) + 2], word_at[end - 1])
            for end, phrase in self._automaton.iter(words.joined)
        ]
        if rule.longest_alone:
            found = _longest_alone(found, len(words.starts))
        if rule.leave_out_negated:
            each = words.joined.split()
            found = [match for match in found if not _is_negated(each, words.sentences, match.first)]
        return sorted(found, key=lambda match: (match.first, -match.last))

    def phrases_in(self, text: str, rule: MatchRule) -> set[str]:
        """The phrases that count in a text, each once."""
        return {match.phrase for match in self.matches(words_of(text), rule)}


class Dictionary:
    """Scores notes by the most precise phrase that names a code in them; 0 where none does."""

    def __init__(self, finder: PhraseFinder, precisions: Phrases, rule: MatchRule, num_codes: int):
        """`finder` finds the phrases of `precisions`."""
        self.finder = finder
        self.precisions = precisions
        self.rule = rule
        self.num_codes = num_codes

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
        return PhraseCounts.of(phrases, texts, targets, len(names), rule).dictionary(smoothing)

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
        another the longest."""
        words = words_of(text)
        spans, behind = [], defaultdict[int, int](int)
        for match in self.finder.matches(words, self.rule):
            start, end = words.starts[match.first], words.ends[match.last]
            for column, precision in self.precisions[match.phrase].items():
                if end > behind[column]:
                    behind[column] = end
                    spans.append(PhraseSpan(column=column, start=start, end=end, precision=precision))
        return spans


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseCounts:
    """How often phrases stand in the training notes, and in how many of these their code is true."""

    phrases: Phrases
    """phrase -> column -> the precision that it is taken to have before it was seen."""
    rows: Mapping[str, int]
    """Notes with the phrase."""
    right: Mapping[tuple[str, int], int]
    """Notes with the phrase that have the code."""
    finder: PhraseFinder
    rule: MatchRule
    num_codes: int

    @classmethod
    def of(
        cls,
        phrases: Phrases,
        texts: Sequence[str],
        targets: Sequence[Sequence[int]],
        num_codes: int,
        rule: MatchRule,
        finder: PhraseFinder | None = None,
    ) -> "PhraseCounts":
        """texts, targets: of each training note, the true columns among the latter. `finder` (unset: a new one) finds
        these phrases."""
        finder = finder or PhraseFinder(phrases)
        rows, right = Counter[str](), Counter[tuple[str, int]]()
        for text, true in zip(texts, map(set, targets), strict=True):
            for phrase in finder.phrases_in(text, rule):
                rows[phrase] += 1
                right.update((phrase, column) for column in phrases[phrase] if column in true)
        return cls(phrases=phrases, rows=rows, right=right, finder=finder, rule=rule, num_codes=num_codes)

    def dictionary(self, smoothing: float) -> Dictionary:
        """A phrase that stands in n notes, of which t have the code, has the precision
        (t + smoothing * what it had before) / (n + smoothing)."""
        precisions = {
            phrase: {
                column: (self.right.get((phrase, column), 0) + smoothing * prior)
                / (self.rows.get(phrase, 0) + smoothing)
                for column, prior in columns.items()
            }
            for phrase, columns in self.phrases.items()
        }
        return Dictionary(self.finder, precisions, self.rule, self.num_codes)


def known_phrases(
    names: Sequence[Sequence[str]],
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    spans: Sequence[Sequence[tuple[int, str]]] | None = None,
) -> Phrases:
    """The phrases that name a code, with the precision that each is taken to have before it is counted.

    `names`: the names of each code (C). `texts`, `targets`, `spans`: of each training note (N), its true columns and,
    where the notes have evidence, (column, marked words). Raises UserError where there is no phrase at all.
    """
    phrases = _name_priors(names)
    if spans is not None:
        _raise_priors(phrases, _span_phrases(spans), SPAN_PRECISION)
    else:
        _raise_priors(phrases, _sequence_phrases(texts, targets), SEQUENCE_PRECISION)
    if not phrases:
        raise UserError("none of the codes has a name of a letter or a digit to look for")
    return phrases


def words_of(text: str) -> Words:
    """The words of a text as they are compared, with their places."""
    each, starts, ends, sentences = [], [], [], []
    sentence, behind = 0, 0
    for found in _WORD.finditer(text):
        word = _compared(found[0])
        if not word:
            continue
        sentence += _SENTENCE_END.search(text, behind, found.start()) is not None
        behind = found.end()
        each.append(word)
        starts.append(found.start())
        ends.append(found.end())
        sentences.append(sentence)
    return Words(f" {' '.join(each)} ", starts, ends, sentences)


def _compared(word: str) -> str:
    """Lower case, without accents; of more than four letters without the s, e or es at the end."""
    letters = unicodedata.normalize("NFKD", word.lower())
    word = "".join(letter for letter in letters if letter.isascii() and letter.isalnum())
    for ending in ("s", "e"):
        word = word.removesuffix(ending) if len(word) > 4 else word
    return word


NEGATIONS = frozenset(
    map(_compared, ("no", "not", "denies", "denied", "without", "negative", "niega", "sin", "ni", "descarta"))
)
FAMILY = frozenset(map(_compared, ("family", "mother", "father", "brother", "sister", "familiar", "madre", "padre")))


def _phrase(text: str) -> str | None:
    """None where it has fewer than three letters."""
    joined = words_of(text).joined
    return joined if len(joined) > 4 else None


def _name_priors(names: Sequence[Sequence[str]]) -> Phrases:
    priors: dict[str, dict[int, float]] = defaultdict(dict)
    for column, texts in enumerate(names):
        for phrase in filter(None, map(_phrase, texts)):
            priors[phrase][column] = NAME_PRECISION
    return dict(priors)


def _raise_priors(priors: Phrases, phrases: Iterable[tuple[str, int]], precision: float) -> None:
    for phrase, column in phrases:
        columns = priors.setdefault(phrase, {})
        columns[column] = max(columns.get(column, 0.0), precision)


def _span_phrases(spans: Sequence[Sequence[tuple[int, str]]]) -> Iterable[tuple[str, int]]:
    for row in spans:
        for column, text in row:
            phrase = _phrase(text)
            if phrase is not None:
                yield phrase, column


def _sequence_phrases(texts: Sequence[str], targets: Sequence[Sequence[int]]) -> Iterable[tuple[str, int]]:
    """Sequences of words with the codes that most notes with them have."""
    rows, right = Counter[str](), Counter[tuple[str, int]]()
    for text, true in zip(texts[:SEQUENCE_NOTES], targets[:SEQUENCE_NOTES], strict=True):
        each = words_of(text).joined.split()
        sequences = {
            f" {' '.join(each[start : start + length])} "
            for length in range(1, LONGEST_SEQUENCE + 1)
            for start in range(len(each) - length + 1)
        }
        rows.update(sequences)
        right.update((sequence, column) for sequence in sequences for column in true)
    for (sequence, column), count in right.items():
        if count >= SEQUENCE_ROWS and count >= SEQUENCE_SHARE * rows[sequence]:
            yield sequence, column


def _longest_alone(matches: Iterable[Match], num_words: int) -> list[Match]:
    """No word of the `num_words` twice: the longest match first, then the earlier."""
    taken, chosen = np.zeros(num_words, dtype=bool), []
    for match in sorted(matches, key=lambda match: (match.first - match.last, match.first)):
        if not taken[match.first : match.last + 1].any():
            taken[match.first : match.last + 1] = True
            chosen.append(match)
    return chosen


def _word_numbers(joined: str) -> list[int]:
    """For each character of ` heart failure ` the number of the word it is in; spaces count to the word before."""
    numbers, number = [], -1
    for place, character in enumerate(joined):
        number += character == " " and place < len(joined) - 1
        numbers.append(number)
    return numbers


def _is_negated(words: Sequence[str], sentences: Sequence[int], first: int) -> bool:
    """Whether a negation or a member of the family stands in the words before, in the same sentence."""
    before = range(max(0, first - CUE_REACH), first)
    cues = NEGATIONS | FAMILY
    return any(words[place] in cues and sentences[place] == sentences[first] for place in before)
