"""Phrases that name codes, and what they are taken from. N notes, C codes.

From the codes' definitions, synonyms and terms of a code book; from the spans that training notes have as evidence;
and, where notes have none, from word sequences that mostly stand in notes with a code.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Literal, NamedTuple

from bi_encoder.baselines.phrases.sequences import telling_sequences
from bi_encoder.baselines.phrases.words import words_of
from mera.system.errors import UserError

REACH = 10
"""Words of one sentence among which those of a phrase may lie."""
Kind = Literal["name", "marked", "marked name", "sequence"]
USUAL_PRECISION: dict[Kind, float] = {"name": 0.3, "marked": 0.5, "marked name": 0.5, "sequence": 0.2}
"""How often a phrase of a kind is taken to be right before one of them was counted."""


class Meaning(NamedTuple):
    """How a phrase is known to name a code."""

    kind: Kind
    marked_in: int = 0
    """Training notes in which annotators marked it for the code."""


Phrases = dict[str, dict[int, Meaning]]
"""phrase -> column of a code that it names -> how that is known."""


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
    of_names: Sequence[tuple[str, int]],
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    spans: Sequence[Sequence[tuple[int, str]]] | None = None,
) -> Phrases:
    """As `known_phrases`, of names that were read before; there may be none."""
    phrases: Phrases = {}
    for phrase, column in of_names:
        phrases.setdefault(phrase, {})[column] = Meaning("name")
    if spans is not None:
        for (phrase, column), notes in Counter(chain.from_iterable(marked_phrases(spans))).items():
            columns = phrases.setdefault(phrase, {})
            columns[column] = Meaning("marked name" if column in columns else "marked", notes)
    else:
        for phrase, column in telling_sequences(texts, targets):
            phrases.setdefault(phrase, {}).setdefault(column, Meaning("sequence"))
    return phrases


def marked_phrases(spans: Sequence[Sequence[tuple[int, str]]]) -> Iterator[list[tuple[str, int]]]:
    """spans: of each note (column, marked words) -> (phrase, column), each once."""
    for row in spans:
        yield sorted({(phrase, column) for column, text in row if (phrase := _phrase(text)) is not None})


def together(text: str, spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, str]]:
    """(column, start, end) of marked characters of a text -> (column, the words marked for it among REACH of one
    sentence).

    Annotators mark words that lie apart, and a task has each such piece as a span of its own.
    """
    words = words_of(text)
    of_column: dict[int, list[list[range]]] = {}
    for column, start, end in sorted(spans, key=lambda span: (span[1], span[2])):
        piece = range(bisect_right(words.ends, start), bisect_left(words.starts, end))
        if not piece:
            continue
        groups = of_column.setdefault(column, [])
        if groups and _may_be_one(groups[-1][0].start, piece, words.sentences):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    found = []
    for column, groups in of_column.items():
        for pieces in groups:
            each = (text[words.starts[word] : words.ends[word]] for word in sorted(set(chain(*pieces))))
            found.append((column, " ".join(each)))
    return found


def _may_be_one(first: int, piece: range, sentences: Sequence[int]) -> bool:
    """Whether word `first` and those of the piece are of one sentence and stand close enough."""
    return sentences[first] == sentences[piece[0]] and piece[-1] - first < REACH


def _phrase(text: str) -> str | None:
    """None where it has fewer than three letters."""
    joined = words_of(text).joined
    return joined if len(joined.replace(" ", "")) > 2 else None
