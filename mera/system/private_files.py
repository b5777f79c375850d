"""Files that hold patients' rows are for their owner alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mera.system.errors import UserError


@contextmanager
def private_files() -> Iterator[None]:
    """Files made in this block have mode 0600 and folders 0700, whatever the umask and whoever makes them."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def private_output(path: str | Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Where the block writes the file that `--output` named: beside `path`, whose name it takes afterwards. So it is
    complete or absent, and its owner's alone. Raises UserError as `check_output`."""
    path = Path(path)
    check_output(path, suffixes)
    beside = path.with_name(f".{path.name}.partial")
    try:
        with private_files():
            path.parent.mkdir(parents=True, exist_ok=True)
            yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def check_output(path: str | Path, suffixes: Sequence[str]) -> None:
    """Raises UserError unless `path`, which `--output` named, ends with one of `suffixes` and is not there yet."""
    if Path(path).exists():
        raise UserError(f"{path} already exists; choose another --output or remove it")
    if Path(path).suffix not in suffixes:
        raise UserError(f"--output writes {', '.join(suffixes[:-1])} or {suffixes[-1]}, got {str(path)!r}")
