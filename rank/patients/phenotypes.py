"""Phenotypes: the probability that any code under some ICD prefixes comes next, from the same scores.

Heart failure is `428` in ICD-9-CM, the second task of Chet (Lu et al., AAAI 2022) and of MERA; there a model of its own
is trained for it, here the ranking of all codes is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from data.ontology import undotted
from data.task_folder.features import PatientRow, TaskRow
from mera.evaluation.calibration import fit_platt
from mera.metrics import f1, roc_auc
from mera.system.errors import UserError

SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Phenotype:
    name: str
    prefixes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Phenotype":
        """From `heart_failure=428` or `heart_failure=I50,I11.0`; raises UserError on anything else."""
        name, _, prefixes = text.partition("=")
        written = tuple("".join(prefix.split()).upper() for prefix in prefixes.split(",") if prefix.strip())
        if not name.strip() or not written:
            raise UserError(f"a phenotype is NAME=PREFIX[,PREFIX ...], for example heart_failure=428; got {text!r}")
        return cls(name.strip(), written)

    def columns(self, candidates: Sequence[str]) -> np.ndarray:
        """The columns of the candidates under the prefixes; a dot more or less does not matter.

        Raises UserError where there is none.
        """
        columns = [column for column, code in enumerate(candidates) if self._has(code)]
        if not columns:
            raise UserError(
                f"phenotype {self.name}: none of the model's {len(candidates)} codes begins with "
                f"{' or '.join(self.prefixes)}; they are written like {', '.join(candidates[:3])}"
            )
        return np.array(columns)

    def is_true(self, rows: Sequence[TaskRow]) -> np.ndarray:
        """(N,) bool: any of the row's `targets` is under the prefixes, whether it is a candidate or not."""
        return np.array([any(self._has(code) for code in row["targets"]) for row in rows], dtype=bool)

    def was_known(self, rows: Sequence[PatientRow]) -> np.ndarray:
        """(N,) bool: any code of the row's history is under the prefixes."""
        histories = [[code for visit in row["history"] or [] for code in visit["codes"]] for row in rows]
        return np.array([any(map(self._has, codes)) for codes in histories], dtype=bool)

    def _has(self, code: str) -> bool:
        return undotted(code).startswith(tuple(undotted(prefix) for prefix in self.prefixes))


def any_of(probabilities: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(N,) probability of at least one of `columns`, the codes taken as independent given the patient:
    1 - prod(1 - p). probabilities (N, C)."""
    return -np.expm1(np.log1p(-probabilities[:, columns].clip(0.0, 1.0 - SMALLEST)).sum(axis=1))


@dataclass(frozen=True, slots=True)
class Recalibration:
    """probability = sigmoid(slope * logit(p) + intercept)."""

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, probabilities: np.ndarray, true: np.ndarray) -> "Recalibration":
        """On validation; probabilities, true (N,). The identity where all patients are the same: nothing to fit."""
        fitted = fit_platt(_logit(probabilities)[:, None], true[:, None])
        return cls() if fitted is None else cls(**fitted)

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-(self.slope * _logit(probabilities) + self.intercept)))


def measure_phenotype(probabilities: np.ndarray, true: np.ndarray, known: np.ndarray) -> dict[str, float | None]:
    """What Chet reports for heart failure, ROC-AUC and F1 at 0.5, and AUPRC; 0 to 1. All arguments (N,).

    `known`: the history has the phenotype; `f1_of_known` is the F1 of predicting just that, which a model has to beat.
    A number is None where it does not exist: no patient has the phenotype, or all have.
    """
    both = bool(true.any() and not true.all())
    return {
        "examples": len(true),
        "prevalence": float(true.mean()),
        "roc_auc": float(roc_auc(probabilities[:, None], true[:, None], "micro")) if both else None,
        "auprc": float(average_precision_score(true, probabilities)) if both else None,
        "f1_at_0.5": float(f1((probabilities > 0.5)[:, None], true[:, None], "micro")) if both else None,
        "f1_of_known": float(f1(known[:, None], true[:, None], "micro")) if both else None,
        "brier": float(np.mean((probabilities - true) ** 2)),
    }


def _logit(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities.astype(np.float64), SMALLEST, 1.0 - SMALLEST)
    return np.log(clipped) - np.log1p(-clipped)
