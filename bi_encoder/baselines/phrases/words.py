"""The words of a text in the form that is compared: in lower case, without accents and plural endings."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(
    r"[!?;]"
    r"|(?<!\b[A-Z])(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z][a-z])[.](?![\da-z])"  # neither `St. Vitus` nor `3.5`
    r"|(?<=\b[A-Z])[.](?=\s+[^\W\d_a-z])"  # behind `hepatitis C.` only where a capital follows, not in `H. pylori`
    r"|(?<![^\n]{59}[^\n:])\n|\n(?![^\S\n]*[^\W\d_])"  # a long line goes on in the next, where that has a letter first
)


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


def words_of(text: str) -> Words:
    """The words of a text as they are compared, with their places."""
    each, starts, ends, sentences = [], [], [], []
    sentence, behind = 0, 0
    for found in _WORD.finditer(text):
        word = compared(found[0])
        if not word:
            continue
        start = found.start()
        if text[behind:start] != " ":  # the fast way for most
            # Whether a sentence ends depends on the letter behind it too.
            sentence += _SENTENCE_END.search(text, behind, start + 1) is not None
        behind = found.end()
        each.append(word)
        starts.append(start)
        ends.append(found.end())
        sentences.append(sentence)
    return Words(f" {' '.join(each)} ", starts, ends, sentences)


@lru_cache(maxsize=100_000)  # a hospital's notes have few different words
def compared(word: str) -> str:
    """Lower case, ß as ss, without accents; of more than four letters without the s, e or es at the end."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    word = "".join(letter for letter in letters if letter.isalnum())
    for ending in ("s", "e"):
        word = word.removesuffix(ending) if len(word) > 4 else word
    return word
