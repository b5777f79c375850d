"""Where things are: the toolkit itself, and what a user's programs keep because making it again takes time."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder with `memorize/train.py`, `configs` and `launch`."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/mera`, or `~/.cache/mera`; it need not exist. Raises RuntimeError where there is no home."""
    cache = os.environ.get("XDG_CACHE_HOME") or ""
    # As the XDG specification has it, a relative path there is as none.
    folder = Path(cache) if os.path.isabs(cache) else Path("~/.cache").expanduser()
    return folder / "mera"
