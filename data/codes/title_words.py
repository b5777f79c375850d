"""The words of a code's title that say something, by which titles of two editions are compared."""

import re

FUNCTION_WORDS = frozenset(re.findall(r"\w+", "a an and as by in of or the to with"))
EMPTY_WORDS = FUNCTION_WORDS | frozenset(re.findall(r"\w+", "classified elsewhere nec nos not other unspecified"))
_STEM_LENGTH = 6
"""Words that share so many first letters count as one: `diabetic` and `diabetes`."""


def words(title: str) -> frozenset[str]:
    """Friedreich's is Friedreich."""
    return frozenset(re.findall(r"[a-z0-9]+", re.sub(r"['’]s\b", "", title.lower())))


def stems(title: str) -> set[str]:
    """Of the words that say something."""
    return {word[:_STEM_LENGTH] for word in words(title) - EMPTY_WORDS}
