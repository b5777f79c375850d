"""Where the real data for tests is, if it is there at all."""

from pathlib import Path

import pytest

from mera.root import ROOT

FOLDER = ROOT.parent / "shared" / "data"


def shared_data(name: str) -> Path:
    """The file or folder `name` of the shared data; skips the test, saying why, where it is missing."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"real data not here: ../shared/data/{name} is missing")
    return path
