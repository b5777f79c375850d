"""Phrases that name codes: what they are taken from, and the form in which they are compared. N notes, C codes.

From the codes' definitions, synonyms and terms of a code book; from the spans that training notes have as evidence;
and, where notes have none, from word sequences that mostly stand in notes with a code. Texts and phrases are compared
in lower case, without accents and plural endings.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from mera.system.errors import UserError

SEQUENCE_NOTES = 2_000
"""Training notes that are searched for sequences, the first ones."""
LONGEST_SEQUENCE = 4
"""Words."""
SEQUENCE_ROWS, SEQUENCE_SHARE = 2, 0.5
"""A sequence names a code where so many training notes with it have the code, and so large a share of them."""
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?;\n]")

Kind = Literal["name", "marked", "marked name", "sequence"]


class Meaning(NamedTuple):
    """How a phrase is known to name a code."""

    kind: Kind
    marked_in: int = 0
    """Training notes in which annotators marked it for the code."""


Phrases = dict[str, dict[int, Meaning]]
"""phrase -> column of a code that it names -> how that is known."""


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


def known_phrases(
    names: Sequence[Sequence[str]],
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    spans: Sequence[Sequence[tuple[int, str]]] | None = None,
) -> Phrases:
    """The phrases that name a code.

    `names`: the names of each code (C). `texts`, `targets`, `spans`: of each training note (N), its true columns and,
    where the notes have evidence, (column, marked words). Raises UserError where there is no phrase at all.
    """
    return some(with_learnt_phrases(phrases_of_names(names), texts, targets, spans))


def some(phrases: Phrases) -> Phrases:
    """Raises UserError where there are none."""
    if not phrases:
        raise UserError("none of the codes has a name of a letter or a digit to look for")
    return phrases


def phrases_of_names(names: Sequence[Sequence[str]]) -> list[tuple[str, int]]:
    """(phrase, column) of all names."""
    return [(phrase, column) for column, of_code in enumerate(names) for phrase in filter(None, map(_phrase, of_code))]


def with_learnt_phrases(
    of_names: Iterable[tuple[str, int]],
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    spans: Sequence[Sequence[tuple[int, str]]] | None = None,
) -> Phrases:
    """As `known_phrases`, of names that were read before; there may be none."""
    phrases: Phrases = {}
    for phrase, column in of_names:
        phrases.setdefault(phrase, {})[column] = Meaning("name")
    if spans is not None:
        for (phrase, column), notes in _marked_in(spans).items():
            columns = phrases.setdefault(phrase, {})
            columns[column] = Meaning("marked name" if column in columns else "marked", notes)
    else:
        for phrase, column in _sequence_phrases(texts, targets):
            phrases.setdefault(phrase, {}).setdefault(column, Meaning("sequence"))
    return phrases


def together(text: str, spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, str]]:
    """(column, start, end) of marked characters of a text -> (column, the words marked for it in one sentence).

    Annotators mark words that lie apart, and a task has each such piece as a span of its own.
    """
    words = words_of(text)
    of_sentence: dict[tuple[int, int], list[str]] = {}
    for column, start, end in sorted(spans, key=lambda span: span[1:]):
        word = bisect_right(words.ends, start)
        sentence = words.sentences[word] if word < len(words.sentences) else -1
        of_sentence.setdefault((column, sentence), []).append(text[start:end])
    return [(column, " ".join(pieces)) for (column, _), pieces in of_sentence.items()]


def words_of(text: str) -> Words:
    """The words of a text as they are compared, with their places."""
    each, starts, ends, sentences = [], [], [], []
    sentence, behind = 0, 0
    for found in _WORD.finditer(text):
        word = compared(found[0])
        if not word:
            continue
        sentence += _SENTENCE_END.search(text, behind, found.start()) is not None
        behind = found.end()
        each.append(word)
        starts.append(found.start())
        ends.append(found.end())
        sentences.append(sentence)
    return Words(f" {' '.join(each)} ", starts, ends, sentences)


def compared(word: str) -> str:
    """Lower case, ß as ss, without accents; of more than four letters without the s, e or es at the end."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    word = "".join(letter for letter in letters if letter.isalnum())
    for ending in ("s", "e"):
        word = word.removesuffix(ending) if len(word) > 4 else word
    return word


def _phrase(text: str) -> str | None:
    """None where it has fewer than three letters."""
    joined = words_of(text).joined
    return joined if len(joined.replace(" ", "")) > 2 else None


def _marked_in(spans: Sequence[Sequence[tuple[int, str]]]) -> Counter[tuple[str, int]]:
    """(phrase, column) -> notes in which it is marked."""
    notes = Counter[tuple[str, int]]()
    for row in spans:
        notes.update({(phrase, column) for column, text in row if (phrase := _phrase(text)) is not None})
    return notes


def _sequence_phrases(texts: Sequence[str], targets: Sequence[Sequence[int]]) -> Iterable[tuple[str, int]]:
    """Sequences of words with the codes that most notes with them have."""
    rows, right = Counter[str](), Counter[tuple[str, int]]()
    of_notes = [_sequences(text) for text in texts[:SEQUENCE_NOTES]]
    for sequences in of_notes:
        rows.update(sequences)
    for sequences, true in zip(of_notes, targets[:SEQUENCE_NOTES], strict=True):
        frequent = [sequence for sequence in sequences if rows[sequence] >= SEQUENCE_ROWS]
        right.update((sequence, column) for sequence in frequent for column in true)
    for (sequence, column), count in right.items():
        if count >= SEQUENCE_ROWS and count >= SEQUENCE_SHARE * rows[sequence]:
            yield sequence, column


def _sequences(text: str) -> set[str]:
    each = words_of(text).joined.split()
    return {
        f" {' '.join(each[start : start + length])} "
        for length in range(1, LONGEST_SEQUENCE + 1)
        for start in range(len(each) - length + 1)
    }
