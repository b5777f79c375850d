"""Turning the codes of a table, as written, into canonical ones, with every loss counted."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import polars as pl

from data.ledger import Ledger
from data.ontology import Ontology, UnknownCode
from mera.system.errors import UserError


@dataclass(frozen=True, slots=True)
class Resolved:
    """The canonical codes to use for one code as written."""

    codes: tuple[str, ...]
    change: str | None = None
    """What was done to it beyond its form, for the ledger."""


Resolve = Callable[[str], Resolved]
"""Raises UnknownCode where the text is no code, DroppedCode where the code has no place in the task."""


class DroppedCode(UserError):
    """A code that has no place in the task; its message is the reason the ledger gives."""


def by_ontology(ontology: Ontology, granularity: str = "full") -> Resolve:
    """Codes as `ontology` has them; a retired code becomes its ancestor.

    Where the `granularity` of the task is `category`, a code that the ontology does not know in full becomes its
    category. What was answered once is kept: a source that is read in parts asks for each part anew.
    """

    @cache
    def resolve(raw: str) -> Resolved:
        try:
            code, exact = ontology.resolve(raw)
        except UnknownCode:
            if granularity != "category":
                raise
            return Resolved((ontology.category(raw),), "full code unknown, its category kept")
        return Resolved((code,), None if exact else ontology.ancestor_change)

    return resolve


def mark_primary(diagnoses: pl.DataFrame) -> pl.DataFrame:
    """`diagnoses` with a column `primary`: the row is the first of its visit, by `position`."""
    first = diagnoses.group_by("patient_id", "admission_id").agg(first=pl.col("position").min())
    joined = diagnoses.join(first, on=["patient_id", "admission_id"], how="left", maintain_order="left")
    return joined.with_columns(primary=(pl.col("position") == pl.col("first")).fill_null(False)).drop("first")


def resolve_codes(diagnoses: pl.DataFrame, resolve: Resolve, system: str, ledger: Ledger) -> pl.DataFrame:
    """`diagnoses` with its column `raw` replaced by `code`, without the rows whose code cannot be used.

    `raw` is String, or an Enum, which is faster. `system`: what the codes as written claim to be, for the ledger's
    reasons. Where `resolve` gives several codes for one, the row is repeated and counted. A column `primary` is added,
    where there is none, before rows are dropped: a later diagnosis does not become the first because the first is no
    code.
    """
    if "primary" not in diagnoses.columns:
        diagnoses = mark_primary(diagnoses)
    results = []
    unknown = []
    written = diagnoses["raw"].value_counts().cast({"raw": pl.String}).sort("raw")
    for raw, count in written.iter_rows():
        if raw is None:
            ledger.drop("diagnoses", "no code in the row", count)
            continue
        try:
            resolved = resolve(raw)
        except UnknownCode:
            ledger.drop("diagnoses", f"not a code of {system}", count)
            unknown.append(raw)
            continue
        except DroppedCode as reason:
            ledger.drop("diagnoses", str(reason), count)
            continue
        if resolved.change is not None:
            ledger.change(resolved.change, count)
        ledger.add("diagnoses", "one code became several", count * (len(resolved.codes) - 1))
        results += [(raw, code) for code in resolved.codes]
    of_unknown = diagnoses.filter(pl.col("raw").is_in(unknown)).group_by("raw")
    counts = of_unknown.agg(rows=pl.len(), patients=pl.col("patient_id").n_unique())
    for raw, rows, patients in counts.cast({"raw": pl.String}).sort("raw").iter_rows():
        ledger.unknown_code(raw, rows, patients)
    codes_of = pl.DataFrame(results, schema={"raw": diagnoses["raw"].dtype, "code": pl.String}, orient="row")
    return diagnoses.join(codes_of, on="raw", how="inner").drop("raw")
