"""Recall@20 within groups of the targets, run beside run, and which differences within a group are supported."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mera.report.comparison.pairs import holm, is_supported, outcomes_of_pairs
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.load import Comparable
from mera.report.measures.measure import Measures
from mera.report.measures.strata import Stratification

MIN_TESTED_PATIENTS = 20
"""Patients in a group below which no difference within it is tested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    label: str
    targets: int
    codes: int | None
    """Candidates; None where a code can be in several groups."""
    examples: int | None
    """None where an example's targets can be in several groups."""
    patients: int
    """With a target in the group."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupDifference:
    """First run minus second in the group of this number, on the same patients."""

    group: int
    first: str
    second: str
    difference: float
    low: float | None
    """Ends of the 95% interval of the paired difference, not corrected."""
    high: float | None
    p: float | None
    p_holm: float | None
    """Corrected over all groups and pairs of the stratification."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StratifiedRecall:
    """One stratification."""

    key: str
    title: str
    definition: str
    groups: tuple[Group, ...]
    values: Mapping[str, tuple[Estimate, ...]]
    """Run -> recall@20 in each group."""
    pairs: tuple[GroupDifference, ...]


def stratified_recall(partition: Stratification, measured: Sequence[Measures], shared: Comparable) -> StratifiedRecall:
    num_targets = np.bincount(partition.group_of_target, minlength=len(partition.labels))
    patient_of_target = np.asarray(shared.patient_ids)[np.nonzero(shared.targets)[0]]
    num_patients = [
        len(set(patient_of_target[partition.group_of_target == group])) for group in range(len(partition.labels))
    ]
    return StratifiedRecall(
        key=partition.key,
        title=partition.title,
        definition=partition.definition,
        groups=tuple(
            Group(
                label=label,
                targets=int(num_targets[index]),
                codes=None if partition.num_codes is None else partition.num_codes[index],
                examples=None if partition.num_examples is None else partition.num_examples[index],
                patients=num_patients[index],
            )
            for index, label in enumerate(partition.labels)
        ),
        values={
            run.name: tuple(
                estimate(recall, units=patients)
                for recall, patients in zip(run.strata[partition.key], num_patients, strict=True)
            )
            for run in measured
        },
        pairs=stratum_differences(measured, partition.key, num_patients),
    )


def stratum_differences(
    measured: Sequence[Measures], key: str, patients_in_group: Sequence[int]
) -> tuple[GroupDifference, ...]:
    """Every pair of competitors within every group of the stratification `key`, corrected over all of them.

    A group of fewer than `MIN_TESTED_PATIENTS` patients is not tested: its resamples hold too few different values.
    """
    runs = [run for run in measured if not run.is_oracle]
    entries = []
    for group, patients in enumerate(patients_in_group):
        if patients >= MIN_TESTED_PATIENTS and len(runs) > 1:
            tests = outcomes_of_pairs([run.strata[key][group] for run in runs], patients)
            entries += [(group, *pair, test) for pair, test in zip(itertools.combinations(runs, 2), tests, strict=True)]
    corrected = holm([test.p for _, _, _, test in entries])
    return tuple(
        GroupDifference(
            group=group,
            first=first.name,
            second=second.name,
            difference=float("nan") if test.difference is None else test.difference,
            low=test.low,
            high=test.high,
            p=test.p,
            p_holm=p_holm,
        )
        for (group, first, second, test), p_holm in zip(entries, corrected, strict=True)
    )


def best_in_group(pairs: Sequence[GroupDifference], group: int) -> str | None:
    """The run that is above every other competitor in this group of a stratification, each difference supported."""
    wins: dict[str, int] = {}
    in_group = [pair for pair in pairs if pair.group == group]
    for pair in in_group:
        if is_supported(pair):
            winner = pair.first if pair.difference > 0 else pair.second
            wins[winner] = wins.get(winner, 0) + 1
    others = len({name for pair in in_group for name in (pair.first, pair.second)}) - 1
    return next((run for run, count in wins.items() if count == others), None)
