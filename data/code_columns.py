"""Turning the codes of a table, as written, into canonical ones, with every loss counted."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from data.ledger import Ledger
from data.ontology import Ontology, UnknownCode


@dataclass(frozen=True, slots=True)
class Resolved:
    """The canonical codes to use for one code as written."""

    codes: tuple[str, ...]
    change: str | None = None
    """What was done to it beyond its form, for the ledger."""


Resolve = Callable[[str], Resolved]
"""Raises UnknownCode where the text is no code, DroppedCode where the code has no place in the task."""


class DroppedCode(ValueError):
    """A code that has no place in the task; its message is the reason the ledger gives."""


def by_ontology(ontology: Ontology) -> Resolve:
    """Codes as `ontology` has them; a retired code becomes its ancestor."""

    def resolve(raw: str) -> Resolved:
        code, exact = ontology.resolve(raw)
        return Resolved((code,), None if exact else "retired code replaced by its ancestor")

    return resolve


def resolve_codes(diagnoses: pl.DataFrame, resolve: Resolve, system: str, ledger: Ledger) -> pl.DataFrame:
    """`diagnoses` with its column `raw` replaced by `code`, without the rows whose code cannot be used.

    `system` names what the codes as written claim to be. Where `resolve` gives several codes for one, the row is
    repeated and the ledger told.
    """
    results = []
    for raw, count in diagnoses["raw"].value_counts().sort("raw").iter_rows():
        if raw is None:
            ledger.drop("diagnoses", "no code in the row", count)
            continue
        try:
            resolved = resolve(raw)
        except UnknownCode:
            ledger.drop("diagnoses", f"not a code of {system}", count)
            ledger.unknown_code(raw, count)
            continue
        except DroppedCode as reason:
            ledger.drop("diagnoses", str(reason), count)
            continue
        if resolved.change is not None:
            ledger.change(resolved.change, count)
        ledger.add("diagnoses", "one code became several", count * (len(resolved.codes) - 1))
        results += [(raw, code) for code in resolved.codes]
    codes_of = pl.DataFrame(results, schema={"raw": pl.String, "code": pl.String}, orient="row")
    return diagnoses.join(codes_of, on="raw", how="inner").drop("raw")
