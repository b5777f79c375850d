"""Which patients and visits of a cohort a task uses, and which split each patient is in."""

from collections.abc import Mapping, Sequence

from data.codes.ccs import load_ccs
from data.cohorts.cohort import Patient
from data.cohorts.filters import coarsen, drop_patients, drop_rare_codes, keep_last_visits, keep_primary_targets
from data.cohorts.notes.near_duplicates import drop_near_duplicates
from data.cohorts.notes.note_marks import look_at_notes
from data.cohorts.notes.past_notes import only_past_notes
from data.cohorts.source import Source
from data.cohorts.split_options import NO_FIRST_VISITS, WITH_FIRST_VISITS, SplitOptions
from data.cohorts.splits import only_later
from data.cohorts.task_options import TaskOptions
from data.ledger import Ledger
from data.task import SPLITS
from mera.system.errors import UserError


def filter_patients(source: Source, kind: str, options: TaskOptions) -> list[Patient]:
    """The patients of the source with the codes that `options` ask for; what is lost goes to its ledger.

    Raises UserError naming the likeliest cause where nobody is left.
    """
    patients, ledger = list(source.patients), source.ledger
    if kind == "coding":
        patients = look_at_notes(patients, ledger, options.mask_codes)
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
        notes = source.ledger.record()["accounting"].get("notes")
        hint = "" if notes is None else _most_frequent_loss("notes", notes["dropped"])
        return f"no patient of {source.name} has a note with a usable code{hint}"
    if options.primary_only and not any(visit.num_primary for each in source.patients for visit in each.visits):
        return f"{source.name} marks no diagnosis as the first of its visit; leave --primary-only out"
    most = max((len(patient.visits) for patient in source.patients), default=0)
    if most == 1 and len(source.patients) > 1:
        hint = f": each of {len(source.patients):,} patients has a single visit; is the patient's id really one?"
    elif most:
        hint = f": the most that one has is {most}"
    else:
        hint = _most_frequent_loss("diagnoses", source.ledger.record()["dropped"])
    return f"no patient of {source.name} has {options.min_visits} visits with a usable code{hint}"


def _most_frequent_loss(unit: str, dropped: Mapping[str, int]) -> str:
    """The reason why most were dropped, to be put behind a sentence; empty where none was."""
    reason = max(dropped, key=dropped.__getitem__, default=None)
    return "" if reason is None else f": {dropped[reason]:,} {unit} were dropped ({reason})"


def split_patients(
    kind: str,
    source: Source,
    patients: Sequence[Patient],
    options: TaskOptions,
    split: SplitOptions,
    ledger: Ledger,
) -> dict[str, list[Patient]]:
    """Split -> its patients, with the visits and notes that its examples may use.

    Raises UserError where notes like others leave a split without any.
    """
    split_of = _split_of(patients, source, options, split)
    sample = drop_patients(patients, lambda patient: patient.patient_id in split_of, "not in the sample", ledger)
    if kind == "coding" and split.protocol == "temporal":
        sample = only_later(sample, split_of, ledger)
    if kind == "coding" and options.rules is None:
        distinct = drop_near_duplicates(sample, split_of, ledger)
        left = _by_split(distinct, split_of)
        for name, members in _by_split(sample, split_of).items():
            if members and not left[name]:
                raise UserError(
                    f"all {len(members):,} patients of the {name} split have notes that are nearly those of patients "
                    f"in another split, such as forms that were never filled in; there is nothing to learn from them"
                )
        sample = distinct
    parts = _by_split(sample, split_of)
    if kind == "diagnosis" and options.max_history is not None:
        for name, members in parts.items():
            if not (options.every_visit and name == "train"):
                parts[name] = keep_last_visits(members, options.max_history + 1, ledger)
    if options.past_notes:
        parts = _by_split(only_past_notes(all_members(parts), split_of, ledger), split_of)
    return parts


def _by_split(patients: Sequence[Patient], split_of: Mapping[str, str]) -> dict[str, list[Patient]]:
    parts: dict[str, list[Patient]] = {name: [] for name in SPLITS}
    for patient in patients:
        parts[split_of[patient.patient_id]].append(patient)
    return parts


def all_members(parts: Mapping[str, Sequence[Patient]]) -> list[Patient]:
    """The patients of all splits."""
    return [patient for members in parts.values() for patient in members]


def _split_of(patients: Sequence[Patient], source: Source, options: TaskOptions, split: SplitOptions) -> dict[str, str]:
    """patient id -> split. With `first_visits`, patients with too few visits for a test are all in train."""
    if not options.first_visits:
        return split.split(patients, source.given_split)
    if split.protocol not in WITH_FIRST_VISITS or source.given_split:
        raise UserError(NO_FIRST_VISITS)
    testable = [patient for patient in patients if len(patient.visits) >= options.min_visits]
    if not testable:
        raise UserError(f"no patient of {source.name} has {options.min_visits} visits with a usable code")
    return dict.fromkeys((patient.patient_id for patient in patients), "train") | split.split(testable, None)
