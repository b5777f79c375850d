"""The words of texts as a term index compares them: without case, accents, plurals, and the words that name nothing."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

WORD = r"[\p{L}\p{M}\p{N}]{2,}|\p{N}"
"""Two or more letters or digits, or one digit, in the syntax of polars."""
NAMING_NOTHING = frozenset({"unspecified", "specified", "nos", "nec", "classified"})
"""Words of the classifications themselves. No note has them, so they must not count as missing."""
FUNCTION_WORDS = """
a about after all also an and any are as at be because been before being both but by can could did do does due during
each either else elsewhere few for from further had has have having he her here hers him his how however i if in into is
it its itself me more most my no nor not now of off on once one only or other others our out over own per same several
she should since so some such than that the their them then there these they this those through to too under until up
upon very via was we were what when where whether which while who whom why will with within without would you your
"""
"""Of English. Lists for search engines have more, such as `back`, `side` and `system`, which name things here."""
STOP_WORDS = NAMING_NOTHING.union(FUNCTION_WORDS.split())
ROOT_LETTERS = 6
"""Words that begin with the same letters count as related: `diabetic` and `diabetes` (truncation; McNamee and Mayfield,
Information Retrieval 7, 2004, compare it with stemmers in eight languages)."""
SPELLINGS = {
    "aem": "em",
    "aes": "es",
    "caec": "cec",
    "faec": "fec",
    "foet": "fet",
    "gynaec": "gynec",
    "oed": "ed",
    "oesoph": "esoph",
    "paed": "ped",
    "rrhoea": "rrhea",
    "tumour": "tumor",
}
"""British spellings within words, and the American ones."""
LATIN_SPELLINGS = (
    ("ph", "f"), ("th", "t"), ("rh", "r"), ("ch", "c"), ("qu", "c"), ("oe", "e"), ("ae", "e"), ("y", "i")
)  # fmt: skip
"""Greek and Latin roots as English spells them, and as Spanish does."""
DOUBLE_LETTER = re.compile(r"(.)\1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """The different words of texts, n in all: which text has which."""

    text: np.ndarray
    """(n,) int64, ascending: the place of the text."""
    word: np.ndarray
    """(n,) int64: the place in `vocabulary`."""
    vocabulary: list[str]


def split_words(texts: Sequence[str], stop_words: Collection[str] = STOP_WORDS) -> Words:
    """The words of each text as `normal_word` writes them, without `stop_words`."""
    runs = (
        pl.DataFrame({"text": list(texts)}, schema={"text": pl.String()})
        .select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("text"),
            pl.col("text").str.to_lowercase().str.extract_all(WORD).alias("word"),
        )
        .explode("word")
        .drop_nulls("word")
    )
    # Millions of words, but some ten thousand different ones.
    normal = {run: normal_word(run) for run in runs["word"].unique().sort().to_list() if run not in stop_words}
    vocabulary = list(dict.fromkeys(normal.values()))
    place = {word: number for number, word in enumerate(vocabulary)}
    places = {run: place[word] for run, word in normal.items()}
    known = runs.with_columns(pl.col("word").replace_strict(places, default=None, return_dtype=pl.Int64()))
    known = known.drop_nulls("word")
    text, word = distinct_pairs(known["text"].to_numpy(), known["word"].to_numpy(), len(vocabulary))
    return Words(text=text, word=word, vocabulary=vocabulary)


def distinct_pairs(first: np.ndarray, second: np.ndarray, num_second: int) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of two arrays (n,) of whole numbers from 0, sorted; `second` is below `num_second`."""
    # Sorting: NumPy's `unique` hashes instead, which takes ten times as long for millions of numbers.
    keys = np.sort(first.astype(np.int64) * max(num_second, 1) + second)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.divmod(keys, max(num_second, 1))


def sentences(text: str) -> list[str]:
    """The sentences of a text (or its lines); the text itself where it has none. Good enough to look into each."""
    parts = re.split(r"(?<=[.!?;:])\s+|[\r\n]+", text)
    return [part.strip() for part in parts if part.strip()] or [text]


def normal_word(word: str) -> str:
    """A word in lower case, without accents, in American spelling, in the singular (the s-stemmer of Harman, JASIS 42,
    1991)."""
    word = _without_accents(word)
    for british, american in SPELLINGS.items():
        word = word.replace(british, american)
    if len(word) <= 3 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss", "is", "es")) else word[:-1]


def latin_spelling(word: str) -> str:
    """Lower case, without accents, Greek and Latin roots spelled one way (pneumonia, neumonía: neumonia)."""
    plain = _without_accents(word)
    for spelling, sound in LATIN_SPELLINGS:
        plain = plain.replace(spelling, sound)
    plain = DOUBLE_LETTER.sub(r"\1", plain) if plain.isalpha() else plain
    return plain[1:] if plain.startswith(("pn", "ps")) else plain


def root(word: str) -> str:
    """What a word shares with related ones, in its own language and in those that took it from Greek or Latin too; it
    ends in an asterisk, so that it is no word itself."""
    return latin_spelling(word)[:ROOT_LETTERS] + "*"


def _without_accents(word: str) -> str:
    """In lower case."""
    letters = unicodedata.normalize("NFKD", word.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
