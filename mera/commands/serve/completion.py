"""Codes by the beginning of a code, or by words of a name, as somebody types them."""

import re
from collections.abc import Sequence

from mera.commands.serve.messages import NamedCode


class Completion:
    def __init__(self, codes: Sequence[NamedCode]):
        self._rows = [(_undotted(entry.code), _words(entry.definition), entry) for entry in codes]

    def complete(self, text: str, most: int) -> list[NamedCode]:
        """Up to `most` codes: those that begin with the text, then those in whose name each word of the text begins a
        word; short names first."""
        plain, words = _undotted(text), _words(text)
        if not plain:
            return []
        by_code = [entry for code, _, entry in self._rows if code.startswith(plain)]
        if len(by_code) >= most:
            return by_code[:most]
        by_name = [
            entry
            for code, names, entry in self._rows
            if words
            and not code.startswith(plain)
            and all(any(name.startswith(word) for name in names) for word in words)
        ]
        by_name.sort(key=lambda entry: (len(entry.definition), entry.code))
        return [*by_code, *by_name][:most]


def _undotted(text: str) -> str:
    return re.sub(r"[\s.]", "", text).upper()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
