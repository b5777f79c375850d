"""The words of texts as a term index compares them: without case, accents, plurals, and the words that name nothing."""

import unicodedata
from collections.abc import Sequence

import polars as pl
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

WORD = r"[\p{L}\p{M}\p{N}]{2,}|\p{N}"
"""Two or more letters or digits, or one digit, in the syntax of polars."""
NAMING_NOTHING = frozenset({"unspecified", "specified", "nos", "nec", "classified"})
"""Words of the classifications themselves. No note has them, so they must not count as missing."""
STOP_WORDS = (ENGLISH_STOP_WORDS - {"back", "fire", "full", "side", "system"}) | NAMING_NOTHING
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


def split_words(texts: Sequence[str]) -> pl.DataFrame:
    """One row for each different word of each text: `text`, its place in `texts`, and `word`, as `normal_word` writes
    it. Stop words are left out."""
    words = (
        pl.DataFrame({"text": list(texts)}, schema={"text": pl.String()})
        .select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("text"),
            pl.col("text").str.to_lowercase().str.extract_all(WORD).alias("word"),
        )
        .explode("word")
        .drop_nulls("word")
    )
    # A million words, but some ten thousand different ones.
    normal = {word: normal_word(word) for word in words["word"].unique().to_list() if word not in STOP_WORDS}
    written = pl.col("word").replace_strict(normal, default=None, return_dtype=pl.String())
    return words.with_columns(written).drop_nulls("word").unique(maintain_order=True)


def normal_word(word: str) -> str:
    """A word in lower case, without accents, in American spelling, in the singular (the s-stemmer of Harman, JASIS 42,
    1991)."""
    letters = unicodedata.normalize("NFKD", word.lower())
    word = "".join(letter for letter in letters if not unicodedata.combining(letter))
    for british, american in SPELLINGS.items():
        word = word.replace(british, american)
    if len(word) <= 3 or not word.endswith("s"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss", "is", "es")) else word[:-1]


def root(word: str) -> str:
    """What a word shares with related ones; it ends in an asterisk, so that it is no word itself."""
    return word[:ROOT_LETTERS] + "*"
