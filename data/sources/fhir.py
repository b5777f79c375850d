"""FHIR, a Bulk export: NDJSON files of Patient, Encounter, Condition and DocumentReference.

Read are US Core's shapes and those of MIMIC-IV-on-FHIR, R4 and R5. A visit is an encounter that took place; one that is
part of another, as the stay on a ward is of a stay in hospital, is that visit. A patient whose record was replaced is
the one that replaced it, and of a resource (but for events) that several exports hold the newest version counts. A
condition belongs to the encounter that it names, and to those that list it as a diagnosis, where its rank orders the
codes and says which is first. Its codes are the codings in an edition of ICD; conditions that were refuted or entered
in error, are of a differential diagnosis, have no such coding or no encounter, or began after the patient's next visit
did, are counted and left out. Notes are DocumentReferences with their plain text inside.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.cohorts.cohort import Patient, build_cohort, with_people
from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.discharge_notes import next_admissions, read_visit_notes, visits_with_notes
from data.sources.shared.events.event_rows import EventRows
from data.sources.shared.events.of_fhir import FhirEvents
from data.sources.shared.events.options import add_events
from data.sources.shared.fhir.conditions import read_conditions, with_days
from data.sources.shared.fhir.documents import read_documents
from data.sources.shared.fhir.resources import NO_VISIT, Encounter, Person, Resources, read_resources
from data.sources.shared.icd_versions import CODE_SYSTEMS, WHO, codes_of_the_who, resolve_versions
from data.sources.shared.in_time import count_overlaps, known_in_time
from data.sources.shared.options import add_code_system, add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import Column, ColumnForms, column, type_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from data.table_files.text_tables import TextTable
from data.table_files.times import completed_years
from mera.system.errors import UserError


def read_fhir(
    folder: str | Path,
    ledger: Ledger,
    *,
    code_system: str | None = None,
    kinds: Sequence[str] = (),
    identifiers: bool = False,
    notes: bool = False,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    event_kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], str, pl.DataFrame | None]:
    """The cohort, the files it was read from, the ontology of its codes, and the names of its events.

    `folder`: of the NDJSON files, at any depth. `code_system`: of CODE_SYSTEMS or WHO. `kinds`: only encounters of
    these classes (`IMP`); none: all. `identifiers`: patients and visits are called by their first identifier where they
    have one. With `notes` visits are those that have a note, with `past_notes` all. `event_kinds`: of events. Raises
    FileNotFoundError or UserError where the files cannot be used.
    """
    forms = forms or ColumnForms()
    taken = FhirEvents(kinds=event_kinds) if event_kinds else None
    resources = read_resources(folder, None if taken is None else taken.take)
    for kind, number in sorted(resources.others.items()):
        ledger.change(f"resource of the type {kind}, which is not read, left out", number)
    ledger.change("older version of a resource, left out", resources.older)
    ledger.change("resource that the export says was deleted, left out", resources.deleted)
    for kind, number in sorted(resources.not_deleted.items()):
        ledger.change(f"deletion of a resource of the type {kind}, which is not looked at", number)
    unlisted = sum(each.num_unlisted for each in resources.encounters)
    ledger.change("diagnosis of an encounter that is no resource Condition of its own, left out", unlisted)
    for name, number in (("Patient", len(resources.people)), ("Encounter", len(resources.encounters))):
        if not number:
            raise UserError(f"{folder} holds no resource {name}; a Bulk export of Patient, Encounter and Condition has")
    patients, stays = _ends(_replacements(resources.people)), _parts(resources.encounters, kinds)
    visits = _visits(Path(folder), resources, kinds, patients, stays, ledger, forms)
    rows = read_conditions(resources, patients, stays, code_system, ledger)
    resources.conditions.clear()  # millions, which are in `rows` now
    rows, visits = known_in_time(rows, visits, ledger, "condition"), count_overlaps(visits, ledger)
    names = _identifiers(resources, patients, stays) if identifiers else (patients, stays)
    visits = _renamed(visits, ("patient_id", "admission_id"), names)
    rows = _renamed(rows, ("subject_id", "hadm_id"), names)
    if code_system == WHO:
        codes, system = codes_of_the_who(rows, ledger, granularity), WHO
    else:
        codes, system = resolve_versions(rows, code_system, ledger, zeros=zeros, granularity=granularity)
    texts = None
    if notes or past_notes:
        unread: Counter[str] = Counter()
        documents = read_documents(resources, unread)
        named = (
            (number, names[0].get(patient, patient), names[1].get(visit, visit), time, text)
            for number, patient, visit, time, text in documents
        )
        next_ones = next_admissions(visits) if past_notes else None
        texts = read_visit_notes(named, "DocumentReference.date", ledger, next_ones, forms.date_format)
        for reason, count in unread.items():
            ledger.change(f"document whose text is not read, counted as empty: {reason}", count)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes, what="note")
    events = None
    if taken is not None:
        rows_of_events = EventRows(visits=visits, ledger=ledger, dated=True)
        taken.add_to(rows_of_events, names)
        events = rows_of_events.table()
    cohort = build_cohort(visits, codes, ledger, texts=texts, events=None if events is None else events.rows)
    return cohort, resources.files, system, None if events is None else events.names


def _ends(next_of: Mapping[str, str]) -> dict[str, str]:
    """Of each id that is followed by another the last one; circles are none."""
    ends = {}
    for first in next_of:
        last, passed = first, {first}
        while (following := next_of[last]) in next_of:
            if following in passed:
                last = first
                break
            passed.add(following)
            last = following
        if last != first:
            ends[first] = last
    return ends


def _replacements(people: Sequence[Person]) -> dict[str, str]:
    """Patient -> the one that replaced it, whichever of the two says so; empty where none did."""
    replaced_by = {each.patient_id: each.replaced_by for each in people}
    for each in people:
        for other in each.replaces:
            replaced_by[other] = replaced_by.get(other) or each.patient_id
    return replaced_by


def _parts(encounters: Sequence[Encounter], kinds: Sequence[str]) -> dict[str, str]:
    """Encounter that took place -> the outermost one of the wanted class that it is a part of, through whatever others.
    Those that are part of each other in a circle are parts of none."""
    usable = {each.encounter_id: each for each in encounters if _why_none(each) is None}
    parts = {}
    for encounter_id, each in usable.items():
        passed, above, outermost = {encounter_id}, each.part_of, ""
        while above in usable and above not in passed:
            passed.add(above)
            outermost = above if _is_of(usable[above], kinds) else outermost
            above = usable[above].part_of
        if outermost and above not in passed:
            parts[encounter_id] = outermost
    return parts


def _is_of(encounter: Encounter, kinds: Sequence[str]) -> bool:
    return not kinds or encounter.kind in {kind.upper() for kind in kinds}


def _why_none(encounter: Encounter) -> str | None:
    """Why an encounter, whatever its class, is no visit; None: it is one, or a part of one."""
    if not encounter.encounter_id or not encounter.patient_id:
        return "without a patient or visit id"
    return "planned, cancelled or entered in error" if encounter.status in NO_VISIT else None


def _visits(
    folder: Path,
    resources: Resources,
    kinds: Sequence[str],
    patients: Mapping[str, str],
    stays: Mapping[str, str],
    ledger: Ledger,
    forms: ColumnForms,
) -> pl.DataFrame:
    """`patients`, `stays`: a record, an encounter -> the one that it is read as."""
    ledger.read("visits", len(resources.encounters))
    everyone = {patients.get(each.patient_id, each.patient_id) for each in resources.encounters} - {""}
    ledger.read("patients", len(everyone))
    ledger.change("patient whose record was replaced by another, read as that one", len(patients))
    usable = []
    for each in resources.encounters:
        reason = _why_none(each)
        if reason is not None:
            ledger.drop("visits", reason)
        elif each.encounter_id in stays:
            ledger.drop("visits", "part of another encounter, with which it is read")
        elif not _is_of(each, kinds):
            ledger.drop("visits", "of another class")
        else:
            patient = patients.get(each.patient_id, each.patient_id)
            usable.append((each.encounter_id, patient, each.start or None, each.end or None))
    schema = dict.fromkeys(("admission_id", "patient_id", "start", "end"), pl.String)
    encounters = pl.DataFrame(usable, schema=schema, orient="row")
    unique = encounters.sort(pl.all(), nulls_last=True).unique("admission_id", keep="first", maintain_order=True)
    ledger.drop("visits", "duplicate visit", encounters.height - unique.height)
    times = _typed(folder, unique, (column("start", Meaning.TIME, header="Encounter.period.start"),), ledger, forms)
    timed = with_days(times.drop_nulls("start"), "end", "end of an encounter", ledger)
    ledger.drop("visits", "without a start", times.height - timed.height)
    joined = with_people(timed, _people(folder, resources, ledger, forms), "patient_id", ledger)
    dead = (pl.col("death").dt.date() < pl.col("start").dt.date()).fill_null(False)
    alive = joined.filter(~dead)
    ledger.drop("visits", "death before admission", joined.height - alive.height)
    ledger.drop("patients", "without a usable encounter", len(everyone) - alive["patient_id"].n_unique())
    start = pl.col("start")
    day = start.dt.epoch("d").cast(pl.Int64)
    return alive.select(
        "patient_id",
        "admission_id",
        "sex",
        order=start.dt.epoch("s"),
        end="end",
        age=completed_years(pl.col("birth"), start),
        day=day,
        period=day,
    )


def _people(folder: Path, resources: Resources, ledger: Ledger, forms: ColumnForms) -> pl.DataFrame:
    rows = [
        (each.patient_id or None, each.sex or None, each.birth or None, each.death or None) for each in resources.people
    ]
    people = pl.DataFrame(rows, schema=dict.fromkeys(("patient_id", "sex", "birth", "death"), pl.String), orient="row")
    columns = (
        column("sex", Meaning.SEX, header="Patient.gender"),
        column("birth", Meaning.TIME, header="Patient.birthDate"),
        column("death", Meaning.TIME, header="Patient.deceasedDateTime", may_be_empty=True),
    )
    return _typed(folder, people.drop_nulls("patient_id"), columns, ledger, forms)


def _typed(
    folder: Path, rows: pl.DataFrame, columns: Sequence[Column], ledger: Ledger, forms: ColumnForms
) -> pl.DataFrame:
    """`rows` with `columns` by their meanings."""
    text = TextTable(path=folder, file=InputFile(file_name=folder.name, sha256=""), rows=rows)
    return rows.with_columns(type_columns(text, columns, ledger, forms).get_columns())


def _identifiers(
    resources: Resources, patients: Mapping[str, str], stays: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Patient id -> the identifier of the record that it is read as, and encounter id likewise. Raises UserError where
    two of these share one."""
    of_people = {each.patient_id: each.identifier or each.patient_id for each in resources.people}
    of_encounters = {each.encounter_id: each.identifier or each.encounter_id for each in resources.encounters}
    called = []
    for names, ends, what in ((of_people, patients, "patients"), (of_encounters, stays, "encounters")):
        lasting = [name for own, name in names.items() if own not in ends]
        if len(set(lasting)) < len(lasting):
            raise UserError(f"--identifiers: several {what} have the same first identifier; leave the option out")
        called.append({own: names[ends.get(own, own)] for own in names})
    return called[0], called[1]


def _renamed(
    rows: pl.DataFrame, columns: tuple[str, str], names: tuple[Mapping[str, str], Mapping[str, str]]
) -> pl.DataFrame:
    return rows.with_columns(pl.col(name).replace(dict(of)) for name, of in zip(columns, names, strict=True))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare fhir`."""
    add_diagnosis_options(parser, "FOLDER", "folder of the .ndjson files, gzipped or not")
    add_code_system(parser, (*CODE_SYSTEMS, WHO), "; icd10who: codings of the WHO's ICD-10 instead of the CM editions")
    parser.add_argument(
        "--encounter-class",
        nargs="+",
        default=(),
        metavar="CODE",
        help="only encounters of these classes, as IMP (inpatient), EMER, AMB; default: all",
    )
    parser.add_argument(
        "--identifiers",
        action="store_true",
        help="call patients and visits by their first identifier (subject_id and hadm_id of MIMIC-IV-on-FHIR) instead "
        "of the id of the resource, as --split-file may need",
    )
    add_kind(parser, "coding: with the plain text of DocumentReference")
    add_past_notes(parser)
    add_events(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system, event_names = read_fhir(
        arguments.input,
        ledger,
        code_system=arguments.code_system,
        kinds=arguments.encounter_class,
        identifiers=arguments.identifiers,
        notes=kind == "coding",
        past_notes=arguments.past_notes,
        forms=column_forms(arguments),
        zeros=arguments.codes_without_zeros,
        granularity=arguments.granularity,
        event_kinds=arguments.events,
    )
    options = {
        "code_system": arguments.code_system or system.removesuffix("cm"),
        "encounter_class": list(arguments.encounter_class),
    }
    return Source(
        name="fhir",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options=options,
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="fhir",
    help="""\
FHIR: the folder of a Bulk export (NDJSON) with Patient, Encounter, Condition and perhaps DocumentReference.

  mera prepare fhir --input export/ --code-system icd10 --output prepared/fhir
  mera prepare fhir --input export/ --code-system icd10 --encounter-class IMP --kind coding --output prepared/fhir-notes
  mera prepare fhir --input export/ --code-system icd10 --events procedures,drugs,labs --output prepared/fhir-events
      with Procedure, Medication... and Observation of the visits before (docs/events.md)
  mera prepare fhir --input mimic-iv-fhir-demo/ --code-system to-icd10 --identifiers --output prepared/mimic4-fhir""",
    add_options=add_options,
    read=read_source,
)
