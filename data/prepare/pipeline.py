"""From a cohort to prepared tasks on disk: select and split the patients, choose candidates, make examples, write."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow as pa

from data.codes.book.book import CodeBook
from data.codes.book.store import choose_book
from data.codes.book.task_rules import edition_notes, task_rules
from data.codes.book.task_terms import book_facts, task_terms
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
from data.cohorts.events.vocabulary import cohort_digest, event_facts, keep_past_events
from data.cohorts.examples import coding_rows, diagnosis_rows
from data.cohorts.filters import drop_patients, keep_codes
from data.cohorts.hidden_codes import choose_hidden, without_hidden
from data.cohorts.notes.past_notes import note_counts
from data.cohorts.source import Source
from data.cohorts.split_options import SplitOptions
from data.cohorts.task_options import TaskOptions
from data.ledger import Ledger
from data.prepare.patient_selection import all_members, filter_patients, split_patients
from data.task import SPLITS, Task, TaskRow, as_table, save_task
from data.task_folder.features import task_features
from data.task_folder.task_info import EventFacts, HiddenCodes
from data.task_folder.task_rows import codes_of_rows
from mera.system.errors import UserError

NOT_IN_OPTIONS = ("candidates", "book", "hide_codes", "hide_seed", "events", "min_event_patients")
"""Options with a key of task.json of their own."""


def prepare_tasks(
    output: str | Path,
    kind: str,
    source: Source,
    options: TaskOptions,
    split: SplitOptions,
) -> list[Task]:
    """Write the `diagnosis` or `coding` task of a cohort, or with `kfold` one for each fold, and return them.

    `source.oracle(test rows, candidates)` is kept as `oracle.npy` in a `diagnosis` task. Raises UserError where too
    few patients are left, or the file of `options.candidates` holds what is no code.
    """
    names: CodeNames = load_ccs(source.system) if options.granularity == "ccs" else source.ontology
    named = _named_candidates(source, options, names)
    book = choose_book(options.book, source.system)
    patients = filter_patients(source, kind, options)
    if isinstance(named, CandidateFile) and options.only_candidates:
        patients = _only_candidates(kind, patients, named, options, source.ledger)
    outputs = task_folders(output, split)
    return [
        _write(path, kind, source, patients, names, named, book, options, part)
        for path, part in zip(outputs, split.each_fold(), strict=True)
    ]


def _only_candidates(
    kind: str, patients: Sequence[Patient], listed: CandidateFile, options: TaskOptions, ledger: Ledger
) -> list[Patient]:
    """The patients with the listed codes alone, and of a `diagnosis` task those that still have enough visits.

    Raises UserError where nobody is left.
    """
    reason = "code that is not in the list of --candidates"
    remaining = keep_codes(patients, set(listed.codes), reason, "no code of the list of --candidates", ledger)
    if kind == "diagnosis" and not options.first_visits:
        few = f"fewer than {options.min_visits} visits with a code of the list"
        remaining = drop_patients(remaining, lambda patient: len(patient.visits) >= options.min_visits, few, ledger)
    if not remaining:
        raise UserError(f"no patient has a code of {options.candidates}; is it the right list?")
    return remaining


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


def _write(
    output: Path,
    kind: str,
    source: Source,
    patients: Sequence[Patient],
    names: CodeNames,
    named: CandidateFile | Sequence[str] | None,
    book: CodeBook | None,
    options: TaskOptions,
    split: SplitOptions,
) -> Task:
    ledger = source.ledger.copy()
    parts = split_patients(kind, source, patients, options, split, ledger)
    candidates = choose_candidates(
        _candidate_rule(source, options),
        named=named,
        trained=[*parts["train"], *parts["validation"]],
        # With `all` the folds of one cohort have the same candidates.
        everyone=patients if split.protocol == "kfold" else all_members(parts),
        names=names,
        granularity=options.granularity,
    )
    hidden, counts = _hide_codes(kind, parts, candidates, options, ledger)
    rule = candidates.record()
    if candidates.rule == FILE_RULE:
        parts["train"], num_dropped = _drop_outside_training(kind, parts["train"], candidates, options, ledger)
        rule["training_examples_dropped"] = num_dropped
    parts, event_names, events = _keep_events(source, parts, options, ledger)
    _check_ledger(ledger, all_members(parts))
    info: dict[str, object] = {
        "source": source.name,
        "kind": kind,
        "ontology": names.system,
        "edition": names.edition,
        "book": None if book is None else book_facts(book),
        "protocol": split.record() | ({"cohort": cohort_digest(patients)} if split.protocol == "kfold" else {}),
        "options": {
            **{name: value for name, value in asdict(options).items() if name not in NOT_IN_OPTIONS},
            **source.options,
        },
        "candidates_rule": rule,
        **source.facts,
        **({"past_notes": note_counts(all_members(parts))} if options.past_notes else {}),
        **({} if events is None else {"events": events}),
        "inputs": {file.file_name: file.sha256 for file in (*source.files, *candidates.files())},
        **ledger.record(),
    }
    features = task_features(options.past_notes, bool(options.events))
    tables = _tables(kind, parts, candidates, options, features)
    if counts is not None:
        info["hidden_codes"] = {**counts, **_test_counts(tables[SPLITS[-1]], hidden)}
    arrays: dict[str, np.ndarray] = {}
    if source.oracle is not None and kind == "diagnosis" and tables[SPLITS[-1]].num_rows:
        arrays["oracle.npy"] = source.oracle(tables[SPLITS[-1]].to_pylist(), candidates.codes)
        info["oracle"] = "oracle.npy"
    codes = code_table(candidates.codes, names)
    others = code_table(sorted(codes_of_rows(tables.values()) - set(candidates.codes)), names)
    groups = group_table(pl.concat([codes, others]), names)
    if counts is not None:
        codes, others = (part.with_columns(hidden=pl.col("code").is_in(list(hidden))) for part in (codes, others))
    terms = translations = None
    if book is not None:
        translations = book.translations
        terms = task_terms(candidates.codes, source.ontology, names, options.granularity, book)
    rules = task_rules(candidates.codes, names, edition_notes(names.system, book), options.granularity)
    return save_task(
        output,
        tables,
        codes,
        groups,
        info,
        arrays,
        features,
        other_codes=others,
        terms=terms,
        rules=rules,
        translations=translations,
        event_names=event_names,
    )


def _tables(
    kind: str,
    parts: Mapping[str, Sequence[Patient]],
    candidates: Candidates,
    options: TaskOptions,
    features: datasets.Features,
) -> dict[str, pa.Table]:
    """Split -> its examples. Notes of a whole hospital do not fit into memory, so their tables are mapped from files
    until the task is written."""
    on_disk = kind == "coding" or options.past_notes
    rows = {name: _rows(kind, name, members, options) for name, members in parts.items()}
    if candidates.rule == FILE_RULE:
        among = set(candidates.codes)
        rows["train"] = (row for row in rows["train"] if has_candidate(row, among))
    return {name: as_table(of_split, on_disk, features) for name, of_split in rows.items()}


def _keep_events(
    source: Source, parts: dict[str, list[Patient]], options: TaskOptions, ledger: Ledger
) -> tuple[dict[str, list[Patient]], pl.DataFrame | None, EventFacts | None]:
    """The patients with the events that the task keeps, these events' names, and what task.json says of them; `parts`
    as they are where no events were asked for."""
    if not options.events:
        return parts, None, None
    assert source.event_names is not None, "a source that takes --events hands their names on"
    parts, kept = keep_past_events(parts, options.min_event_patients, ledger)
    names = source.event_names.filter(pl.col("event").is_in(list(kept)))
    return parts, names, event_facts(options.events, options.min_event_patients, names, all_members(parts))


def _hide_codes(
    kind: str, parts: dict[str, list[Patient]], candidates: Candidates, options: TaskOptions, ledger: Ledger
) -> tuple[set[str], HiddenCodes | None]:
    """The codes to hide, which are taken out of `parts` for train and validation, and what task.json says of them (but
    for the counts of test); nothing where none are to be hidden.

    Validation chooses epochs, weights and thresholds, so what it holds is known to the model: hidden there too.
    """
    if not options.hide_codes:
        return set(), None
    rows = _rows(kind, SPLITS[0], parts[SPLITS[0]], options)
    trained = {code for row in rows for code in row["targets"]} & set(candidates.codes)
    hidden = set(choose_hidden(trained, options.hide_codes, options.hide_seed))
    taken = {}
    for name in SPLITS[:-1]:
        needs_history = kind == "diagnosis" and not (options.first_visits and name == SPLITS[0])
        least = options.min_visits if needs_history else 1
        parts[name], taken[name] = without_hidden(parts[name], hidden, least, ledger)
    return hidden, {
        "share": options.hide_codes,
        "seed": options.hide_seed,
        "codes": len(hidden),
        "of": len(trained),
        "diagnoses_taken": taken,
        "test_targets": 0,
        "test_targets_new": 0,
    }


def _test_counts(test: pa.Table, hidden: set[str]) -> dict[str, int]:
    """Of the hidden codes' true occurrences in test how many there are, and how many the history does not hold."""
    total = new = 0
    for targets, history in zip(test["targets"].to_pylist(), test["history"].to_pylist(), strict=True):
        wanted = hidden.intersection(targets)
        total += len(wanted)
        new += len(wanted.difference(*(visit["codes"] for visit in history or [])))
    return {"test_targets": total, "test_targets_new": new}


def _drop_outside_training(
    kind: str, patients: Sequence[Patient], candidates: Candidates, options: TaskOptions, ledger: Ledger
) -> tuple[list[Patient], int]:
    """The training patients that have an example with a candidate to predict, and how many examples have none.

    Raises UserError where no patient is left.
    """

    def rows_of(members: Sequence[Patient]) -> Iterable[TaskRow]:
        return _rows(kind, "train", members, options)

    trained, num_dropped = drop_outside_training(
        patients, set(candidates.codes), rows_of if kind == "diagnosis" else None, ledger
    )
    if not trained:
        raise UserError(
            f"no training example has one of the {len(candidates.codes):,} codes of {options.candidates} to predict; "
            "is it the right list?"
        )
    return trained, num_dropped


def _rows(kind: str, split: str, patients: Sequence[Patient], options: TaskOptions) -> Iterable[TaskRow]:
    if kind == "coding":
        return coding_rows(patients, options.rules)
    training = split == "train"
    return diagnosis_rows(
        patients,
        every_visit=options.every_visit and training,
        first_visits=options.first_visits and training,
        max_history=options.max_history,
        primary_only=options.primary_only,
        past_notes=options.past_notes,
        events=bool(options.events),
    )


def _check_ledger(ledger: Ledger, patients: Sequence[Patient]) -> None:
    visits = [visit for patient in patients for visit in patient.visits]
    ledger.check_used("patients", len(patients))
    ledger.check_used("visits", len(visits))
    ledger.check_used("diagnoses", sum(len(visit.codes) for visit in visits))
    ledger.check_used("notes", sum(visit.num_notes for visit in visits))
    ledger.check_used("events", sum(len(visit.events) for visit in visits))
