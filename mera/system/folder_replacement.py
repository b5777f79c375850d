"""A folder takes the place of another one, so that at each moment the old or the new one is there whole."""

import ctypes
import os
import shutil
import sys
from pathlib import Path

AT_FDCWD, EXCHANGE = -100, 2  # of renameat2(2)
BEFORE = "before"


def replace_folder(new: Path, final: Path) -> None:
    """Rename `new` to `final`; what was there goes afterwards.

    Where the system cannot exchange two names in one step, the old folder is out of the way for a moment, as
    `.NAME.before`; `restore_folder` brings it back if the process was killed in that moment.
    """
    if not final.exists():
        os.replace(new, final)
        return
    if _exchanged(new, final):
        shutil.rmtree(new, ignore_errors=True)
        return
    before = _before(final)
    shutil.rmtree(before, ignore_errors=True)
    os.replace(final, before)
    try:
        os.replace(new, final)
    except BaseException:
        os.replace(before, final)
        raise
    shutil.rmtree(before, ignore_errors=True)


def restore_folder(final: Path) -> None:
    """Undo a replacement that was killed half-way: the old folder comes back, or goes where the new one is there."""
    before = _before(final)
    if before.is_dir() and not final.exists():
        os.replace(before, final)
    shutil.rmtree(before, ignore_errors=True)


def _before(final: Path) -> Path:
    return final.with_name(f".{final.name}.{BEFORE}")


def _exchanged(new: Path, final: Path) -> bool:
    """Whether the system exchanged the two names (Linux, on most file systems)."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if exchange is None:
        return False
    return exchange(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(final), EXCHANGE) == 0
