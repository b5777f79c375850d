"""Which patients train, validate and test, as the command line says it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from data.cohorts.cohort import Patient
from data.cohorts.splits import check_fractions, chet_split, given_split, kfold_split, random_split, temporal_split
from data.task_folder.task_info import Protocol
from mera.system.errors import UserError

PROTOCOLS = ("random", "temporal", "chet", "kfold", "given")
WITH_FIRST_VISITS = ("random", "kfold")
"""Protocols that --first-visits goes with."""
NO_FIRST_VISITS = "--first-visits adds training patients, which only --protocol random and kfold allow"
OF_FILE = "file"
"""The protocol of `--split-file`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOptions:
    """One protocol and its numbers."""

    protocol: str = "random"
    """One of PROTOCOLS, `given`: the lists that come with the source; or OF_FILE: lists that the user names."""
    fractions: tuple[float, float, float] = (0.75, 0.10, 0.15)
    """Shares of patients in train, validation and test; `kfold`, `given` and OF_FILE use the proportion of the first
    two."""
    sizes: tuple[int, int, int] | None = None
    """`chet`: patients in train, validation and test."""
    folds: int = 5
    """`kfold`: how many."""
    fold: int | None = None
    """`kfold`: the fold to test on, from 0; None: each in a task of its own."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.protocol not in (*PROTOCOLS, OF_FILE):
            raise UserError(f"--protocol must be one of {', '.join(PROTOCOLS)}, got {self.protocol!r}")
        check_fractions(self.fractions)
        if self.fold is not None and self.protocol != "kfold":
            raise UserError(f"--fold goes with --protocol kfold, not {self.protocol}")
        if self.protocol == "chet" and self.sizes is None:
            raise UserError("--protocol chet needs --sizes")

    def each_fold(self) -> list["SplitOptions"]:
        """One for each task to write."""
        if self.protocol != "kfold" or self.fold is not None:
            return [self]
        if self.folds < 2:
            raise UserError(f"--folds must be at least 2, got {self.folds}")
        return [replace(self, fold=fold) for fold in range(self.folds)]

    def split(self, patients: Sequence[Patient], source_split: Mapping[str, str] | None = None) -> dict[str, str]:
        """patient id -> split; a patient may have none. `source_split`: the same as the source comes with it."""
        match self.protocol:
            case "temporal":
                return temporal_split(patients, self.fractions)
            case "chet":
                assert self.sizes is not None, "checked when the options were made"
                return chet_split(patients, self.sizes, self.seed)
            case "kfold":
                assert self.fold is not None, "one of `each_fold`"
                return kfold_split(patients, self.folds, self.fold, self.fractions, self.seed)
            case "given" | "file":
                if source_split is None:
                    raise UserError("--protocol given needs a source that comes with its own splits (codiesp, meds)")
                return given_split(patients, source_split, self.fractions, self.seed)
        return random_split(patients, self.fractions, self.seed)

    def record(self) -> Protocol:
        """The protocol and the numbers that it uses, for task.json."""
        fractions = list(self.fractions)
        match self.protocol:
            case "temporal":
                return {"name": self.protocol, "fractions": fractions}
            case "chet":
                return {"name": self.protocol, "seed": self.seed, "sizes": list(self.sizes or ())}
            case "kfold":
                numbers: Protocol = {"name": self.protocol, "seed": self.seed, "fractions": fractions}
                return {**numbers, "folds": self.folds, "fold": self.fold}
        return {"name": self.protocol, "seed": self.seed, "fractions": fractions}
