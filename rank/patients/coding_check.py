"""Coding rules at decision time: `--rules check` marks what a predicted set breaks, `--rules apply` mends the set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from data.task_folder.features import PatientRow
from mera.evaluation.coding_rules import CodingRules, columns_at_fault, mend, violations
from mera.system.errors import UserError

RuleUse = Literal["none", "check", "apply"]
RULE_USES: tuple[RuleUse, ...] = get_args(RuleUse)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedSets:
    """Predicted sets and the rules that they break. N patients, C candidates."""

    predicted: np.ndarray
    """(N, C) bool: the sets, mended if that was asked for."""
    marks: list[dict[int, list[str]]]
    """For each patient, candidate -> the rules that it breaks in the set; those of a code that was taken away too."""


def check_sets(
    rows: Sequence[PatientRow], scores: np.ndarray, predicted: np.ndarray, rules: CodingRules | None, use: RuleUse
) -> CheckedSets:
    """`rows`: the patients, for sex and age; scores (N, C), predicted (N, C) bool.

    Raises UserError where rules are asked for and there are none.
    """
    marks: list[dict[int, list[str]]] = [{} for _ in rows]
    if use == "none":
        return CheckedSets(predicted=predicted, marks=marks)
    if rules is None:
        raise UserError(
            f"--rules {use}: the checkpoint holds no coding rules; its task had none (an edition without notes, groups "
            "of the CCS, or prepared by an older version): prepare the task and train again"
        )
    sexes, ages = [row["sex"] for row in rows], np.array([_years(row["age"]) for row in rows])
    remaining = mend(scores, predicted, rules, sexes, ages) if use == "apply" else predicted
    # A code that was taken away is marked with what it broke, one that stayed with what it still breaks.
    for sets, marked in ((predicted, predicted & ~remaining), (remaining, remaining)):
        broken = violations(sets, rules, sexes, ages)
        for row, rule in zip(broken.rows.tolist(), broken.rules.tolist(), strict=True):
            text = f"{rules.kinds[rule]} at {rules.nodes[rule]}: {rules.texts[rule]}"
            for column in columns_at_fault(sets[row], rules, rule).tolist():
                if marked[row, column]:
                    marks[row].setdefault(column, []).append(text)
    return CheckedSets(predicted=remaining, marks=marks)


def _years(age: float | None) -> float:
    return float("nan") if age is None else float(age)
