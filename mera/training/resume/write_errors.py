"""A checkpoint that cannot be written: one sentence that says why, and nothing left of it."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mera.training.resume.checkpoints import checkpoints

STAGING = ".partial"
"""Folder in which checkpoints are written before they are renamed."""


@contextmanager
def explained_write_errors(folder: Path) -> Iterator[None]:
    """Turn what the libraries raise when a write fails into an OSError of one sentence, and remove what was written.

    torch raises RuntimeError and safetensors an error of its own, both with a text that only says where in the code.
    """
    try:
        yield
    except Exception as error:
        cause = _write_failure(error, shutil.disk_usage(folder).free)
        shutil.rmtree(folder / STAGING, ignore_errors=True)
        if cause is None:
            raise
        earlier = checkpoints(folder)
        before = f"the one before, {earlier[0].name}, is whole" if earlier else "there is none before it"
        raise OSError(
            f"cannot write a checkpoint to {folder}: {cause}; {before}; make room and start the same command again"
        ) from error


def _write_failure(error: Exception, free_bytes: int) -> str | None:
    """Why a write failed, in a few words; None where `error` has another reason."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "Disk quota exceeded" in text:
        return "the disk is full"
    if number == errno.EFBIG or "File too large" in text:
        return "the file would be larger than the limit that is set here (ulimit -f)"
    if "PytorchStreamWriter" in text or "inline_container" in text:
        return f"a write failed, and {free_bytes / 2**20:.0f} MiB are free on the disk"
    return str(error) if isinstance(error, OSError) else None
