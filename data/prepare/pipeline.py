"""From a cohort to prepared tasks on disk: filter, split, make examples, write."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from data.codes.ccs import load_ccs
from data.codes.code_table import CodeNames, code_table, group_table
from data.cohorts.candidates import (
    DEFAULT_RULE,
    FILE_RULE,
    RULES,
    SOURCE_RULE,
    CandidateFile,
    Candidates,
    candidate_reader,
    choose_candidates,
    drop_outside_training,
    has_candidate,
    read_candidate_file,
)
from data.cohorts.cohort import Patient
from data.cohorts.examples import Row, coding_rows, diagnosis_rows
from data.cohorts.filters import coarsen, drop_patients, drop_rare_codes, keep_last_visits, keep_primary_targets
from data.cohorts.near_duplicates import drop_near_duplicates
from data.cohorts.past_notes import note_counts, only_past_notes
from data.cohorts.source import Source
from data.cohorts.split_options import SplitOptions
from data.cohorts.task_options import TaskOptions
from data.ledger import Ledger
from data.task import FEATURES, PAST_NOTES_FEATURES, SPLITS, Task, as_table, save_task
from data.task_folder.task_rows import codes_of_rows
from mera.system.errors import UserError


def prepare_tasks(
    output: str | Path,
    kind: str,
    source: Source,
    options: TaskOptions,
    split: SplitOptions,
) -> list[Task]:
    """Write the `diagnosis` or `coding` task of a cohort, or with `kfold` one for each fold, and return them.

    `source.oracle(test rows, candidates)` is kept as `oracle.npy` in a `diagnosis` task. Raises ValueError where too few
    patients are left, or the file of `options.candidates` holds what is no code.
    """
    names: CodeNames = load_ccs(source.system) if options.granularity == "ccs" else source.ontology
    named = _named_candidates(source, options, names)
    patients = _filter(source, kind, options)
    outputs = task_folders(output, split)
    return [
        _write(path, kind, source, patients, names, named, options, part)
        for path, part in zip(outputs, split.each_fold(), strict=True)
    ]


def task_folders(output: str | Path, split: SplitOptions) -> list[Path]:
    """Where `prepare_tasks` writes: `output`, or `output-fold0` and so on."""
    parts = split.each_fold()
    return [Path(output)] if len(parts) == 1 else [Path(f"{output}-fold{part.fold}") for part in parts]


def _candidate_rule(source: Source, options: TaskOptions) -> str:
    if options.candidates is None:
        return DEFAULT_RULE if source.candidates is None else SOURCE_RULE
    return options.candidates if options.candidates in RULES else FILE_RULE


def _named_candidates(source: Source, options: TaskOptions, names: CodeNames) -> CandidateFile | Sequence[str] | None:
    """The list that the user or else the source gives; None where the rule is to look at the patients."""
    rule = _candidate_rule(source, options)
    if rule == FILE_RULE:
        assert options.candidates is not None, "the rule of a file names one"
        reader = candidate_reader(source.ontology, names, options.granularity)
        return read_candidate_file(options.candidates, reader, names.edition)
    return source.candidates if rule == SOURCE_RULE else None


def _filter(source: Source, kind: str, options: TaskOptions) -> list[Patient]:
    patients, ledger = list(source.patients), source.ledger
    if options.granularity == "category":
        ontology = source.ontology
        patients = coarsen(patients, lambda code: ontology.groups(code)["category"], "category", ledger)
    if options.granularity == "ccs":
        patients = coarsen(patients, load_ccs(source.system).group_of, "CCS group", ledger)
    if options.min_code_count > 1:
        patients = drop_rare_codes(patients, options.min_code_count, ledger)
    if options.primary_only:
        patients = keep_primary_targets(patients, kind == "coding", ledger)
    if kind == "diagnosis" and not options.first_visits:
        reason = f"fewer than {options.min_visits} visits"
        patients = drop_patients(patients, lambda patient: len(patient.visits) >= options.min_visits, reason, ledger)
    if not patients:
        raise UserError(_why_nobody_is_left(source, kind, options))
    return patients


def _why_nobody_is_left(source: Source, kind: str, options: TaskOptions) -> str:
    """The likeliest cause in a sentence; the ledger's account says the rest."""
    if kind == "coding":
        dropped = source.ledger.record()["accounting"].get("notes", {}).get("dropped", {})
        most = max(dropped, key=dropped.__getitem__, default=None)
        hint = "" if most is None else f": {dropped[most]:,} notes were dropped ({most})"
        return f"no patient of {source.name} has a note with a usable code{hint}"
    most = max((len(patient.visits) for patient in source.patients), default=0)
    hint = ""
    if most == 1 and len(source.patients) > 1:
        hint = f": each of {len(source.patients):,} patients has a single visit; is the patient's id really one?"
    elif most:
        hint = f": the most that one has is {most}"
    else:
        dropped = source.ledger.record()["dropped"]
        reason = max(dropped, key=dropped.__getitem__, default=None)
        hint = f": {dropped[reason]:,} diagnoses were dropped ({reason})" if reason is not None else ""
    return f"no patient of {source.name} has {options.min_visits} visits with a usable code{hint}"


def _write(
    output: Path,
    kind: str,
    source: Source,
    patients: Sequence[Patient],
    names: CodeNames,
    named: CandidateFile | Sequence[str] | None,
    options: TaskOptions,
    split: SplitOptions,
) -> Task:
    ledger = source.ledger.copy()
    cohort_patients = patients
    cohort = hashlib.sha256(repr(patients).encode()).hexdigest() if split.protocol == "kfold" else None
    split_of = _split(patients, source, options, split)
    patients = drop_patients(patients, lambda patient: patient.patient_id in split_of, "not in the sample", ledger)
    parts = {name: [patient for patient in patients if split_of[patient.patient_id] == name] for name in SPLITS}
    if kind == "coding":
        patients = drop_near_duplicates(patients, split_of, ledger)
        parts = {name: [patient for patient in patients if split_of[patient.patient_id] == name] for name in SPLITS}
    elif options.max_history is not None:
        for name, members in parts.items():
            if not (options.every_visit and name == "train"):
                parts[name] = keep_last_visits(members, options.max_history + 1, ledger)
    patients = [patient for members in parts.values() for patient in members]
    facts = dict(source.facts)
    if options.past_notes:
        patients = only_past_notes(patients, split_of, ledger)
        parts = {name: [patient for patient in patients if split_of[patient.patient_id] == name] for name in SPLITS}
    candidates = choose_candidates(
        _candidate_rule(source, options),
        named=named,
        trained=[*parts["train"], *parts["validation"]],
        # With `all` the folds of one cohort have the same candidates.
        everyone=cohort_patients if split.protocol == "kfold" else patients,
        names=names,
        granularity=options.granularity,
    )
    rule = candidates.record()
    if candidates.rule == FILE_RULE:
        parts["train"], num_dropped = _drop_outside_training(kind, parts["train"], candidates, options, ledger)
        patients = [patient for members in parts.values() for patient in members]
        rule["training_examples_dropped"] = num_dropped
    if options.past_notes:
        facts["past_notes"] = note_counts(patients)
    _check_ledger(ledger, patients)
    table = code_table(candidates.codes, names)
    info = {
        "source": source.name,
        "kind": kind,
        "ontology": names.system,
        "edition": names.edition,
        "protocol": split.record() | ({"cohort": cohort} if split.protocol == "kfold" else {}),
        "options": {
            **{name: value for name, value in asdict(options).items() if name != "candidates"},
            **source.options,
        },
        "candidates_rule": rule,
        **facts,
        "inputs": {file.file_name: file.sha256 for file in (*source.files, *candidates.files())},
        **ledger.record(),
    }
    # Notes of a whole hospital do not fit into memory, so their tables are mapped from files until the task is written.
    on_disk = kind == "coding" or options.past_notes
    features = PAST_NOTES_FEATURES if options.past_notes else FEATURES
    rows = {name: _rows(kind, name, members, options) for name, members in parts.items()}
    if candidates.rule == FILE_RULE:
        among = set(candidates.codes)
        rows["train"] = (row for row in rows["train"] if has_candidate(row, among))
    tables = {name: as_table(of_split, on_disk, features) for name, of_split in rows.items()}
    others = code_table(sorted(codes_of_rows(tables.values()) - set(candidates.codes)), names)
    arrays = {}
    if source.oracle is not None and kind == "diagnosis" and tables[SPLITS[-1]].num_rows:
        arrays["oracle.npy"] = source.oracle(tables[SPLITS[-1]].to_pylist(), candidates.codes)
        info["oracle"] = "oracle.npy"
    groups = group_table(pl.concat([table, others]), names)
    return save_task(output, tables, table, groups, info, arrays, features, others)


def _drop_outside_training(
    kind: str, patients: Sequence[Patient], candidates: Candidates, options: TaskOptions, ledger: Ledger
) -> tuple[list[Patient], int]:
    """The training patients that have an example with a candidate to predict, and how many examples have none.

    Raises ValueError where no patient is left.
    """

    def rows_of(members: Sequence[Patient]) -> Iterable[Row]:
        return _rows(kind, "train", members, options)

    kept, num_dropped = drop_outside_training(
        patients, set(candidates.codes), rows_of if kind == "diagnosis" else None, ledger
    )
    if not kept:
        raise UserError(
            f"no training example has one of the {len(candidates.codes):,} codes of {options.candidates} to predict; "
            "is it the right list?"
        )
    return kept, num_dropped


def _split(patients: Sequence[Patient], source: Source, options: TaskOptions, split: SplitOptions) -> dict[str, str]:
    """patient id -> split. With `first_visits`, patients with too few visits for a test are all in train."""
    if not options.first_visits:
        return split.split(patients, source.given_split)
    if split.protocol not in ("random", "kfold") or source.given_split:
        raise UserError("--first-visits adds training patients, which only --protocol random and kfold allow")
    testable = [patient for patient in patients if len(patient.visits) >= options.min_visits]
    if not testable:
        raise UserError(f"no patient of {source.name} has {options.min_visits} visits with a usable code")
    return dict.fromkeys((patient.patient_id for patient in patients), "train") | split.split(testable, None)


def _rows(kind: str, split: str, patients: Sequence[Patient], options: TaskOptions) -> Iterable[Row]:
    if kind == "coding":
        return coding_rows(patients)
    training = split == "train"
    return diagnosis_rows(
        patients,
        every_visit=options.every_visit and training,
        first_visits=options.first_visits and training,
        max_history=options.max_history,
        primary_only=options.primary_only,
        past_notes=options.past_notes,
    )


def _check_ledger(ledger: Ledger, patients: Sequence[Patient]) -> None:
    visits = [visit for patient in patients for visit in patient.visits]
    ledger.check_used("patients", len(patients))
    ledger.check_used("visits", len(visits))
    ledger.check_used("diagnoses", sum(len(visit.codes) for visit in visits))
    ledger.check_used("notes", sum(visit.num_notes for visit in visits))
