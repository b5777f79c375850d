"""Patients, encounters and conditions of FHIR, taken down to what a cohort needs.

R4 and R5 (and where they differ STU3) are read: US Core's profiles and those of MIMIC-IV-on-FHIR. Nothing but the
fields named here is looked at.
"""

import calendar
import hashlib
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from data.sources.shared.fhir.ndjson import (
    DELETED,
    SUFFIXES,
    Version,
    at,
    first_of,
    id_of,
    resource_lines,
    text_at,
    type_of,
    version_of,
)
from data.table_files.stored_files import InputFile

_Read = TypeVar("_Read")


SYSTEMS = {
    "http://hl7.org/fhir/sid/icd-9-cm": 9,
    "urn:oid:2.16.840.1.113883.6.103": 9,
    "http://hl7.org/fhir/sid/icd-10-cm": 10,
    "urn:oid:2.16.840.1.113883.6.90": 10,
}


WHO_SYSTEMS = {"http://hl7.org/fhir/sid/icd-10": 10, "urn:oid:2.16.840.1.113883.6.3": 10}


MIMIC_ENDINGS = {"diagnosis-icd9": 9, "diagnosis-icd10": 10}
"""How the systems of MIMIC-IV-on-FHIR end, in its several releases."""


NO_VISIT = frozenset(["planned", "cancelled", "entered-in-error"])
"""Statuses of encounters that did not take place."""


NO_CONDITION = {
    "refuted": "condition refuted or entered in error",
    "entered-in-error": "condition refuted or entered in error",
    "differential": "condition of a differential diagnosis",
}
"""Verification statuses of conditions that are no diagnosis -> what the ledger says."""


NOT_CERTAIN = frozenset(["unconfirmed", "provisional"])
"""Those of conditions that are read, and counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encounter:
    """One encounter; ids are those of resources, empty where there are none."""

    encounter_id: str
    identifier: str
    patient_id: str
    start: str
    status: str
    kind: str
    """Code of its class, upper case (`IMP`, `AMB`, `EMER`)."""
    part_of: str
    """The encounter that this is a part of, as a stay on a ward is of one in hospital; empty where there is none."""
    end: str
    diagnoses: Sequence[tuple[str, int | None]]
    """The conditions that it lists, each with its rank."""
    num_unlisted: int
    """Diagnoses that it lists and that are no resource of their own: a code alone, or contained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One condition."""

    condition_id: str
    patient_id: str
    encounter_id: str
    status: str
    time: str
    """When it began, or else when it was recorded; empty where neither is said."""
    codes: Sequence[tuple[str, str]]
    """(system, code) of each coding in ICD."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """One patient; sex and dates as written."""

    patient_id: str
    identifier: str
    sex: str
    birth: str
    death: str
    replaced_by: str
    """The patient that this record was merged into; empty where there is none."""
    replaces: Sequence[str]
    """The patients that were merged into this record."""


@dataclass(kw_only=True, slots=True)
class Resources:
    """All that was read but the documents."""

    people: list[Person] = field(default_factory=list)
    encounters: list[Encounter] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Type of resource -> how many were left out."""
    other_systems: Counter[str] = field(default_factory=Counter)
    """System of codes -> how many conditions have a coding in it and none in ICD."""
    older: int = 0
    """Resources of which a newer version was read."""
    deleted: int = 0
    """Those that the export says were deleted."""
    not_deleted: Counter[str] = field(default_factory=Counter)
    """Type of resource -> deletions of such, which are not looked at."""
    files: list[InputFile] = field(default_factory=list)
    with_documents: list[Path] = field(default_factory=list)
    num_documents: int = 0
    newest_documents: dict[str, tuple[Version, int]] = field(default_factory=dict)
    """Id of a document -> its newest version, and the number of that one among all documents."""


def read_resources(folder: str | Path, take: Callable[[Mapping[str, object]], bool] | None = None) -> Resources:
    """The resources of all files of NDJSON and JSON below `folder`, gzipped or not, but those that a Bundle deletes.
    `take`: is shown each, and says whether it reads such resources.

    Raises FileNotFoundError or UserError naming file and line where there are none, or a line is no resource.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no .ndjson or .json file; --input must name the folder of a Bulk export or of Bundles"
        )
    resources, versions = Resources(), _Versions()
    deletions: dict[tuple[str, str], Version] = {}
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as stored:
            while chunk := stored.read(1 << 24):
                digest.update(chunk)
        resources.files.append(InputFile(file_name=str(path.relative_to(folder)), sha256=digest.hexdigest()))
        for resource in resource_lines(path):
            if resource["resourceType"] == DELETED:
                name = (type_of(resource), id_of(resource))
                deletions[name] = max(version_of(resource), deletions.get(name, version_of(resource)))
            elif take is None or not take(resource):
                _take(resource, resources, versions, path)
    _delete(resources, versions, deletions)
    return resources


def _delete(resources: Resources, versions: "_Versions", deletions: Mapping[tuple[str, str], Version]) -> None:
    """Take out what was deleted after its newest version, or when nobody says."""
    gone = {name for name, version in deletions.items() if not version[0] > -math.inf or version >= versions.of(name)}
    read = _number(resources)
    resources.people = [each for each in resources.people if ("Patient", each.patient_id) not in gone]
    resources.encounters = [each for each in resources.encounters if ("Encounter", each.encounter_id) not in gone]
    resources.conditions = [each for each in resources.conditions if ("Condition", each.condition_id) not in gone]
    for name in [name for name in resources.newest_documents if ("DocumentReference", name) in gone]:
        del resources.newest_documents[name]
    resources.deleted = read - _number(resources)
    for kind, name in deletions:
        if kind not in ("Patient", "Encounter", "Condition", "DocumentReference") or not name:
            resources.not_deleted[kind if re.fullmatch(r"[A-Za-z]{1,40}", kind) else "another"] += 1


def _number(resources: Resources) -> int:
    """Documents without an id are not counted."""
    of_visits = len(resources.people) + len(resources.encounters) + len(resources.conditions)
    return of_visits + len(resources.newest_documents)


@dataclass(kw_only=True, slots=True)
class _Versions:
    """Of each resource that was taken its version and its place in the list of its type: exports of what has changed
    since the last one, in one folder, hold a resource several times."""

    _taken: dict[tuple[str, str], tuple[Version, int]] = field(default_factory=dict)

    def of(self, name: tuple[str, str]) -> Version:
        """The version of the resource of this type and id; the least where none was taken."""
        return self._taken.get(name, ((-math.inf, 0), 0))[0]

    def put(self, resource: Mapping[str, object], read: _Read, into: list[_Read]) -> bool:
        """Add `read`, or let it take the place of an older version, and say whether there was another."""
        name = (text_at(resource, "resourceType"), text_at(resource, "id"))
        version = version_of(resource)
        known = self._taken.get(name) if name[1] else None
        if known is None:
            self._taken[name] = (version, len(into))
            into.append(read)
        elif version >= known[0]:
            self._taken[name] = (version, known[1])
            into[known[1]] = read
        return known is not None


def icd_version(system: str, who: bool = False) -> int | None:
    """9 or 10 for the systems of ICD-9-CM and ICD-10-CM, or with `who` of the WHO's ICD-10; None for another."""
    if who:
        return WHO_SYSTEMS.get(system.rstrip("/"))
    endings = [version for ending, version in MIMIC_ENDINGS.items() if system.endswith(ending)]
    return endings[0] if endings else SYSTEMS.get(system.rstrip("/"))


def _take(resource: Mapping[str, object], resources: Resources, versions: _Versions, path: Path) -> None:
    match text_at(resource, "resourceType"):
        case "Patient":
            resources.older += versions.put(resource, _person(resource), resources.people)
        case "Encounter":
            resources.older += versions.put(resource, _encounter(resource), resources.encounters)
        case "Condition":
            resources.older += versions.put(resource, _condition(resource, resources), resources.conditions)
        case "DocumentReference":
            if path not in resources.with_documents:
                resources.with_documents.append(path)
            name, version = text_at(resource, "id"), version_of(resource)
            known = resources.newest_documents.get(name) if name else None
            resources.older += known is not None
            if known is None or version >= known[0]:
                resources.newest_documents[name] = (version, resources.num_documents)
            resources.num_documents += 1
        case other:
            resources.others[other if re.fullmatch(r"[A-Za-z]{1,40}", other) else "another"] += 1


def _person(resource: Mapping[str, object]) -> Person:
    replaced_by = _linked(resource, "replaced-by")
    return Person(
        patient_id=text_at(resource, "id"),
        identifier=text_at(resource, "identifier", 0, "value"),
        sex=text_at(resource, "gender"),
        birth=_whole_date(text_at(resource, "birthDate")),
        death=_last_day(text_at(resource, "deceasedDateTime")),
        replaced_by=replaced_by[0] if replaced_by else "",
        replaces=_linked(resource, "replaces"),
    )


def _encounter(resource: Mapping[str, object]) -> Encounter:
    kinds = (text_at(resource, "class", "code"), text_at(resource, "class", 0, "coding", 0, "code"))
    start, end = (
        text_at(resource, "period", side) or text_at(resource, "actualPeriod", side) for side in ("start", "end")
    )
    listed = at(resource, "diagnosis")
    diagnoses = [pair for each in listed for pair in _ranked(each)] if isinstance(listed, list) else []
    return Encounter(
        encounter_id=text_at(resource, "id"),
        identifier=text_at(resource, "identifier", 0, "value"),
        patient_id=id_of(at(resource, "subject")),
        start=start,
        end=end,
        status=text_at(resource, "status"),
        kind=next(filter(None, kinds), "").upper(),
        part_of=id_of(at(resource, "partOf")),
        diagnoses=tuple(pair for pair in diagnoses if pair[0]),
        num_unlisted=sum(not name for name, _ in diagnoses),
    )


def _linked(patient: Mapping[str, object], kind: str) -> tuple[str, ...]:
    links = at(patient, "link")
    linked = [link for link in links if text_at(link, "type") == kind] if isinstance(links, list) else []
    return tuple(filter(None, (id_of(at(link, "other")) for link in linked)))


def _ranked(diagnosis: object) -> list[tuple[str, int | None]]:
    """The conditions of an entry of `Encounter.diagnosis` and their rank: R4 names one condition, R5 a list of them.
    One that is no resource of its own has no name; other resources than conditions (procedures) are none."""
    rank = at(diagnosis, "rank")
    is_rank = isinstance(rank, int) and not isinstance(rank, bool) and 0 < rank < 1_000_000
    listed = at(diagnosis, "condition")
    references = [at(each, "reference") for each in listed] if isinstance(listed, list) else [listed]
    kept = [reference for reference in references if type_of(reference) in ("", "Condition")]
    return [(id_of(reference), rank if isinstance(rank, int) and is_rank else None) for reference in kept]


def _condition(resource: Mapping[str, object], resources: Resources) -> Condition:
    codings = at(resource, "code", "coding")
    pairs = [(text_at(each, "system"), text_at(each, "code")) for each in codings] if isinstance(codings, list) else []
    encounter = first_of(at(resource, "encounter"), at(resource, "context"))
    verified = at(resource, "verificationStatus", "coding")
    said = [text_at(each, "code") for each in verified] if isinstance(verified, list) else []
    said += [text_at(resource, "verificationStatus"), text_at(resource, "verificationStatus", "text")]
    statuses = [re.sub(r"[\s_]+", "-", status.lower()) for status in said]
    none = [status for status in statuses if status in NO_CONDITION]
    codes = tuple(
        (sys.intern(system), sys.intern(code))
        for system, code in pairs
        if code and (icd_version(system) or icd_version(system, who=True))
    )
    if not codes:
        resources.other_systems.update({system for system, _ in pairs if system})
    began = (("onsetDateTime",), ("onsetPeriod", "start"), ("recordedDate",), ("assertedDate",))
    return Condition(
        condition_id=text_at(resource, "id"),
        patient_id=id_of(at(resource, "subject")),
        encounter_id=id_of(encounter),
        status=sys.intern(next(filter(None, [*none, *statuses]), "")),
        time=sys.intern(next(filter(None, (text_at(resource, *path) for path in began)), "")[:10]),
        codes=codes,
    )


def _last_day(text: str) -> str:
    """A date of death in full: a year is taken for its last day, a month likewise."""
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-12-31"
    if re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        year, month = map(int, text.split("-"))
        return f"{text}-{calendar.monthrange(max(year, 1), month)[1]}"
    return text


def _whole_date(text: str) -> str:
    """A date of birth in full: a year is taken for its middle, a month likewise."""
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-07-01"
    return f"{text}-15" if re.fullmatch(r"\d{4}-\d\d", text) else text
