"""A private name of a library: where it is, why it is needed, and the sentence when it is gone."""

import importlib
import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateName:
    """A name that a library may drop without notice."""

    library: str
    """distribution, as pip names it; `python` for the standard library"""
    name: str
    """importable path: a module, or what hangs on one"""
    attribute: str | None = None
    """what the module `name` sets on objects or in the environment, where no import can reach it; it is looked for in
    the module's source"""
    reason: str
    seen_in: str
    """version of the library that has it"""
    remedy: str
    """what to do when it is gone"""

    def __str__(self) -> str:
        return self.name if self.attribute is None else f"{self.attribute} in {self.name}"

    def require(self) -> None:
        """Raises UserError, one sentence, where the installed library does not have it."""
        if not _is_there(self):
            raise UserError(self.absence())

    def absence(self) -> str:
        """The sentence for a library without it."""
        return (
            f"{self.library} {_installed(self.library)} has no {self}, which {self.seen_in} has ({self.reason}): "
            f"{self.remedy}, or install {self.library} {self.seen_in}"
        )


@contextmanager
def explained(*names: PrivateName) -> Iterator[None]:
    """Around imports of `names`: UserError, one sentence, in the place of an ImportError."""
    try:
        yield
    except ImportError:
        for name in names:
            name.require()
        raise


@cache
def _is_there(name: PrivateName) -> bool:
    if name.attribute is not None:
        return re.search(rf"\b{name.attribute}\b", _source(name.name)) is not None
    parts, target = name.name.split("."), None
    for end in range(len(parts), 0, -1):
        try:
            target = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        break
    if target is None:
        return False
    for part in parts[end:]:
        if not hasattr(target, part):
            return part in getattr(target, "__annotations__", {})
        target = getattr(target, part)
    return True


def _source(module: str) -> str:
    """The text of a module, which is not imported; empty where there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return ""
    return "" if spec is None or spec.origin is None else Path(spec.origin).read_text(encoding="utf-8")


def _installed(library: str) -> str:
    if library == "python":
        return platform.python_version()
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
