"""A run directory: complete or absent.

Work happens in `<parent>/.<name>.partial`; when everything is there it is renamed to `<parent>/<name>`. A partial
directory left by an interrupted run is found again by the next one with the same name, which resumes from it.
"""

import json
import shutil
from pathlib import Path
from typing import Any


class RunDirectory:
    """Where a run writes: `partial` while it works, `final` once `finish` has renamed it.

    Raises ValueError where `final` already exists.
    """

    def __init__(self, output: str | Path):
        self.final = Path(output)
        self.partial = self.final.parent / f".{self.final.name}.partial"
        if self.final.exists():
            raise ValueError(f"{self.final} already exists; choose another --output or remove it")
        self.partial.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """A path inside the run, valid until `finish`."""
        return self.partial / name

    def finish(self) -> Path:
        """Make the run visible under its final name, without the trainer's resume state; return that name."""
        shutil.rmtree(self.path("trainer"), ignore_errors=True)
        self.partial.rename(self.final)
        return self.final


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
