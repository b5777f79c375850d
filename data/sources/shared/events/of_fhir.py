"""Procedures, drugs and abnormal labs of FHIR: Procedure, Medication..., Observation.

A procedure is its coding (ICD-9-CM and ICD-10-PCS first) with the display it has, or what its code says of itself. A
drug is one that was ordered, given, dispensed or stated (MedicationRequest, -Administration, -Dispense, -Statement), by
the class (`drug_classes`) of its text, the display of its coding, or of the Medication that it names. A lab is an
Observation of the category laboratory (or of none) that is interpreted as high, low or abnormal, or whose number lies
outside its reference range. All belong to the encounter that they name; what was entered in error, was not done or was
cancelled is counted and left out.
"""

import datetime
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import polars as pl

from data.sources.shared.events.abnormal_labs import abnormal, side_of
from data.sources.shared.events.drug_classes import drug_class
from data.sources.shared.events.event_rows import EventRows
from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key
from data.sources.shared.fhir.ndjson import at, first_of, id_of, text_at
from data.table_files.times import iso_time

_DRUGS = ("MedicationRequest", "MedicationAdministration", "MedicationDispense", "MedicationStatement")
_TYPES = {"Procedure": "procedures", "Observation": "labs", "Medication": "drugs", **dict.fromkeys(_DRUGS, "drugs")}
_NO_EVENT = frozenset(["entered-in-error", "not-done", "not-taken", "cancelled", "draft", "stopped-before-start"])
"""Statuses of what did not take place."""
_NOT_YET = {
    "Procedure": frozenset(["preparation"]),
    "Observation": frozenset(["registered"]),
    "MedicationDispense": frozenset(["preparation", "on-hold", "declined"]),
    "MedicationStatement": frozenset(["intended"]),
}
"""Type -> its statuses of what has not taken place."""
_NO_ORDERS = frozenset(["proposal", "plan", "option"])
"""Intents of requests that order nothing."""
_GIVEN = ("occurenceDateTime", "occurrenceDateTime")
"""R5 writes the one of administrations, the other of procedures."""
_PERIODS = ("performedPeriod", "effectivePeriod", "occurencePeriod", "occurrencePeriod")
_TIMES = {
    "Procedure": ("performedDateTime", *_GIVEN),
    "Observation": ("effectiveDateTime",),
    **dict.fromkeys(_DRUGS, ("authoredOn", "effectiveDateTime", *_GIVEN)),
}
_LAST_TIMES = ("whenHandedOver", "whenPrepared", "dateAsserted", "issued", "recorded")
"""Of what has no other time."""
_ICD_SYSTEMS = {
    "icd-9-cm": 9,
    "procedure-icd9": 9,
    "2.16.840.1.113883.6.104": 9,
    "icd10": 10,
    "icd-10-pcs": 10,
    "procedure-icd10": 10,
    "2.16.840.1.113883.6.4": 10,
}
"""How the systems of procedures in ICD end, in lower case."""
_COLUMNS = ("patient_id", "admission_id", "time", "key", "name")


@dataclass(kw_only=True, slots=True)
class FhirEvents:
    """Takes resources of the `kinds` (`procedures`, `drugs`, `labs`) one at a time, and hands their events on."""

    kinds: Sequence[str]
    _rows: dict[str, list[tuple[str | float | None, ...]]] = field(
        default_factory=lambda: {"procedure": [], "drug": [], "lab": []}
    )
    _of_medication: dict[str, str] = field(default_factory=dict)
    """Id of a Medication -> the class of the drug."""
    _dropped: dict[str, int] = field(default_factory=dict)
    _untimed: int = 0

    def take(self, resource: Mapping[str, object]) -> bool:
        """Whether it is of a type that is read."""
        kind = text_at(resource, "resourceType")
        if _TYPES.get(kind) not in self.kinds:
            return False
        if kind == "Medication":
            self._of_medication[text_at(resource, "id")] = _drug(resource, "code")
            return True
        if _did_not_happen(resource, kind):
            self._drop("entered in error, cancelled, planned or not done")
            return True
        encounter = first_of(at(resource, "encounter"), at(resource, "context"))
        place = (id_of(at(resource, "subject")) or None, id_of(encounter) or None, self._time(resource, kind))
        if kind == "Procedure":
            self._rows["procedure"].append((*place, *_procedure(resource)))
        elif kind == "Observation":
            self._lab(resource, place)
        else:
            self._rows["drug"].append((*place, *self._ordered(resource)))
        return True

    def add_to(self, events: EventRows, names: tuple[Mapping[str, str], Mapping[str, str]] | None = None) -> None:
        """All that was taken. `names`: id of a patient and of an encounter -> how visits call them."""
        taken = sum(self._dropped.values()) + sum(map(len, self._rows.values()))
        events.ledger.read("events", taken)
        for reason, count in self._dropped.items():
            events.ledger.drop("events", reason, count)
        events.ledger.change("time of an event that cannot be read, taken for none", self._untimed)
        for kind, rows in self._rows.items():
            if not rows:
                continue
            if kind == "lab":
                frame = self._abnormal(events)
            else:
                if kind == "drug":
                    rows = [(*row[:3], *self._class(row[3])) for row in rows]
                frame = pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String), orient="row")
            if names is not None:
                frame = frame.with_columns(
                    pl.col(column).replace(dict(of))
                    for column, of in zip(("patient_id", "admission_id"), names, strict=True)
                )
            moment = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M:%S")
            events.add(kind, frame.with_columns(time=moment))

    def _drop(self, reason: str) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _time(self, resource: Mapping[str, object], kind: str) -> str | None:
        paths = [*((name,) for name in _TIMES[kind]), *((name, "start") for name in _PERIODS)]
        paths += [(name,) for name in _LAST_TIMES]
        text = next(filter(None, (text_at(resource, *path) for path in paths)), "")
        moment = _moment(text)
        self._untimed += bool(text) and not moment
        return moment or None

    def _ordered(self, resource: Mapping[str, object]) -> tuple[str, str]:
        """The class, or behind `#` the id of the Medication that has it."""
        own = _drug(resource, "medicationCodeableConcept") or _drug(at(resource, "medication"), "concept")
        reference = first_of(at(resource, "medicationReference"), at(resource, "medication", "reference"))
        contained = at(resource, "contained")
        inside = [_drug(each, "code") for each in contained] if isinstance(contained, list) else []
        own = own or next(filter(None, inside), "")
        return (own, own) if own else (f"#{id_of(reference)}", "")

    def _class(self, key: str | float | None) -> tuple[str, str]:
        text = str(key)
        of_class = self._of_medication.get(text[1:], "") if text.startswith("#") else text
        return of_class, of_class

    def _lab(self, resource: Mapping[str, object], place: tuple[str | None, str | None, str | None]) -> None:
        categories = [text.lower() for text in _codes(at(resource, "category"))]
        if categories and not any(text in ("laboratory", "lab") or "lab" in text for text in categories):
            return self._drop("observation of another category than laboratory")
        interpretation = next(iter(_codes(at(resource, "interpretation"))), None)
        value = _number(at(resource, "valueQuantity", "value"))
        low, high = (_number(at(_normal_range(resource), side, "value")) for side in ("low", "high"))
        code, name = _coding(resource)
        self._rows["lab"].append((*place, code, name, interpretation, value, low, high))

    def _abnormal(self, events: EventRows) -> pl.DataFrame:
        schema = {
            **dict.fromkeys((*_COLUMNS, "flag"), pl.String()),
            **dict.fromkeys(("value", "low", "high"), pl.Float64()),
        }
        rows = pl.DataFrame(self._rows["lab"], schema=schema, orient="row")
        side = side_of(pl.col("flag"), pl.col("value"), pl.col("low"), pl.col("high"))
        out, normal, unknown = abnormal(rows, side)
        events.ledger.drop("events", "lab within its range", normal)
        events.ledger.drop("events", "lab of which nothing says whether it is in range", unknown)
        return out.with_columns(
            key=pl.concat_str("key", pl.lit(":"), "side"), name=pl.concat_str("name", pl.lit(" "), "side")
        )


def _did_not_happen(resource: Mapping[str, object], kind: str) -> bool:
    status = text_at(resource, "status")
    is_no_order = kind == "MedicationRequest" and text_at(resource, "intent") in _NO_ORDERS
    return (
        status in _NO_EVENT or status in _NOT_YET.get(kind, ()) or is_no_order or at(resource, "doNotPerform") is True
    )


def _normal_range(observation: Mapping[str, object]) -> object:
    """The reference range of the type `normal`, or without a type; others say what is wanted of a treatment."""
    ranges = at(observation, "referenceRange")
    kinds = [(each, _codes(at(each, "type"))) for each in ranges] if isinstance(ranges, list) else []
    return next((each for each, types in kinds if not types or "normal" in types), None)


def _moment(text: str) -> str:
    """`2151-01-20 18:00:00` by the clock of the place; empty where the text is no time."""
    with suppress(ValueError):
        moment = datetime.datetime.fromisoformat(text)
        text = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    return iso_time(text) if text else ""


def _codings(value: object) -> list[object]:
    """The codings of a CodeableConcept, or of a list of them."""
    concepts = value if isinstance(value, list) else [value]
    codings = [at(concept, "coding") for concept in concepts]
    return [coding for part in codings if isinstance(part, list) for coding in part]


def _codes(value: object) -> list[str]:
    return [code for code in (text_at(coding, "code") for coding in _codings(value)) if code]


def _procedure(resource: Mapping[str, object]) -> tuple[str, str]:
    for coding in _codings(at(resource, "code")):
        system = text_at(coding, "system").lower().rstrip("/")
        version = next((number for ending, number in _ICD_SYSTEMS.items() if system.endswith(ending)), None)
        key = "" if version is None else procedure_key(text_at(coding, "code"), version)
        if key:
            words = text_at(coding, "display") or text_at(resource, "code", "text") or name_of_procedure(key)
            return sys.intern(key), sys.intern(words)
    return _coding(resource)


def _coding(resource: Mapping[str, object]) -> tuple[str, str]:
    """The first coding of `code` with a code, and its name; a text alone stands for both."""
    text = text_at(resource, "code", "text")
    for coding in _codings(at(resource, "code")):
        code = text_at(coding, "code")
        if code:
            system = re.split(r"[/:]", text_at(coding, "system").rstrip("/"))[-1]
            return sys.intern(f"{system}:{code}"), sys.intern(text_at(coding, "display") or text)
    return sys.intern(text.lower()), sys.intern(text)


def _drug(resource: object, name: str) -> str:
    """The class of the drug that a CodeableConcept names."""
    concept = at(resource, name)
    words = [text_at(concept, "text"), *(text_at(coding, "display") for coding in _codings(concept))]
    classes = (drug_class(text) for text in words if text)
    return sys.intern(next(filter(None, classes), ""))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
