"""Every candidate code: how often it occurs, and how well each run predicts it.

A code that few patients have can name a patient. Unless the data are public, a report therefore names only codes with
LEAST_PATIENTS training examples or tested patients, and gives a code's own figures only where so many tested patients
have it or none does. The other codes stand together in one line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mera.report.measures.load import Comparable
from mera.report.measures.measure import Measures
from mera.report.measures.sets.code_counts import CodeCounts

LEAST_PATIENTS = 10
"""As many patients have to share a word before a tokenizer learns it (`bi_encoder.inputs.texts.SHARED_BY`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeFigures:
    """One run on one code, or on several codes together."""

    predicted: int
    hits: int
    examples: int
    """With the code."""

    @property
    def recall(self) -> float | None:
        return self.hits / self.examples if self.examples else None

    @property
    def precision(self) -> float | None:
        return self.hits / self.predicted if self.predicted else None

    @property
    def f1(self) -> float | None:
        """None for a code without a true case, as in macro F1."""
        return 2 * self.hits / (self.predicted + self.examples) if self.examples else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeTable:
    """C candidates, in the order of the columns; arrays are (C,)."""

    codes: tuple[str, ...]
    definitions: tuple[str, ...]
    """Empty where the table of codes has none."""
    train_examples: np.ndarray
    test_examples: np.ndarray
    test_patients: np.ndarray
    least_patients: int
    """LEAST_PATIENTS, or 0 where every code may be named."""
    runs: Mapping[str, CodeCounts]
    """By name, those that set a threshold; their arrays may be longer than C, by the codes outside the candidates."""

    @property
    def is_named(self) -> np.ndarray:
        """(C,) bool: the code may stand in the report."""
        named: np.ndarray = np.maximum(self.train_examples, self.test_patients) >= self.least_patients
        return named

    @property
    def is_counted(self) -> np.ndarray:
        """(C,) bool: its tested cases may too."""
        few = (self.test_patients > 0) & (self.test_patients < self.least_patients)
        counted: np.ndarray = self.is_named & ~few
        return counted

    def figures(self, run: str, place: int) -> CodeFigures:
        counts = self.runs[run]
        return CodeFigures(
            predicted=int(counts.predicted[place]),
            hits=int(counts.hits[place]),
            examples=int(self.test_examples[place]),
        )

    def together(self, run: str, chosen: np.ndarray) -> CodeFigures:
        """The run on all codes of `chosen` (C,) bool."""
        counts = self.runs[run]
        return CodeFigures(
            predicted=int(counts.predicted[: len(chosen)][chosen].sum()),
            hits=int(counts.hits[: len(chosen)][chosen].sum()),
            examples=int(self.test_examples[chosen].sum()),
        )


def code_table(shared: Comparable, measured: Sequence[Measures], rare_codes: bool) -> CodeTable:
    """`rare_codes`: codes of few patients are named too, which is for public data."""
    number = shared.outside.num_candidates
    table = shared.codes.head(number)
    rows, columns = np.nonzero(shared.targets[:, :number])
    patients = np.unique(np.asarray(shared.patient_ids), return_inverse=True)[1]
    pairs = np.unique(columns.astype(np.int64) * (patients.max() + 1) + patients[rows])
    if "definition" in table.columns:
        definitions = table["definition"].cast(pl.String).fill_null("").to_list()
    else:
        definitions = [""] * number
    return CodeTable(
        codes=tuple(table["code"].to_list()),
        definitions=tuple(definitions),
        train_examples=table["train_count"].to_numpy(),
        test_examples=np.bincount(columns, minlength=number),
        test_patients=np.bincount(pairs // (patients.max() + 1), minlength=number),
        least_patients=0 if rare_codes else LEAST_PATIENTS,
        runs={run.name: run.codes for run in measured if run.codes is not None},
    )
