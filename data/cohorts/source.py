"""A cohort as a hospital's reader hands it on, with what it says of itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from data.cohorts.cohort import Patient
from data.ledger import Ledger
from data.ontology import Ontology, load_ontology
from data.table_files.stored_files import InputFile
from data.task_folder.features import TaskRow
from data.task_folder.task_info import OptionValue, SourceFacts

Oracle = Callable[[Sequence[TaskRow], Sequence[str]], np.ndarray]
"""(rows, candidates) -> the true probabilities (N, C)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A cohort as an adapter read it."""

    name: str
    system: str
    """The ontology of its codes, as `load_ontology` calls it."""
    patients: Sequence[Patient]
    ledger: Ledger
    files: Sequence[InputFile] = ()
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """The source's own options as the user chose them, for task.json."""
    facts: SourceFacts = field(default_factory=SourceFacts)
    """What the reader learnt of the source, for task.json."""
    candidates: Sequence[str] | None = None
    """The task's codes where the user names no others; None: the rule `train` finds them."""
    given_split: Mapping[str, str] | None = None
    """patient id -> split, where the source comes with its own."""
    oracle: Oracle | None = None
    """The true probabilities of next diagnoses, where the source knows them."""
    event_names: pl.DataFrame | None = None
    """event, kind and name of the events of the visits, where they were asked for."""
    edition: Ontology | None = None
    """The ontology itself, where it came with the data; None: `load_ontology(system)`."""

    @property
    def ontology(self) -> Ontology:
        return self.edition or load_ontology(self.system)
