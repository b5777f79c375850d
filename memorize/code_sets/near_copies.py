"""Which names are the same name in other words: what is measured as never trained on has no such twin in training.

Two names are near copies where they have the same content words, in whatever case, order, number and with whatever
little words; or where they name the same code and the words of one are all among those of the other, as with the
non-essential modifiers of an index ("diabetes", "diabetes mellitus", "sugar diabetes mellitus").
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

LITTLE_WORDS = frozenset(
    "a an and as at by due for from in into is of on or the to with nos nec".split()  # noqa: SIM905  a list of 20 lines
)
"""Words that tell no two names apart; `without`, `not` and `no` do."""
_WORD = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"['\u2019]s?(?!\w)")
_LONGEST_WITHOUT_PLURAL = 3

Words = frozenset[str]


def content_words(text: str) -> Words:
    """The words of a name by which it is told from others, in lower case and without the plural's s; of a name that
    has only little words, those."""
    words = [_singular(word) for word in _WORD.findall(_POSSESSIVE.sub("", text.casefold()))]
    return frozenset(word for word in words if word not in LITTLE_WORDS) or frozenset(words) or frozenset([text])


def near_copy_groups(names: Sequence[tuple[str, str]]) -> list[int]:
    """For each (code, name) the number of its group: near copies, and near copies of these, are in one group."""
    keys = [content_words(name) for _, name in names]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    parent = list(range(len(number)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    of_code: dict[str, dict[Words, int]] = defaultdict(dict)
    for (code, _), key in zip(names, keys, strict=True):
        of_code[code][key] = number[key]
    for words in of_code.values():
        for first, second in _contained(words):
            parent[root(number[first])] = root(number[second])
    return [root(number[key]) for key in keys]


def _contained(keys: Iterable[Words]) -> Iterable[tuple[Words, Words]]:
    """Pairs of which the first has all its words in the second."""
    by_length = sorted(keys, key=len)
    for place, longer in enumerate(by_length):
        for shorter in by_length[:place]:
            if shorter < longer:
                yield shorter, longer


def _singular(word: str) -> str:
    is_plural = len(word) > _LONGEST_WITHOUT_PLURAL and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if is_plural else word
