"""What `mera predict` writes: ranked codes and phenotypes of one patient or of a task's, as JSON or Parquet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from mera.system.errors import UserError
from mera.system.private_files import private_files
from rank.predict import RankedCode

SUFFIXES = (".json", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedExample:
    codes: list[RankedCode]
    phenotypes: dict[str, float] = field(default_factory=dict)
    """name -> probability"""
    example_id: str | None = None
    targets: Sequence[str] | None = None
    """the true codes, where they are known"""

    def as_dict(self) -> dict[str, Any]:
        true = None if self.targets is None else set(self.targets)
        codes = [asdict(code) | ({} if true is None else {"target": code.code in true}) for code in self.codes]
        name = {} if self.example_id is None else {"example_id": self.example_id}
        return name | {"codes": codes, "phenotypes": self.phenotypes}


def check_suffix(path: str | Path) -> None:
    """Raises ValueError unless `write_ranked` can write `path`."""
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"--output writes {' or '.join(SUFFIXES)}, got {str(path)!r}")


def write_ranked(
    path: str | Path, examples: Sequence[RankedExample], measured: Mapping[str, Any] | None = None
) -> None:
    """JSON: one object per example, and `measured` (phenotype -> metrics). Parquet: one row per example and code, with
    a column `phenotype_NAME` for each phenotype. The file is complete or absent, and its owner's alone.
    """
    path = Path(path)
    check_suffix(path)
    beside = path.with_name(f".{path.name}.partial")
    with private_files():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            found = {"examples": [example.as_dict() for example in examples], "measured": measured or {}}
            beside.write_text(as_json(found), encoding="utf-8")
        else:
            _table(examples).write_parquet(beside)
        beside.replace(path)


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _table(examples: Sequence[RankedExample]) -> pl.DataFrame:
    rows = []
    for example in examples:
        found = example.as_dict()
        shared = {key: found[key] for key in ("example_id",) if key in found}
        phenotypes = {f"phenotype_{name}": probability for name, probability in example.phenotypes.items()}
        rows += [shared | {"place": place} | code | phenotypes for place, code in enumerate(found["codes"], start=1)]
    return pl.DataFrame(rows, infer_schema_length=None)
