"""Finds phrases in texts as they are: the search of Aho and Corasick (1975), and which of the matches count."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import ahocorasick
import numpy as np

from bi_encoder.baselines.phrases.words import Words, compared, words_of

CUE_REACH = 4
"""Words between a negation and the phrase that it negates."""


class Match(NamedTuple):
    """A phrase in a text."""

    phrase: str
    first: int
    """Number of its first word."""
    last: int


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


_NEGATIONS = """
no not denies denied without negative
niega sin ni descarta
kein keine keinen keiner keinerlei ohne verneint
sans aucun aucune
sem nega negou
senza
geen zonder
"""
_FAMILY = """
family mother father brother sister
familiar madre padre
mutter vater bruder schwester familienanamnese
mère père frère sœur familiaux
mãe pai irmão irmã
sorella fratello familiare
moeder vader broer familieanamnese
"""
"""In English, Spanish, German, French, Portuguese, Italian and Dutch."""
NEGATIONS, FAMILY = (frozenset(map(compared, words.split())) for words in (_NEGATIONS, _FAMILY))


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
