"""The sources by name: each reads its files as the command line says, and hands on a cohort."""

import argparse
from collections.abc import Callable

from data.codiesp import read_codiesp
from data.desynpuf import read_desynpuf
from data.diabetes130 import read_diabetes130
from data.disease_model import DiseaseModel
from data.eicu import read_eicu
from data.ledger import Ledger
from data.meds import read_meds
from data.mimic3 import read_mimic3
from data.mimic4 import read_mimic4
from data.mimic_cxr import read_mimic_cxr
from data.national_edition import read_national_edition
from data.pipeline import Source
from data.synthetic import synthetic_cohort
from data.table_files.columns import ColumnForms
from data.table_files.meanings import parse_sex_values
from data.user_table import SYSTEMS, TableColumns, read_user_table

Arguments = argparse.Namespace


def _forms(arguments: Arguments) -> ColumnForms:
    sexes = {} if arguments.sex_values is None else parse_sex_values(arguments.sex_values)
    return ColumnForms(date_format=arguments.date_format, sex_values=sexes)


def _check_notes_are_read(arguments: Arguments, kind: str, option: str, given: str | None) -> None:
    if given is not None and kind == "diagnosis" and not arguments.past_notes:
        raise ValueError(
            f"{option} is read with --kind coding, or with --past-notes for the notes of a history; give one of them, "
            f"or leave {option} out"
        )


def _read_diabetes130(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files = read_diabetes130(arguments.input, ledger, _forms(arguments), arguments.granularity)
    return Source(name="diabetes130", system="icd9cm", patients=patients, ledger=ledger, files=files)


def _read_mimic3(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    _check_notes_are_read(arguments, kind, "--notes", arguments.notes)
    notes = (arguments.notes or arguments.input) if kind == "coding" or arguments.past_notes else None
    patients, files = read_mimic3(
        arguments.input,
        ledger,
        notes,
        arguments.past_notes,
        _forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
    )
    return Source(name="mimic3", system="icd9cm", patients=patients, ledger=ledger, files=files)


def _read_mimic4(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    _check_notes_are_read(arguments, kind, "--notes", arguments.notes)
    if (kind == "coding" or arguments.past_notes) and arguments.notes is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise ValueError(f"{asked} needs --notes: discharge.csv.gz of MIMIC-IV-Note, or the folder that holds it")
    patients, files, system = read_mimic4(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.notes,
        arguments.past_notes,
        _forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
    )
    options = {"code_system": arguments.code_system or system.removesuffix("cm")}
    return Source(name="mimic4", system=system, patients=patients, ledger=ledger, files=files, options=options)


def _read_mimic_cxr(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files, system, facts = read_mimic_cxr(
        arguments.reports,
        arguments.metadata,
        ledger,
        hosp=arguments.hosp,
        ed=arguments.ed,
        code_system=arguments.code_system,
        sections=arguments.sections,
        forms=_forms(arguments),
        zeros=arguments.codes_without_zeros,
        granularity=arguments.granularity,
    )
    return Source(
        name="mimic-cxr",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options={"code_system": arguments.code_system, "sections": list(arguments.sections)},
        facts=facts,
    )


def _read_eicu(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files, system = read_eicu(
        arguments.input, ledger, arguments.code_system, arguments.visit, _forms(arguments), arguments.granularity
    )
    options = {"code_system": arguments.code_system, "visit": arguments.visit}
    return Source(name="eicu", system=system, patients=patients, ledger=ledger, files=files, options=options)


def _read_desynpuf(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files = read_desynpuf(
        arguments.input, ledger, _forms(arguments), arguments.codes_without_zeros, arguments.granularity
    )
    return Source(name="desynpuf", system="icd9cm", patients=patients, ledger=ledger, files=files)


def _read_codiesp(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files, given = read_codiesp(arguments.input, ledger, arguments.language, arguments.granularity)
    return Source(
        name="codiesp",
        system="icd10cm",
        patients=patients,
        ledger=ledger,
        files=files,
        options={"language": arguments.language},
        given_split=given,
    )


def _read_meds(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    patients, files, system, given = read_meds(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.visit_column,
        arguments.diagnosis_prefix,
        _forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
    )
    options = {"code_system": arguments.code_system, "visit_column": arguments.visit_column}
    return Source(
        name="meds",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options=options,
        given_split=given,
    )


def _read_table(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    _check_notes_are_read(arguments, kind, "--text", arguments.text)
    if (kind == "coding" or arguments.past_notes) and arguments.text is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise ValueError(f"{asked} needs --text, the column with the notes")
    if arguments.primary_only and arguments.position is None and arguments.code_separator is None:
        raise ValueError("--primary-only needs --position or --code-separator, to tell which code of a visit is first")
    if arguments.code_system is None and arguments.codes is None:
        raise ValueError("a table needs --code-system or --codes, to say which edition its codes are of")
    if arguments.code_system == "icd9" and arguments.codes is not None:
        raise ValueError("--codes is the table of an edition of ICD-10; leave --code-system icd9 out")
    edition, edition_files = None, []
    if arguments.codes is not None:
        edition, file = read_national_edition(arguments.codes, ledger)
        edition_files.append(file)
    columns = TableColumns(**{name: getattr(arguments, name) for name in TableColumns.__dataclass_fields__})
    patients, files = read_user_table(
        arguments.input,
        columns,
        ledger,
        arguments.code_system,
        arguments.separator,
        arguments.code_separator,
        arguments.past_notes,
        _forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        edition,
    )
    return Source(
        name="table",
        system=SYSTEMS[arguments.code_system] if edition is None else edition.system,
        edition=edition,
        patients=patients,
        ledger=ledger,
        files=[*files, *edition_files],
        options={"code_system": arguments.code_system, "columns": columns.named()},
    )


def _read_synthetic(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    with_notes = kind == "coding" or arguments.past_notes
    patients = synthetic_cohort(arguments.patients, arguments.seed, with_notes=with_notes)
    ledger.read("patients", len(patients))
    ledger.read("notes", sum(visit.num_notes for patient in patients for visit in patient.visits))
    ledger.read("visits", sum(len(patient.visits) for patient in patients))
    ledger.read("diagnoses", sum(len(visit.codes) for patient in patients for visit in patient.visits))
    return Source(
        name="synthetic",
        system="icd10cm",
        patients=patients,
        ledger=ledger,
        options={"patients": arguments.patients, "seed": arguments.seed},
        candidates=DiseaseModel().codes,
    )


READERS: dict[str, Callable[[Arguments, str, Ledger], Source]] = {
    "diabetes130": _read_diabetes130,
    "mimic3": _read_mimic3,
    "mimic4": _read_mimic4,
    "mimic-cxr": _read_mimic_cxr,
    "eicu": _read_eicu,
    "desynpuf": _read_desynpuf,
    "codiesp": _read_codiesp,
    "meds": _read_meds,
    "table": _read_table,
    "synthetic": _read_synthetic,
}
"""Source -> (arguments, `diagnosis` or `coding`, ledger) -> its cohort."""
