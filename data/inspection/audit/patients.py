"""Patients who look alike, and records that cannot be: from a prepared task alone."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from data.codes.notes.patient_limits import AGES, FEMALE, MALE
from data.cohorts.notes.near_duplicates import near_duplicates
from data.task import SPLITS, Task

MOST_NOTES = 20_000
FEWEST_VISITS, FEWEST_CODES = 2, 8
"""Of a history and its targets together; shorter ones are alike by chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookalikes:
    """Near-duplicate patients."""

    same_records: int
    """Patients whose visits hold exactly the codes of another's, in the same order."""
    same_records_across: int
    """Of these, those whose other is in another split."""
    notes_compared: int
    copied_notes: int
    """Notes that nearly repeat one of another patient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Impossible:
    """Records that contradict themselves."""

    by_kind: dict[str, int]
    """`female_only` and so on -> targets that the patient's sex or age forbids."""
    by_code: dict[str, int]
    """Code -> such targets, the most first."""


def lookalikes(task: Task) -> Lookalikes:
    """Patients with the same codes in the same visits, and notes that nearly repeat those of other patients."""
    longest: dict[str, tuple[int, str, tuple[tuple[str, ...], ...]]] = {}
    notes: list[tuple[str, str]] = []
    for name in SPLITS:
        split = task.splits[name].select_columns(["patient_id", "history", "targets", "text"])
        for row in split:
            visits = (*(tuple(visit["codes"]) for visit in row["history"] or []), tuple(row["targets"]))
            if len(visits) > longest.get(row["patient_id"], (0, "", ()))[0]:
                longest[row["patient_id"]] = (len(visits), name, visits)
            if row["text"] and len(notes) < MOST_NOTES:
                notes.append((row["patient_id"], row["text"]))
    alike: dict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    for length, name, visits in longest.values():
        if length >= FEWEST_VISITS and sum(map(len, visits)) >= FEWEST_CODES:
            alike[visits].append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    number = {patient: place for place, patient in enumerate(dict.fromkeys(patient for patient, _ in notes))}
    copies = near_duplicates((text for _, text in notes), [number[patient] for patient, _ in notes]) if notes else []
    return Lookalikes(
        same_records=sum(map(len, groups)),
        same_records_across=sum(len(names) for names in groups if len(set(names)) > 1),
        notes_compared=len(notes),
        copied_notes=len(copies),
    )


def impossible_records(task: Task) -> Impossible:
    """Targets that the rules of the task (`rules.parquet`) forbid for the patient's sex or age."""
    rules = {kind: frozenset(subjects) for kind, subjects in _limits(task)}
    by_kind, by_code = Counter[str](), Counter[str]()
    for name in SPLITS:
        for row in task.splits[name].select_columns(["sex", "age", "targets"]):
            for kind, codes in rules.items():
                if is_outside(kind, row["sex"], row["age"]):
                    broken = codes.intersection(row["targets"])
                    by_kind[kind] += len(broken)
                    by_code.update(broken)
    return Impossible(
        by_kind={kind: by_kind[kind] for kind in rules},
        by_code=dict(sorted(by_code.items(), key=lambda each: (-each[1], each[0]))),
    )


def is_outside(kind: str, sex: str | None, age: int | None) -> bool:
    """Whether a patient cannot have the codes of `kind`; what is not known forbids nothing."""
    if kind in (FEMALE, MALE):
        return sex is not None and sex != ("F" if kind == FEMALE else "M")
    first, end = AGES[kind]
    return age is not None and not first <= age < end


def _limits(task: Task) -> Sequence[tuple[str, Sequence[str]]]:
    kinds = (FEMALE, MALE, *AGES)
    return [(kind, subjects) for kind, subjects in task.rules.select("kind", "subjects").iter_rows() if kind in kinds]
