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


def check_output(path: str | Path, suffixes: Sequence[str]) -> None:
    """Raises UserError unless `path`, which `--output` named, ends with one of `suffixes` and is not there yet."""
    if Path(path).exists():
        raise UserError(f"{path} already exists; choose another --output or remove it")
    if Path(path).suffix not in suffixes:
        raise UserError(f"--output writes {', '.join(suffixes[:-1])} or {suffixes[-1]}, got {str(path)!r}")
