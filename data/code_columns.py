"""Turning the codes of a table, as written, into canonical ones, with every loss counted."""

from collections.abc import Callable

import polars as pl

from data.ledger import Ledger
from data.ontology import Ontology, UnknownCode

MapCode = Callable[[str], tuple[str, ...]]
"""Canonical code -> the codes to use in its place; raises DroppedCode where there is none."""


class DroppedCode(ValueError):
    """A code that has no place in the task; its message is the reason the ledger gives."""


def resolve_codes(
    diagnoses: pl.DataFrame, ontology: Ontology, ledger: Ledger, map_code: MapCode | None = None
) -> pl.DataFrame:
    """`diagnoses` with its column `raw` replaced by `code`, without the rows whose code cannot be used.

    Where `map_code` gives several codes for one, the row is repeated and the ledger told.
    """
    results = []
    for raw, count in diagnoses["raw"].value_counts().sort("raw").iter_rows():
        if raw is None:
            ledger.drop("diagnoses", "no code in the row", count)
            continue
        try:
            code, exact = ontology.resolve(raw)
            codes = (code,) if map_code is None else map_code(code)
        except UnknownCode:
            ledger.drop("diagnoses", f"not a code of {ontology.system}", count)
            ledger.unknown_code(raw, count)
            continue
        except DroppedCode as reason:
            ledger.drop("diagnoses", str(reason), count)
            continue
        if not exact:
            ledger.change("retired code replaced by its ancestor", count)
        ledger.add("diagnoses", "one code mapped to several", count * (len(codes) - 1))
        results += [(raw, result) for result in codes]
    codes_of = pl.DataFrame(results, schema={"raw": pl.String, "code": pl.String}, orient="row")
    return diagnoses.join(codes_of, on="raw", how="inner").drop("raw")
