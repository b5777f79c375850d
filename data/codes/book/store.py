"""Where code books are: a folder of the user's with one book for each edition, or any folder that the user names."""

import os
from pathlib import Path

from data.codes.book.book import CodeBook, load_book
from mera.root import cache_folder
from mera.system.errors import UserError

BOOKS_VARIABLE = "MERA_BOOKS"
AUTO, NONE = "auto", "none"


def books_folder() -> Path:
    """`$MERA_BOOKS`, or `books` in the user's cache folder; it need not exist."""
    named = os.environ.get(BOOKS_VARIABLE)
    return Path(named) if named else cache_folder() / "books"


def default_book(system: str) -> Path:
    """Where the user's book of an edition is, if there is one."""
    return books_folder() / system


def book_places() -> list[Path]:
    """The folders of the user's books, by edition, damaged or not."""
    folder = books_folder()
    return sorted(path.parent for path in folder.glob("*/book.json")) if folder.is_dir() else []


def choose_book(choice: str, system: str) -> CodeBook | None:
    """The book that `--book` names: `auto`, the user's of edition `system` if there is one; `none`; or a folder.

    Raises FileNotFoundError where the folder holds no book, UserError where the book is of another edition.
    """
    if choice == NONE:
        return None
    if choice == AUTO:
        try:
            place = default_book(system)
        except RuntimeError:  # no home
            return None
        return load_book(place) if (place / "book.json").is_file() else None
    book = load_book(choice)
    if book.system != system:
        raise UserError(f"the code book in {choice} names codes of {book.system}, the task's are of {system}")
    return book
