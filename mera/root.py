"""Where things are: the toolkit itself, and what a user's programs keep because making it again takes time."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder with `memorize/train.py`."""


def shipped(name: str) -> Path:
    """A recipe or launch file of the toolkit, as `configs/rank/tiny.yaml`: beside the packages in a checkout, inside
    `mera` where a wheel was installed. It need not exist."""
    in_checkout = ROOT / name
    return in_checkout if in_checkout.exists() else Path(__file__).parent / "shipped" / name


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/mera`, or `~/.cache/mera`; it need not exist. Raises RuntimeError where there is no home."""
    cache = os.environ.get("XDG_CACHE_HOME") or ""
    # As the XDG specification has it, a relative path there is as none.
    folder = Path(cache) if os.path.isabs(cache) else Path("~/.cache").expanduser()
    return folder / "mera"
