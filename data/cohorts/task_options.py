"""The options of `mera prepare` that are the same for every source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.cohorts.candidates import RULES
from data.cohorts.notes.text_rules import RULES as TEXT_RULES
from mera.system.errors import UserError

GRANULARITIES = ("full", "category", "ccs")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOptions:
    """How a cohort becomes a task."""

    min_visits: int = 2
    """`diagnosis`: patients with fewer visits are dropped; at least 2."""
    granularity: str = "full"
    """`full`: codes as they are; `category`: cut to their category; `ccs`: groups of the CCS (ICD-9) or CCSR."""
    every_visit: bool = False
    """`diagnosis`: each visit of a training patient but the first is a target, not only the last."""
    first_visits: bool = False
    """`diagnosis`: the first visit of each training patient is an example without a history, and patients with fewer
    than `min_visits` train too. Most patients come once, and what is coded together in one visit can be learnt."""
    min_code_count: int = 1
    """Codes that fewer visits of the whole cohort hold are dropped."""
    max_history: int | None = None
    """`diagnosis`: the longest history, in visits before the target, the latest ones; None: all."""
    primary_only: bool = False
    """Targets are the diagnosis listed first."""
    past_notes: bool = False
    """`diagnosis`: the visits of a history come with their notes, where they have any."""
    rules: str | None = None
    """`coding`: how a paper prepared the notes, one of `data.cohorts.notes.text_rules.RULES`; None: they stay as they
    are."""
    mask_codes: bool = False
    """`coding`: spaces stand in the place of a note's own codes."""
    candidates: str | None = None
    """One of `data.cohorts.candidates.RULES`, or a file with codes; None: the source's own list, or `train`."""
    only_candidates: bool = False
    """Codes that are not in the file of `candidates` are dropped from targets and histories, in all splits."""

    events: Sequence[str] = ()
    """`diagnosis`: the visits of a history come with these of `procedures`, `drugs`, `labs`."""
    min_event_patients: int = 5
    """An event is kept where the histories of so many training patients hold it."""
    book: str = "auto"
    """The code book: `auto`, the user's own of the task's edition where there is one; `none`; or a book's folder."""
    hide_codes: float = 0.0
    """Share of the codes among the training targets that train and validation shall not know, though they stay
    candidates; 0: none (`data.cohorts.hidden_codes`)."""
    hide_seed: int = 0
    """Which codes these are."""

    def __post_init__(self) -> None:
        if self.min_visits < 2:
            raise UserError(f"--min-visits must be at least 2 (a history and a target), got {self.min_visits}")
        if self.granularity not in GRANULARITIES:
            raise UserError(f"--granularity must be one of {', '.join(GRANULARITIES)}, got {self.granularity!r}")
        if self.min_code_count < 1:
            raise UserError(f"--min-code-count must be at least 1, got {self.min_code_count}")
        if self.rules not in (None, *TEXT_RULES):
            raise UserError(f"--rules must be one of {', '.join(TEXT_RULES)}, got {self.rules!r}")
        if self.only_candidates and self.candidates in (None, *RULES):
            raise UserError("--only-candidates needs --candidates FILE, the list of the codes to keep")
        if self.max_history is not None and self.max_history < 1:
            raise UserError(f"--max-history must be at least 1, got {self.max_history}")
        if self.min_event_patients < 1:
            raise UserError(f"--min-event-patients must be at least 1, got {self.min_event_patients}")
        if not 0 <= self.hide_codes < 1:
            raise UserError(f"--hide-codes must be 0 or more and below 1, got {self.hide_codes:g}")
        if self.candidates not in (None, *RULES) and not Path(self.candidates).is_file():
            raise UserError(
                f"--candidates takes {', '.join(RULES)} or a file with codes; there is no file {self.candidates}"
            )
