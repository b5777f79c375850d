"""Resources of FHIR as a Bulk export writes them, one JSON object a line, taken down to what a cohort needs.

R4 and R5 (and where they differ STU3) are read: US Core's profiles and those of MIMIC-IV-on-FHIR. Nothing but the
fields named here is looked at.
"""

import base64
import binascii
import gzip
import hashlib
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
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
NO_CONDITION = frozenset(["refuted", "entered-in-error"])
"""Verification statuses of conditions that are none."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One condition."""

    condition_id: str
    patient_id: str
    encounter_id: str
    status: str
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """All that was read but the documents."""

    people: list[Person] = field(default_factory=list)
    encounters: list[Encounter] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    ranks: dict[str, dict[str, int | None]] = field(default_factory=dict)
    """Condition -> the encounters that list it as a diagnosis, each with its rank there."""
    others: Counter[str] = field(default_factory=Counter)
    """Type of resource -> how many were left out."""
    files: list[InputFile] = field(default_factory=list)
    with_documents: list[Path] = field(default_factory=list)


def read_resources(folder: str | Path, take: Callable[[Mapping[str, object]], bool] | None = None) -> Resources:
    """The resources of all NDJSON files below `folder`, gzipped or not. `take`: is shown each, and says whether it
    reads such resources.

    Raises FileNotFoundError or UserError naming file and line where there are none, or a line is no resource.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .ndjson file; --input must name the folder of a Bulk export")
    resources = Resources()
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as stored:
            while chunk := stored.read(1 << 24):
                digest.update(chunk)
        resources.files.append(InputFile(file_name=str(path.relative_to(folder)), sha256=digest.hexdigest()))
        for resource in _lines(path):
            if take is None or not take(resource):
                _take(resource, resources, path)
    return resources


def icd_version(system: str, who: bool = False) -> int | None:
    """9 or 10 for the systems of ICD-9-CM and ICD-10-CM, or with `who` of the WHO's ICD-10; None for another."""
    if who:
        return WHO_SYSTEMS.get(system.rstrip("/"))
    endings = [version for ending, version in MIMIC_ENDINGS.items() if system.endswith(ending)]
    return endings[0] if endings else SYSTEMS.get(system.rstrip("/"))


def read_documents(resources: Resources, unread: Counter[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Id, patient, encounter, date and plain text of each DocumentReference, one after the other; a text that is not
    in the resource, or not plain, is empty, and counted in `unread` with the reason."""
    for path in resources.with_documents:
        for resource in _lines(path):
            if text_at(resource, "resourceType") != "DocumentReference":
                continue
            reference = first_of(
                at(resource, "context", "encounter", 0),
                at(resource, "context", 0),
                at(resource, "context", "encounter"),
            )
            dates = (text_at(resource, "date"), text_at(resource, "context", "period", "end"))
            yield (
                text_at(resource, "id"),
                id_of(at(resource, "subject")),
                id_of(reference),
                next(filter(None, dates), ""),
                _plain_text(resource, unread),
            )


def at(value: object, *path: str | int) -> object:
    """What lies in `value` at `path`; None where nothing does."""
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: object, *path: str | int) -> str:
    """The text at `path`; empty where there is none. Halves of characters, which JSON can hold, become `?`."""
    text = at(value, *path)
    if not isinstance(text, str):
        return ""
    stripped = text.strip()
    return stripped if stripped.isascii() else stripped.encode("utf-8", "replace").decode()


def first_of(*values: object) -> object:
    """The first of `values` that is an object."""
    return next((value for value in values if isinstance(value, Mapping)), None)


def id_of(reference: object) -> str:
    """The id in a Reference: `Patient/7`, an address that ends so, or `urn:uuid:...`; empty for contained resources."""
    text = text_at(reference, "reference")
    if text.startswith("#"):
        return ""
    # One object for each id, however many resources name it.
    return sys.intern(re.sub(r"/_history/[^/]*$", "", text).rsplit("/", 1)[-1].removeprefix("urn:uuid:"))


def _lines(path: Path) -> Iterator[Mapping[str, object]]:
    number = 0
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                resource = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
                    raise UserError(f"{path}, line {number:,} is no FHIR resource: it has no resourceType")
                yield resource
    except UserError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is a damaged or cut off gzip file; download or copy it again") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path}, line {number:,} is not JSON; a Bulk export has one resource a line") from None


def _take(resource: Mapping[str, object], resources: Resources, path: Path) -> None:
    match text_at(resource, "resourceType"):
        case "Patient":
            resources.people.append(
                Person(
                    patient_id=text_at(resource, "id"),
                    identifier=text_at(resource, "identifier", 0, "value"),
                    sex=text_at(resource, "gender"),
                    birth=_whole_date(text_at(resource, "birthDate")),
                    death=text_at(resource, "deceasedDateTime"),
                    replaced_by=_replaced_by(resource),
                )
            )
        case "Encounter":
            resources.encounters.append(_encounter(resource))
            diagnoses = at(resource, "diagnosis")
            for diagnosis in diagnoses if isinstance(diagnoses, list) else ():
                _rank(diagnosis, text_at(resource, "id"), resources)
        case "Condition":
            resources.conditions.append(_condition(resource))
        case "DocumentReference":
            if path not in resources.with_documents:
                resources.with_documents.append(path)
        case other:
            resources.others[other if re.fullmatch(r"[A-Za-z]{1,40}", other) else "another"] += 1


def _encounter(resource: Mapping[str, object]) -> Encounter:
    kinds = (text_at(resource, "class", "code"), text_at(resource, "class", 0, "coding", 0, "code"))
    starts = (text_at(resource, "period", "start"), text_at(resource, "actualPeriod", "start"))
    return Encounter(
        encounter_id=text_at(resource, "id"),
        identifier=text_at(resource, "identifier", 0, "value"),
        patient_id=id_of(at(resource, "subject")),
        start=next(filter(None, starts), ""),
        status=text_at(resource, "status"),
        kind=next(filter(None, kinds), "").upper(),
        part_of=id_of(at(resource, "partOf")),
    )


def _replaced_by(patient: Mapping[str, object]) -> str:
    links = at(patient, "link")
    replacing = [link for link in links if text_at(link, "type") == "replaced-by"] if isinstance(links, list) else []
    return id_of(at(replacing[0], "other")) if replacing else ""


def _rank(diagnosis: object, encounter_id: str, resources: Resources) -> None:
    """R4 names one condition, R5 a list of them."""
    rank = at(diagnosis, "rank")
    references = [at(diagnosis, "condition")]
    listed = references[0]
    if isinstance(listed, list):
        references = [at(each, "reference") for each in listed]
    for reference in references:
        name = id_of(reference)
        if name:
            is_rank = isinstance(rank, int) and not isinstance(rank, bool) and 0 < rank < 1_000_000
            ranks = resources.ranks.setdefault(name, {})
            ranks.setdefault(encounter_id, rank if isinstance(rank, int) and is_rank else None)


def _condition(resource: Mapping[str, object]) -> Condition:
    codings = at(resource, "code", "coding")
    pairs = [(text_at(each, "system"), text_at(each, "code")) for each in codings] if isinstance(codings, list) else []
    encounter = first_of(at(resource, "encounter"), at(resource, "context"))
    verified = at(resource, "verificationStatus", "coding")
    statuses = [text_at(each, "code") for each in verified] if isinstance(verified, list) else []
    statuses = [text_at(resource, "verificationStatus"), *statuses]
    none = [status for status in statuses if status in NO_CONDITION]
    return Condition(
        condition_id=text_at(resource, "id"),
        patient_id=id_of(at(resource, "subject")),
        encounter_id=id_of(encounter),
        status=sys.intern(next(filter(None, [*none, *statuses]), "")),
        codes=tuple(
            (sys.intern(system), sys.intern(code))
            for system, code in pairs
            if code and (icd_version(system) or icd_version(system, who=True))
        ),
    )


def _plain_text(resource: Mapping[str, object], unread: Counter[str]) -> str:
    if text_at(resource, "status") == "entered-in-error":
        unread["entered in error"] += 1
        return ""
    contents = at(resource, "content")
    attachments = [at(each, "attachment") for each in contents] if isinstance(contents, list) else []
    plain = [each for each in attachments if re.match(r"text/plain|$", text_at(each, "contentType").lower())]
    with_data = [each for each in plain if text_at(each, "data")]
    if not with_data:
        unread["text elsewhere (url), or none" if plain else "not plain text"] += 1
        return ""
    charset = re.search(r"charset=([\w.-]+)", text_at(with_data[0], "contentType").lower())
    try:
        return base64.b64decode(text_at(with_data[0], "data")).decode(charset[1] if charset else "utf-8")
    except (binascii.Error, UnicodeError, LookupError, ValueError):
        unread["not base64 of a text"] += 1
        return ""


def _whole_date(text: str) -> str:
    """A date of birth in full: a year is taken for its middle, a month likewise."""
    if re.fullmatch(r"\d{4}", text):
        return f"{text}-07-01"
    return f"{text}-15" if re.fullmatch(r"\d{4}-\d\d", text) else text
