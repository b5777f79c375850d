"""The candidates of a task: which codes a ranking has to choose from.

No model should know of a code that only test patients have, so the default rule is `train`. Codes outside the
candidates stay in the rows; as a target they count as missed.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.codes.ccs import Grouping
from data.codes.code_columns import Resolve, Resolved, by_ontology
from data.cohorts.cohort import Patient
from data.cohorts.examples import occurring_codes
from data.cohorts.filters import drop_patients, drop_visits
from data.ledger import Ledger
from data.ontology import Ontology, UnknownCode
from data.table_files.columnar import PARQUET_SUFFIXES
from data.table_files.stored_files import InputFile, read_text
from data.table_files.text_tables import read_text_table
from data.task_folder.features import TaskRow
from data.task_folder.task_info import CandidatesRule
from mera.system.errors import UserError

RULES = ("train", "ontology", "all")
"""`train`: the codes of any visit of train and validation patients; `ontology`: every leaf, and what else `train` has;
`all`: what occurs anywhere, test included. Anything else names a file."""
DEFAULT_RULE, FILE_RULE, SOURCE_RULE = "train", "file", "source"
_TABLE_SUFFIXES = (".csv", ".tsv", *PARQUET_SUFFIXES)
_LISTED_LINES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """The codes that a task ranks, sorted, and the rule that chose them."""

    codes: Sequence[str]
    rule: str
    """One of RULES, `file`, or `source`: the source comes with its own list."""
    listed: "CandidateFile | None" = None
    """The file that they were read from, with the rule `file`."""

    def record(self) -> CandidatesRule:
        """For task.json."""
        rule: CandidatesRule = {"name": self.rule}
        if self.listed is not None:
            rule["file"] = self.listed.file.file_name
            if self.listed.num_repeated:
                rule["repeated_in_file"] = self.listed.num_repeated
            if self.listed.num_changed:
                rule["changed_in_file"] = self.listed.num_changed
        return rule

    def files(self) -> list[InputFile]:
        """The file they were read from, if any."""
        return [] if self.listed is None else [self.listed.file]


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateFile:
    """Candidates that the user wrote into a file."""

    file: InputFile
    codes: Sequence[str]
    num_repeated: int
    """Entries that name a candidate another entry names already."""
    num_changed: int
    """Entries that are no code of the edition themselves, such as retired ones: the ancestor that stands for them in
    the rows is the candidate."""


def read_candidate_file(path: str | Path, resolve: Resolve, edition: str) -> CandidateFile:
    """The codes of a text file, one a line, or of the column `code` of a CSV or Parquet file.

    `resolve`: from a code of the file to a candidate, as from `candidate_reader`. Raises UserError with the numbers of
    the lines whose code `edition` does not know.
    """
    path = Path(path)
    entries, file, unit = _read_entries(path)
    codes: dict[str, None] = {}
    unknown, num_known, num_changed = [], 0, 0
    for number, raw in entries:
        try:
            resolved = resolve(raw)
            codes |= dict.fromkeys(resolved.codes)
            num_known += 1
            num_changed += resolved.change is not None
        except UnknownCode:
            unknown.append(number)
    if unknown:
        more = len(unknown) - _LISTED_LINES
        places = ", ".join(map(str, unknown[:_LISTED_LINES])) + (f" and {more:,} more" if more > 0 else "")
        raise UserError(
            f"{path} holds {len(unknown):,} entries that are no code of {edition} ({unit} {places}); correct or remove "
            "them"
        )
    if not codes:
        raise UserError(f"{path} holds no code; --candidates FILE takes one a line, or a column named code")
    return CandidateFile(file=file, codes=sorted(codes), num_repeated=num_known - len(codes), num_changed=num_changed)


def _read_entries(path: Path) -> tuple[list[tuple[int, str]], InputFile, str]:
    """(number, text) of each entry, the file, and what the numbers count."""
    if not {suffix.lower() for suffix in path.suffixes} & set(_TABLE_SUFFIXES):
        text, file = read_text(path)
        lines = enumerate((line.strip() for line in text.decode().splitlines()), start=1)
        return [(number, line) for number, line in lines if line and line.lower() != "code"], file, "line"
    table = read_text_table(path, {"code": "code"})
    if table.stored_as_numbers:
        raise UserError(f"{path}: the column code holds numbers, which have lost zeros; export it as text")
    # Blank lines are left out of the rows, so that only without them a row says which line it is.
    unit, first = ("row", 1) if table.num_blank or path.suffix.lower() in PARQUET_SUFFIXES else ("line", 2)
    codes = table.rows["code"].cast(pl.String).str.strip_chars()
    return [(number, raw) for number, raw in enumerate(codes, start=first) if raw], table.file, unit


def candidate_reader(ontology: Ontology, names: Ontology | Grouping, granularity: str) -> Resolve:
    """A function from a code as somebody writes it to the code that stands for it in a task of this granularity.

    The same rules apply as for the codes of the rows. Where the task has groups (`names` is a Grouping), a group stands
    for itself and a code for its group. The function raises UnknownCode.
    """
    by_code = by_ontology(ontology, granularity)
    grouping = names if isinstance(names, Grouping) else None

    def resolve(raw: str) -> Resolved:
        if grouping is not None:
            with contextlib.suppress(UnknownCode):
                return Resolved((grouping.normalize(raw),))
        resolved = by_code(raw)
        if granularity == "full":
            return resolved
        (code,) = resolved.codes
        group = ontology.groups(code)["category"] if grouping is None else grouping.group_of(code)
        if group is None:
            raise UnknownCode(f"{raw!r} has no group in {names.edition}")
        return Resolved((group,), resolved.change)

    return resolve


def choose_candidates(
    rule: str,
    *,
    named: CandidateFile | Sequence[str] | None,
    trained: Iterable[Patient],
    everyone: Iterable[Patient],
    names: Ontology | Grouping,
    granularity: str,
) -> Candidates:
    """The candidates by `rule`. `named`: the list of the file, or of the source; `trained`: the patients of train and
    validation; `everyone`: those whose codes `all` takes."""
    if isinstance(named, CandidateFile):
        return Candidates(codes=named.codes, rule=FILE_RULE, listed=named)
    if rule == SOURCE_RULE:
        assert named is not None, "a source with this rule has a list"
        return Candidates(codes=sorted(named), rule=SOURCE_RULE)
    if rule == "all":
        return Candidates(codes=occurring_codes(everyone), rule=rule)
    codes = set(occurring_codes(trained))
    if rule == "ontology":
        leaves = names.leaves()
        codes |= {names.groups(code)["category"] for code in leaves} if granularity == "category" else set(leaves)
    return Candidates(codes=sorted(codes), rule=rule)


def drop_outside_training(
    patients: Sequence[Patient],
    candidates: Set[str],
    rows_of: Callable[[Sequence[Patient]], Iterable[TaskRow]] | None,
    ledger: Ledger,
) -> tuple[list[Patient], int]:
    """The training patients that have an example with a target among `candidates`, and how many examples have none.

    `rows_of`: the examples of patients; None: each visit is one, and those without a candidate are dropped from their
    patient. With `rows_of` a patient stays whole, because a visit may be in the history of another example; rows
    without a candidate have to be left out with `has_candidate`.
    """
    reason = "training example without a candidate"
    if rows_of is None:
        before = sum(len(patient.visits) for patient in patients)
        trained = drop_visits(patients, lambda _, visit: not candidates.isdisjoint(visit.codes), reason, ledger)
        return trained, before - sum(len(patient.visits) for patient in trained)
    has = {patient.patient_id: [has_candidate(row, candidates) for row in rows_of([patient])] for patient in patients}
    trained = drop_patients(patients, lambda patient: any(has[patient.patient_id]), reason, ledger)
    return trained, sum(each.count(False) for each in has.values())


def has_candidate(row: TaskRow, candidates: Set[str]) -> bool:
    """Whether any target of the example is a candidate."""
    return not candidates.isdisjoint(row["targets"])
