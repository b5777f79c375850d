"""What the candidates of a task are, and how many true codes are none of them."""

from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np

from mera.report.json_form import called
from mera.report.measures.estimates import finite
from mera.runs.predictions import Predictions

RANDOM_K = 20
ALL = "all"
"""The rule of tasks that name none."""
RULES = {
    "train": "the codes of the training and validation patients",
    "ontology": "all codes of the ontology that have no finer one",
    "file": "the codes of a list",
    "source": "the codes that the source names",
    ALL: "all codes that occur in the task, those that only test knows included",
}
"""By the name of the rule in task.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """True codes that no model may name, since they are no candidates: they count as missed."""

    targets: int
    """(example, code) pairs."""
    codes: int
    """Different codes."""
    examples: int
    """Examples with such a code."""
    num_candidates: int
    is_missed: np.ndarray
    """(T,) bool, targets in the order of `np.nonzero(targets)`: the code is no candidate for its example. In a run
    pooled from folds a code may be one for some examples and not for others."""

    random_recall: float
    """Recall@RANDOM_K of a random order of each example's candidates; NaN where nothing is true."""

    @classmethod
    def of(cls, run: Predictions) -> "Outside":
        is_missed = np.isneginf(run.scores[run.targets])
        rows, columns = np.nonzero(run.targets)
        return cls(
            targets=int(is_missed.sum()),
            codes=len(np.unique(columns[is_missed])),
            examples=len(np.unique(rows[is_missed])),
            num_candidates=run.num_candidates,
            is_missed=is_missed,
            random_recall=random_recall(run.scores, run.targets, RANDOM_K),
        )


def random_recall(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """The recall@k that a random order of each row's candidates has on average: k of them, of the targets that are
    among them; mean over the rows with a target. scores (N, C), -inf where a code is no candidate of the row; targets
    (N, C) bool."""
    rows = np.flatnonzero(targets.any(axis=1))
    if not len(rows):
        return float("nan")
    is_candidate = ~np.isneginf(scores[rows])
    found = (targets[rows] & is_candidate).sum(axis=1) / targets[rows].sum(axis=1)
    return float(np.mean(found * np.minimum(1.0, k / np.maximum(1, is_candidate.sum(axis=1)))))


@dataclass(frozen=True, kw_only=True, slots=True)
class OutsideCounts:
    """How many of the true codes are no candidates."""

    targets: int
    share: float | None
    """None where there is no true code at all."""
    codes: int
    examples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """What a report says of the candidates."""

    number: int = field(metadata=called("candidates"))
    rule: str = field(metadata=called("candidates_rule"))
    file: str | None = field(metadata=called("candidates_file"))
    """Name of the file that lists them, without its folders."""
    outside: OutsideCounts = field(metadata=called("outside_candidates"))
    random_recall: float | None = field(metadata=called("random_recall@20"))
    """Of a random order of each example's candidates; None where there is no true code at all."""

    @classmethod
    def of(cls, rule: str, file: str | None, outside: Outside, targets: int) -> "Candidates":
        """`targets`: true codes of all examples."""
        return cls(
            number=outside.num_candidates,
            rule=rule,
            file=PurePath(str(file)).name if file else None,
            outside=OutsideCounts(
                targets=outside.targets,
                share=outside.targets / targets if targets else None,
                codes=outside.codes,
                examples=outside.examples,
            ),
            random_recall=finite(outside.random_recall),
        )

    @property
    def rule_in_words(self) -> str:
        return f"the codes of {self.file}" if self.file else RULES.get(self.rule, f"chosen by the rule {self.rule}")
