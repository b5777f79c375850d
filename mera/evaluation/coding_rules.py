"""Coding rules on sets of codes: which are broken, and which codes to take away. NumPy and SciPy only.

Legend: N examples, C codes, R rules. A rule has subjects, the codes it is about, and objects, the codes it names; no
code is both. A set breaks a rule of the kind

    excludes1           where it holds a subject and an object
    code_first          where it holds a subject and no object: the cause is missing
    use_additional      where it holds a subject and no object: a detail is missing
    seventh_character   where it holds a subject, a code that needs further characters
    female_only, ...    where it holds a subject and the patient is not of that sex or age

What is unknown of a patient breaks no rule. Only the kinds in MENDED say that a code is wrong, and only for them `mend`
takes codes away; it never adds one. Two conditions that have nothing to do with each other may be coded together in
spite of an Excludes1 note (ICD-10-CM Official Guidelines, I.A.12.a), which no set of codes shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from mera.system.errors import UserError

EXCLUDES, INCOMPLETE = "excludes1", "seventh_character"
ASKING = ("code_first", "use_additional")
"""Kinds that ask for a further code."""
SEX_LIMITS = {"female_only": "F", "male_only": "M"}
AGE_LIMITS = {"newborn_only": (0, 1), "pediatric_only": (0, 18), "maternity_age": (9, 65), "adult_only": (15, 125)}
"""Years: from the first, to less than the second (Medicare Code Editor, CMS)."""
KINDS = (EXCLUDES, *ASKING, INCOMPLETE, *SEX_LIMITS, *AGE_LIMITS)
MENDED = (EXCLUDES, INCOMPLETE, *SEX_LIMITS, *AGE_LIMITS)

RuleRow = tuple[str, str, str, Sequence[str], Sequence[str]]
"""kind, node, text, subjects, objects: a row of a task's rules.parquet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodingRules:
    """The rules of one list of codes."""

    kinds: np.ndarray
    """(R,) str"""
    nodes: Sequence[str]
    """R codes, blocks, chapters or ranges that the rules stand at."""
    texts: Sequence[str]
    subjects: scipy.sparse.csr_array
    """(R, C) bool"""
    objects: scipy.sparse.csr_array
    """(R, C) bool"""

    @classmethod
    def of(cls, rows: Iterable[RuleRow], codes: Sequence[str]) -> "CodingRules":
        """The rules of a table, columns as in `codes`; codes that are not among them are left out.

        Raises UserError where a rule is of an unknown kind or has a code on both sides.
        """
        column = {code: index for index, code in enumerate(codes)}
        table = list(rows)
        unknown = sorted({kind for kind, *_ in table} - set(KINDS))
        if unknown:
            raise UserError(f"coding rules of unknown kind: {', '.join(unknown)}; the kinds are {', '.join(KINDS)}")
        both = next((row for row in table if not set(row[3]).isdisjoint(row[4])), None)
        if both is not None:
            raise UserError(f"the {both[0]} rule at {both[1]} has a code on both of its sides; prepare the task again")
        return cls(
            kinds=np.array([row[0] for row in table], dtype=str),
            nodes=[row[1] for row in table],
            texts=[row[2] for row in table],
            subjects=_matrix([row[3] for row in table], column),
            objects=_matrix([row[4] for row in table], column),
        )

    def __len__(self) -> int:
        return len(self.kinds)

    def only(self, *kinds: str) -> "CodingRules":
        """The rules of some kinds."""
        chosen = np.flatnonzero(np.isin(self.kinds, kinds)).tolist()
        return CodingRules(
            kinds=self.kinds[chosen],
            nodes=[self.nodes[rule] for rule in chosen],
            texts=[self.texts[rule] for rule in chosen],
            subjects=self.subjects[chosen],
            objects=self.objects[chosen],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Violations:
    """The rules that sets of codes break, by row and then by rule."""

    rows: np.ndarray
    """(V,) int64: the example."""
    rules: np.ndarray
    """(V,) int64: the rule."""

    def counts(self, rules: CodingRules) -> dict[str, tuple[int, int]]:
        """Kind -> examples that break a rule of it, and how many are broken in all; every kind of `rules`."""
        kinds = rules.kinds[self.rules]
        return {
            kind: (len(np.unique(self.rows[kinds == kind])), int(np.count_nonzero(kinds == kind)))
            for kind in KINDS
            if kind in rules.kinds
        }


def violations(
    predicted: np.ndarray,
    rules: CodingRules,
    sexes: Sequence[str | None] | None = None,
    ages: np.ndarray | None = None,
) -> Violations:
    """The rules that each row of `predicted` (N, C) bool breaks. `sexes`: N of `F`, `M` or None; `ages` (N,) in years,
    NaN where unknown."""
    sets = scipy.sparse.csr_array(predicted, dtype=np.int32)
    with_subject = _meet(sets, rules.subjects)
    with_object = _meet(sets, rules.objects)
    both = with_subject.multiply(with_object)
    parts = [_of_kinds(both, rules, EXCLUDES), _of_kinds(with_subject - both, rules, *ASKING)]
    parts.append(_of_kinds(with_subject, rules, INCOMPLETE))
    for kind, outside in _outside_limits(len(predicted), sexes, ages).items():
        rows, broken = _of_kinds(with_subject, rules, kind)
        parts.append((rows[outside[rows]], broken[outside[rows]]))
    rows, broken = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((broken, rows))
    return Violations(rows=rows[order], rules=broken[order])


def columns_at_fault(predicted_row: np.ndarray, rules: CodingRules, rule: int) -> np.ndarray:
    """The codes of a set (C,) bool that break `rule`: its subjects, and for `excludes1` its objects too."""
    involved = rules.subjects[[rule]].indices
    if rules.kinds[rule] == EXCLUDES:
        involved = np.concatenate([involved, rules.objects[[rule]].indices])
    columns: np.ndarray = np.sort(involved[predicted_row[involved]])
    return columns


def mend(
    scores: np.ndarray,
    predicted: np.ndarray,
    rules: CodingRules,
    sexes: Sequence[str | None] | None = None,
    ages: np.ndarray | None = None,
) -> np.ndarray:
    """`predicted` (N, C) without the codes that are wrong by a rule of MENDED, as a new array.

    Taken away are, in this order, so that a code taken away pushes out no other: codes of another sex or age; codes
    that need further characters, where a complete code below them is predicted as well (one that stands alone stays: it
    is less than the truth, but not against it); of codes that exclude each other the lower-scored.
    """
    mended = predicted.copy()
    for kind, outside in _outside_limits(len(predicted), sexes, ages).items():
        mended[np.ix_(outside, _columns(rules.only(kind).subjects))] = False
    incomplete = rules.only(INCOMPLETE)
    sets = scipy.sparse.csr_array(mended, dtype=np.int32)
    replaced = _meet(sets, incomplete.objects).astype(np.int32) @ incomplete.subjects.astype(np.int32)
    mended[replaced.nonzero()] = False
    return apply_excludes(scores, mended, rules)


def apply_excludes(scores: np.ndarray, predicted: np.ndarray, rules: CodingRules) -> np.ndarray:
    """`predicted` (N, C) without codes that a higher-scored one excludes, as a new array; the rest breaks no
    `excludes1` rule.

    Each row is gone through from its highest score down (of equal ones the lower column first); a code stays where no
    rule stands between it and a code that stayed.
    """
    rules = rules.only(EXCLUDES)
    subject_of, object_of = _rules_by_column(rules.subjects), _rules_by_column(rules.objects)
    remaining = predicted.copy()
    for row in np.unique(violations(predicted, rules).rows):
        has_subject, has_object = np.zeros((2, len(rules)), dtype=bool)
        columns = np.flatnonzero(predicted[row])
        for column in columns[np.argsort(-scores[row, columns], kind="stable")]:
            as_subject, as_object = subject_of[column], object_of[column]
            if has_object[as_subject].any() or has_subject[as_object].any():
                remaining[row, column] = False
            else:
                has_subject[as_subject] = has_object[as_object] = True
    return remaining


def _rules_by_column(sides: scipy.sparse.csr_array) -> list[np.ndarray]:
    """For each of the C codes the rules that have it on this side."""
    by_column = scipy.sparse.csc_array(sides)
    return np.split(by_column.indices, by_column.indptr[1:-1])


def _matrix(lists: Sequence[Sequence[str]], column: dict[str, int]) -> scipy.sparse.csr_array:
    columns = [sorted({column[code] for code in codes if code in column}) for codes in lists]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns], dtype=np.int64)])
    indices = np.array([index for row in columns for index in row], dtype=np.int64)
    values = np.ones(len(indices), dtype=bool)
    return scipy.sparse.csr_array((values, indices, starts), shape=(len(lists), len(column)))


def _meet(sets: scipy.sparse.csr_array, sides: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """(N, R) of 0 and 1: which sets hold a code of which rule's side."""
    shared = (sets @ sides.astype(np.int32).T).tocsr()
    shared.data = np.ones_like(shared.data)
    return shared


def _of_kinds(broken: scipy.sparse.sparray, rules: CodingRules, *kinds: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and rules of the entries of (N, R) that are not 0 and of one of `kinds`."""
    rows, numbers = broken.nonzero()
    chosen = np.isin(rules.kinds[numbers], kinds)
    return rows[chosen].astype(np.int64), numbers[chosen].astype(np.int64)


def _outside_limits(
    num_rows: int, sexes: Sequence[str | None] | None, ages: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Kind -> (N,) bool: the patient is known to be of another sex or age."""
    outside = {kind: np.zeros(num_rows, dtype=bool) for kind in (*SEX_LIMITS, *AGE_LIMITS)}
    if sexes is not None:
        for kind, sex in SEX_LIMITS.items():
            outside[kind] = np.array([known is not None and known != sex for known in sexes], dtype=bool)
    if ages is not None:
        for kind, (youngest, too_old) in AGE_LIMITS.items():
            outside[kind] = (ages < youngest) | (ages >= too_old)
    return outside


def _columns(matrix: scipy.sparse.csr_array) -> np.ndarray:
    return np.unique(matrix.indices)
