"""task.json, key by key: what a prepared task says of where it comes from, how it was made and what was lost.

`data.prepare` writes every key that applies. Tasks of other makers and of older versions may lack all but the required
ones.
"""

from collections.abc import Mapping, Sequence
from typing import Required, TypedDict

from data.ledger import LedgerRecord

OptionValue = str | float | None | Sequence[str] | Mapping[str, str | list[str]]
"""What an option of `mera prepare` may hold, in JSON's own types."""


class SplitCounts(TypedDict):
    """One split."""

    examples: int
    patients: int
    targets: int
    """Target codes of all examples, those outside the candidates included."""


class OutsideCounts(TypedDict):
    """Of one split, the target codes that are no candidates."""

    examples: int
    """Examples that have one or more."""
    targets: int
    codes: int
    """Different codes."""


class CandidatesRule(TypedDict, total=False):
    """How the candidates were chosen."""

    name: Required[str]
    """`train`, `ontology`, `all`, `file` or `source`, as in `data.cohorts.candidates`."""
    file: str
    """Name of the file, with the rule `file`; so for the counts below, which are left out where they are 0."""
    repeated_in_file: int
    """Entries that repeat a candidate."""
    changed_in_file: int
    """Entries whose ancestor is the candidate."""
    training_examples_dropped: int
    """Training examples without a candidate among their targets."""


class Protocol(TypedDict, total=False):
    """Which patients train, validate and test; the numbers that the protocol uses."""

    name: Required[str]
    """One of `data.cohorts.split_options.PROTOCOLS`."""
    seed: int
    fractions: list[float]
    sizes: list[int]
    folds: int
    fold: int | None
    cohort: str | None
    """`kfold`: sha256 of the patients, the same for all folds of one cohort."""


class NoteCounts(TypedDict):
    """Past visits: each patient's but the last."""

    visits_with_a_note: int
    visits_with_several_notes: int
    visits_without_a_note: int


class EventFacts(TypedDict):
    """Procedures, drugs and labs of past visits (`mera prepare --events`): events.parquet."""

    kinds: list[str]
    """As they were asked for: of `procedures`, `drugs`, `labs`."""
    min_patients: int
    """An event is kept where the histories of so many training patients hold it."""
    vocabulary: dict[str, int]
    """Kind -> different events that are kept."""
    visits_with_events: int
    """Past visits; each patient's last one is none."""
    visits_without_events: int


class HiddenCodes(TypedDict):
    """Candidates that train and validation do not know (`mera prepare --hide-codes`): column `hidden` of
    codes.parquet."""

    share: float
    seed: int
    codes: int
    """How many are hidden."""
    of: int
    """Of so many codes among the training targets."""
    diagnoses_taken: dict[str, int]
    """train, validation -> diagnoses that were taken out of targets and histories."""
    test_targets: int
    """True codes of test that are hidden."""
    test_targets_new: int
    """Of these, those that are not in their patient's history."""


class PatientSample(TypedDict):
    """A task that is a part of another one (`mera sample`); the account of rows is that of the whole."""

    of: str
    """Fingerprint of the whole task."""
    seed: int
    patients_left_out: dict[str, int]
    examples_left_out: dict[str, int]
    """By split."""


class StudyJoin(TypedDict):
    """How studies were matched to the stays whose codes they take."""

    rule: str
    studies: int
    unmatched: int
    unmatched_share: float


class SplitFileFacts(TypedDict):
    """What published splits say, and what of it the cohort has (`mera prepare --split-file`)."""

    files: list[str]
    ids: str
    """`patients` or `visits`"""
    id_column: str
    split_column: str
    listed: dict[str, int]
    """Split -> its ids."""
    not_in_cohort: dict[str, int]
    """Split -> those of its ids that the cohort lacks."""
    repeated: int
    """Rows that say again what another says."""
    rows_of_no_split: int
    """Rows without an id, or of another split than train, validation and test."""


class SourceFacts(TypedDict, total=False):
    """What a reader learnt of its source while reading it."""

    join: StudyJoin
    split_file: SplitFileFacts


class BookFacts(TypedDict):
    """The code book a task was made with."""

    sources: list[str]
    """What it was made from, such as `icd10cm index 2017`."""
    sha256: str
    """Of its terms and relations."""


class Digests(TypedDict):
    """sha256 of what the task was made as."""

    rows: dict[str, str]
    """Split -> the digest of its rows."""
    files: dict[str, str]
    """Other file of the folder -> its digest."""
    facts: str
    """Of the keys of task.json that models rely on."""


class TaskInfo(LedgerRecord, SourceFacts, total=False):
    """The whole file."""

    fingerprint: Required[str]
    """sha256 of the candidates, the other codes and the rows."""
    counts: Required[dict[str, SplitCounts]]
    candidates: int
    """How many there are."""
    outside_candidates: dict[str, OutsideCounts]
    digests: Digests
    source: str
    kind: str
    """`diagnosis` or `coding`."""
    ontology: str
    """`icd9cm`, `icd10cm`, `icd10who`, `ccs`, `ccsr`, or `codes:NAME` of a national edition."""
    edition: str
    """The release of the ontology and the package or file that it was read from."""
    book: BookFacts | None
    """None: without a code book, from what the packages hold."""
    protocol: Protocol
    options: Mapping[str, OptionValue]
    """Option of `mera prepare` -> its value: those of `TaskOptions` but `candidates`, and the source's own."""
    candidates_rule: CandidatesRule
    past_notes: NoteCounts
    events: EventFacts
    """Only where events were asked for."""
    hidden_codes: HiddenCodes
    """Only where codes were hidden."""
    sample: PatientSample
    """Only where `mera sample` made it."""
    inputs: dict[str, str]
    """Input file -> its sha256."""
    oracle: str
    """File with the true probabilities of the test split, where the source knows them."""
