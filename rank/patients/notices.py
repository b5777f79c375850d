"""What a user should know of how their patients are read: warnings of Python's, which a command prints as sentences."""

import sys
import warnings
from typing import TextIO


class InputNotice(UserWarning):
    """Something of the input is read in another way than it was written, or not at all."""


class UnfamiliarInput(InputNotice):
    """The model ranks what it has never seen, because the user allowed that."""


def print_notices() -> None:
    """For a command, from now on: each notice is one line on stderr, every time it is given; other warnings stay as
    they are."""
    show_warning = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, InputNotice):
            prefix = "warning: " if issubclass(category, UnfamiliarInput) else ""
            print(f"{prefix}{message}", file=sys.stderr)
        else:
            show_warning(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", InputNotice)
    warnings.showwarning = show
