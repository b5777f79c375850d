"""Conditions of FHIR as diagnoses of visits."""

import re
from collections.abc import Mapping, Sequence

import polars as pl

from data.ledger import Ledger
from data.sources.shared.fhir.resources import (
    NO_CONDITION,
    NOT_CERTAIN,
    Condition,
    Encounter,
    Resources,
    icd_version,
)
from data.sources.shared.icd_versions import WHO
from mera.system.errors import UserError

_SYSTEM = re.compile(r"(https?://|urn:)[\w./:-]{1,100}")
"""Of codes, as a message may show it."""


def read_conditions(
    resources: Resources,
    patients: Mapping[str, str],
    stays: Mapping[str, str],
    code_system: str | None,
    ledger: Ledger,
) -> pl.DataFrame:
    """The conditions as `known_in_time` and `resolve_versions` want them. `patients`, `stays`: a record, an encounter
    -> the one that it is read as. Raises UserError where none has an encounter and a code."""
    ledger.read("diagnoses", len(resources.conditions))
    listings, rows = _listings(resources.encounters), []
    starts = {each.encounter_id: each.start[:10] for each in resources.encounters}
    for each in resources.conditions:
        ranks = _ranks(each, listings, stays)
        codings = _codings(each, code_system)
        if each.status in NO_CONDITION:
            ledger.drop("diagnoses", NO_CONDITION[each.status])
        elif not each.patient_id or not ranks:
            ledger.drop("diagnoses", "condition without a patient or encounter")
        elif not codings and each.codes:
            ledger.drop("diagnoses", "condition with codings in another edition of ICD alone (--code-system)")
        elif not codings:
            ledger.drop("diagnoses", "condition without a coding in ICD")
        else:
            patient, known_on = (
                patients.get(each.patient_id, each.patient_id),
                each.time or starts.get(each.encounter_id),
            )
            rows += [(patient, visit, rank, *coding, known_on) for visit, rank in ranks.items() for coding in codings]
            ledger.add("diagnoses", "condition of several encounters", len(ranks) - 1)
            ledger.add("diagnoses", "further coding of a condition", len(ranks) * (len(codings) - 1))
            if each.status in NOT_CERTAIN:
                ledger.change("condition that is unconfirmed or provisional, read as a diagnosis", 1)
    if not rows:
        systems = [name for name, _ in resources.other_systems.most_common() if _SYSTEM.fullmatch(name)]
        there = f"; the codings that are there are of {', '.join(systems[:3])}" if systems else ""
        raise UserError(
            "no Condition has an encounter and a coding in ICD-9-CM or ICD-10-CM (--code-system icd10who reads "
            f"http://hl7.org/fhir/sid/icd-10){there}"
        )
    types = (pl.String, pl.String, pl.Int64, pl.Int64, pl.String, pl.String)
    names = ("subject_id", "hadm_id", "seq_num", "icd_version", "icd_code", "known_on")
    table = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
    return with_days(table, "known_on", "time of a condition", ledger)


def with_days(rows: pl.DataFrame, name: str, what: str, ledger: Ledger) -> pl.DataFrame:
    """`rows` with dates or times as FHIR writes them as days since 1970, of a year or a month alone its first; null
    where there is none, and where one cannot be read, which is counted as `what`."""
    text = pl.col(name).str.slice(0, 10)
    whole = pl.when(text.str.len_chars() == 4).then(text + "-01-01").when(text.str.len_chars() == 7).then(text + "-01")
    day = whole.otherwise(text).str.to_date("%Y-%m-%d", strict=False).cast(pl.Int32).cast(pl.Int64)
    read = rows.with_columns(day)
    given = int((rows[name].fill_null("") != "").sum())
    ledger.change(f"{what} that cannot be read, taken for none", given - read[name].count())
    return read


def _listings(encounters: Sequence[Encounter]) -> dict[str, dict[str, int | None]]:
    """Condition -> the encounters that list it as a diagnosis, each with its rank there."""
    listings: dict[str, dict[str, int | None]] = {}
    for encounter in encounters:
        for condition, rank in encounter.diagnoses:
            listings.setdefault(condition, {}).setdefault(encounter.encounter_id, rank)
    return listings


def _ranks(
    condition: Condition, listings: Mapping[str, Mapping[str, int | None]], stays: Mapping[str, str]
) -> dict[str, int | None]:
    """The visits that a condition belongs to, and its rank in each: the least that an encounter of the visit gives."""
    listing = listings.get(condition.condition_id, {})
    own = {condition.encounter_id: listing.get(condition.encounter_id)} if condition.encounter_id else {}
    ranks: dict[str, int | None] = {}
    for encounter, rank in {**own, **listing}.items():
        visit = stays.get(encounter, encounter)
        known = [each for each in (rank, ranks.get(visit)) if each is not None]
        ranks[visit] = min(known, default=None)
    return ranks


def _codings(condition: Condition, code_system: str | None) -> list[tuple[int, str]]:
    """Version and code of the codings in ICD, each once: those in the wanted version (a coding in another is then a
    translation), or else those in the other. Several in one version are several codes, as dagger and asterisk are."""
    codings = [(icd_version(system, code_system == WHO), code) for system, code in condition.codes]
    of_icd = list(dict.fromkeys((version, code) for version, code in codings if version is not None))
    wanted = 9 if (code_system or "").endswith("icd9") else 10
    return [each for each in of_icd if each[0] == wanted] or of_icd
