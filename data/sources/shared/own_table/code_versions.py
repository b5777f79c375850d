"""Tables of one's own that hold ICD-9 and ICD-10, as those that run over a country's change do: which row is of which
version, by a column or by a day; and tables that hold both and do not say so."""

import datetime
from pathlib import Path

import polars as pl

from data.ontology import Ontology, load_ontology
from data.sources.shared.own_table.code_cells import BOTH
from data.sources.shared.own_table.table_columns import SYSTEMS, TableColumns
from mera.system.errors import UserError

TRANSLATED = {"to-icd9": "icd9cm", "to-icd10": "icd10cm"}
"""Further code systems of a table whose rows say their version: the other version is translated by the GEMs."""
CODE_SYSTEMS = {**SYSTEMS, **TRANSLATED}
"""What --code-system takes -> the edition that the codes are in then."""
OTHER = dict(zip(BOTH, reversed(BOTH), strict=True))
MOST_OF_OTHER, FEWEST_OF_OTHER = 0.05, 10
"""Share and number of codes of the other version, above which a table that does not say the versions is refused."""
_VERSION = r"(?i)^\s*(?:icd)?[-_ ]*0?(9|10)(?:\.0+)?(?:[-_ ]*cm)?\s*$"


def check_versions(code_system: str | None, columns: TableColumns, icd10_from: str | None, own_edition: bool) -> None:
    """Raises UserError where what the user says of the versions does not go together. `own_edition`: the codes are of a
    national table."""
    if columns.code_version is None and icd10_from is None:
        if code_system in TRANSLATED:
            raise UserError(
                f"--code-system {code_system} translates the rows of the other version: say which they are with "
                f"--code-version (a column of 9 and 10) or --icd10-from (a day, as 2015-10-01)"
            )
        return
    if columns.code_version is not None and icd10_from is not None:
        raise UserError("give one of --code-version and --icd10-from, which say the same")
    if own_edition or code_system not in ("icd9", "icd10", *TRANSLATED):
        raise UserError(
            "--code-version and --icd10-from go with --code-system icd9 or icd10, which keep one version, or to-icd9 "
            "or to-icd10, which translate the other"
        )


def with_versions(rows: pl.DataFrame, columns: TableColumns, icd10_from: str | None) -> pl.DataFrame:
    """`rows`, which `with_order` has placed in time, with `icd_version`: 9, 10, or null where the column says neither.
    Raises UserError where `icd10_from` is no day, or the times are none."""
    if icd10_from is None:
        assert columns.code_version is not None, "checked by check_versions"
        version = pl.col("code_version").str.extract(_VERSION, 1).cast(pl.Int64)
        return rows.with_columns(icd_version=version)
    try:
        first = datetime.date.fromisoformat(icd10_from)
    except ValueError:
        raise UserError(f"--icd10-from must be a day as 2015-10-01, got {icd10_from!r}") from None
    if columns.time is None or rows["time"].null_count():
        raise UserError("--icd10-from needs --time, a column of dates")
    is_ten = pl.col("time").cast(pl.Date) >= first
    return rows.with_columns(icd_version=pl.when(is_ten).then(10).otherwise(9).cast(pl.Int64))


def refuse_two_versions(path: str | Path, raw: pl.Series, edition: Ontology) -> None:
    """Raises UserError where a part of the codes `raw` is of the other version of ICD: they would all be dropped."""
    if edition.system not in OTHER:
        return
    other, counts = load_ontology(OTHER[edition.system]), {"own": 0, "other": 0}
    for code, count in raw.drop_nulls().value_counts().iter_rows():
        if edition.knows(code):
            counts["own"] += count
        elif other.knows(code):
            counts["other"] += count
    if counts["other"] < max(FEWEST_OF_OTHER, MOST_OF_OTHER * counts["own"]) or not counts["own"]:
        return
    names = {system: name for name, system in SYSTEMS.items()}
    raise UserError(
        f"{path}: {counts['other']:,} codes are of {other.edition} where {counts['own']:,} are of {edition.edition}; "
        f"say which rows are of which with --code-version (a column of 9 and 10) or --icd10-from (a day, as "
        f"2015-10-01), and --code-system to-{names[edition.system]} translates them, {names[edition.system]} leaves "
        f"them out"
    )
