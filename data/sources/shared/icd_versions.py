"""Diagnoses in both versions of ICD: one is kept, or the other translated to it by the GEMs; or the WHO's ICD-10."""

from collections.abc import Mapping

import polars as pl

from data.codes.code_columns import by_ontology, mark_primary, resolve_codes
from data.codes.gem import by_gem
from data.codes.leading_zeros import with_leading_zeros
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.mimic import diagnoses_table
from mera.system.errors import UserError

CODE_SYSTEMS = ("icd9", "icd10", "to-icd9", "to-icd10", "mixed")
WHO = "icd10who"
_SYSTEM_OF_VERSION = {9: "icd9cm", 10: "icd10cm"}


def codes_of_the_who(rows: pl.DataFrame, ledger: Ledger, granularity: str = "full") -> pl.DataFrame:
    """The diagnoses of version 10, which are in the WHO's edition, as canonical codes; those of version 9 are counted.

    `rows`: as in `resolve_versions`.
    """
    of_version_10 = rows.filter(pl.col("icd_version") == 10)
    ledger.drop("diagnoses", "icd9cm row, not asked for", rows.height - of_version_10.height)
    table = diagnoses_table(of_version_10, "icd_code")
    return resolve_codes(table, by_ontology(load_ontology(WHO), granularity), WHO, ledger)


def resolve_versions(
    rows: pl.DataFrame,
    code_system: str | None,
    ledger: Ledger,
    stay: str = "hadm_id",
    zeros: str | None = None,
    granularity: str = "full",
) -> tuple[pl.DataFrame, str]:
    """The diagnoses of both versions as one table of canonical codes, and the ontology they are in.

    `rows`: subject_id, the id of the `stay`, seq_num, icd_code, icd_version. `code_system`: of CODE_SYSTEMS; None is
    enough where all rows have one version; `mixed` is `to-icd10`. `zeros`: what the user says of ICD-9 codes without
    leading zeros; `granularity`: of the task (`by_ontology`). Translations prefer what the rows of the wanted version
    hold (`data.codes.gem`). Raises UserError where versions are mixed and none is chosen.
    """
    code_system = _choose(rows["icd_version"], code_system)
    table = mark_primary(diagnoses_table(rows, "icd_code", stay, keep=["icd_version"]))
    # Codes that need no translation come first: what the hospital itself uses decides where the GEM leaves a choice.
    by_own_first = sorted(
        _SYSTEM_OF_VERSION, key=lambda version: _SYSTEM_OF_VERSION[version] != _target_of(code_system)
    )
    codes: dict[int, pl.DataFrame] = {}
    native: dict[str, int] = {}
    for version in by_own_first:
        codes[version] = _codes_of_version(table, version, code_system, ledger, zeros, granularity, native)
        native = dict(codes[version]["code"].value_counts().iter_rows())
    of_no_version = table.filter(~pl.col("icd_version").is_in(list(_SYSTEM_OF_VERSION)).fill_null(False))
    ledger.drop("diagnoses", "icd_version is neither 9 nor 10", of_no_version.height)
    return pl.concat(codes[version] for version in _SYSTEM_OF_VERSION), _target_of(code_system)


def _target_of(code_system: str) -> str:
    return "icd9cm" if code_system.endswith("icd9") else "icd10cm"


def _codes_of_version(
    rows: pl.DataFrame,
    version: int,
    code_system: str,
    ledger: Ledger,
    zeros: str | None,
    granularity: str,
    native: Mapping[str, int],
) -> pl.DataFrame:
    """Canonical codes of the rows of one version; `native`: how often each code stands in the target's own rows."""
    own, wanted = _SYSTEM_OF_VERSION[version], _target_of(code_system)
    table = rows.filter(pl.col("icd_version") == version).drop("icd_version")
    if own == wanted or code_system.startswith("to-"):
        table = with_leading_zeros(table, own, ledger, zeros)
    if own == wanted:
        return resolve_codes(table, by_ontology(load_ontology(own), granularity), own, ledger)
    if not code_system.startswith("to-"):
        ledger.drop("diagnoses", f"{own} row, not asked for", table.height)
        table = table.clear()
    return resolve_codes(table, by_gem(own, wanted, native), own, ledger)


def _choose(versions: pl.Series, code_system: str | None) -> str:
    counts = {version: int((versions == version).sum()) for version in _SYSTEM_OF_VERSION}
    if code_system is not None:
        if code_system not in CODE_SYSTEMS:
            raise UserError(f"--code-system must be one of {', '.join(CODE_SYSTEMS)}, got {code_system!r}")
        return "to-icd10" if code_system == "mixed" else code_system
    present = [version for version, count in counts.items() if count]
    if len(present) > 1:
        raise UserError(
            f"the diagnoses mix ICD-9 ({counts[9]:,} rows) and ICD-10 ({counts[10]:,} rows); choose with "
            "--code-system: icd9 or icd10 keep one version, to-icd9 or to-icd10 (or mixed) "
            "translate the other by the GEMs"
        )
    if not present:
        raise UserError("no row of the diagnoses is of ICD-9 or ICD-10")
    return f"icd{present[0]}"
