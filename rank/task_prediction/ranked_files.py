"""What `mera predict` writes: ranked codes and phenotypes of one patient or of many, as JSON, Parquet or CSV, or as
tables in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

import polars as pl
from rich.table import Table

from mera.system.private_files import private_output
from mera.system.terminal import as_json, plain_console
from rank.patients.patient_ranker import RankedCode

SUFFIXES = (".json", ".parquet", ".csv")
CodeValue = str | float | bool | list[str] | list[dict[str, str | float]]


class RankedRecord(TypedDict):
    """A ranked patient in JSON."""

    example_id: NotRequired[str]
    patient_id: NotRequired[str]
    codes: list[dict[str, CodeValue]]
    """most likely first, each with the fields of `RankedCode`, and `target` where the true codes are known; `rules` and
    `because` where they were asked for"""
    phenotypes: dict[str, float]
    """name -> probability"""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedExample:
    codes: list[RankedCode]
    num_predicted: int
    """among all candidates, those beyond `codes` too"""
    phenotypes: dict[str, float] = field(default_factory=dict)
    """name -> probability"""
    example_id: str | None = None
    """of a prepared task"""
    patient_id: str | None = None
    """of a table of patients"""
    targets: Sequence[str] | None = None
    """the true codes, where they are known"""

    def as_dict(self) -> RankedRecord:
        true = None if self.targets is None else set(self.targets)
        codes = [_fields(code) | ({} if true is None else {"target": code.code in true}) for code in self.codes]
        record: RankedRecord = {"codes": codes, "phenotypes": self.phenotypes}
        if self.patient_id is not None:
            record = {"patient_id": self.patient_id, **record}
        return record if self.example_id is None else {"example_id": self.example_id, **record}

    def names(self) -> dict[str, str]:
        """Who it is, by column name."""
        names = {"example_id": self.example_id, "patient_id": self.patient_id}
        return {name: value for name, value in names.items() if value is not None}


def write_ranked(
    path: str | Path,
    examples: Sequence[RankedExample],
    measured: Mapping[str, Mapping[str, float | None]] | None = None,
    wide: bool = False,
) -> None:
    """JSON: one object per example, and `measured` (phenotype -> metrics). Parquet and CSV: one row per example and
    code, with a column `phenotype_NAME` for each phenotype; `wide`: one row per example. In a table the reasons of a
    code are texts (`428.0 +12.3`), and in a CSV its rules and its reasons are joined by `; `. The file is complete or
    absent, and its owner's alone.
    """
    with private_output(path, SUFFIXES) as beside:
        if Path(path).suffix == ".json":
            record = {"examples": [example.as_dict() for example in examples], "measured": measured or {}}
            beside.write_text(as_json(record), encoding="utf-8")
        else:
            table = wide_table(examples) if wide else _table(examples)
            if Path(path).suffix == ".csv":
                table.with_columns(pl.col(pl.List(pl.String)).list.join("; ")).write_csv(beside)
            else:
                table.write_parquet(beside)


def print_ranked(example: RankedExample) -> None:
    is_checked = any(code.rules is not None for code in example.codes)
    is_explained = any(code.because is not None for code in example.codes)
    more = [*(["rules"] if is_checked else []), *(["because of (points)"] if is_explained else [])]
    table = Table("", "code", "definition", "probability", "predicted", "known", *more)
    for place, code in enumerate(example.codes, start=1):
        table.add_row(
            str(place),
            code.code,
            code.definition,
            f"{code.probability:.1%}",
            "yes" if code.predicted else "",
            "yes" if code.known else "",
            *(["\n".join(code.rules or ())] if is_checked else []),
            *(["\n".join(map(str, code.because or ()))] if is_explained else []),
        )
    plain_console().print(table)
    if is_explained:
        print("because of: how many points of the probability go where this code is not in the history")
    for name, probability in example.phenotypes.items():
        print(f"{name}: {probability:.1%}")


def print_measured(measured: Mapping[str, Mapping[str, float | None]]) -> None:
    """Percent, but for the number of examples; a dash where a number does not exist."""
    if not measured:
        return
    table = Table("", *measured)
    for name in next(iter(measured.values())):
        values = (of_phenotype[name] for of_phenotype in measured.values())
        table.add_row(name, *(f"{value:.1%}" if isinstance(value, float) else str(value or "-") for value in values))
    plain_console().print(table)


def wide_table(examples: Sequence[RankedExample]) -> pl.DataFrame:
    """A row for each example: how many codes are predicted, those too that are not listed, then `code_1`,
    `probability_1` and so on, most likely first, and the phenotypes."""
    rows: list[dict[str, CodeValue]] = []
    for example in examples:
        row: dict[str, CodeValue] = {**example.names(), "predicted": example.num_predicted}
        for place, code in enumerate(example.codes, start=1):
            row |= {f"code_{place}": code.code, f"probability_{place}": code.probability}
            if code.rules is not None:
                row[f"rules_{place}"] = "; ".join(code.rules)
            if code.because is not None:
                row[f"because_{place}"] = "; ".join(map(str, code.because))
        rows.append(row | {f"phenotype_{name}": value for name, value in example.phenotypes.items()})
    return pl.DataFrame(rows, infer_schema_length=None)


def _table(examples: Sequence[RankedExample]) -> pl.DataFrame:
    rows: list[dict[str, CodeValue]] = []
    for example in examples:
        phenotypes = {f"phenotype_{name}": probability for name, probability in example.phenotypes.items()}
        rows += [
            {**example.names(), "place": place, **fields, **_reasons(code), **phenotypes}
            for place, (code, fields) in enumerate(zip(example.codes, example.as_dict()["codes"], strict=True), start=1)
        ]
    lists: dict[str, pl.DataType] = {
        name: pl.List(pl.String) for name in ("rules", "because") if rows and name in rows[0]
    }
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=lists)


def _reasons(code: RankedCode) -> dict[str, CodeValue]:
    return {} if code.because is None else {"because": [str(reason) for reason in code.because]}


def _fields(code: RankedCode) -> dict[str, CodeValue]:
    values = {name: value for name, value in asdict(code).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
