"""What the wide part reads of a patient: of each candidate whether and when it was seen before, what it is linked to
that was seen before, and how common it is; of the patient age, sex and the length of the history.

What is read of a training patient leaves that patient out wherever training targets were counted: in how common a code
is, and in the item-item scores. Else a code that only this patient has would look like one that is worth predicting,
and the trained weights would trust both more than new patients deserve.

Shape suffixes: B patients, C candidates, L of them from which others are foretold, K features of a candidate, D
features of a patient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from data.task import Task
from data.task_folder.features import PatientRow, VisitRow
from rank.patients.visit_events import event_columns, events_of
from rank.wide.item_scores import (
    LeftOutHistories,
    best_event_weight,
    best_penalty,
    item_item_weights,
    leave_patients_out,
    linked_codes,
)
from rank.wide.recurrence import SeenCodes, seen_codes

FEATURES = (
    *("linked", "linked_share", "new", "seen", "last", "prior", "visits", "new_prior", "seen_prior", "last_prior"),
    *("rate", "seen_history", "same_chapter", "same_block", "same_category"),
)
"""linked: how much likelier the item-item score makes the code than it is by itself (log);
linked_share: that score, in tenths; new, seen, last: not in the
history, in it, in its last visit; prior: log of 1 + training targets with the code; visits: log of the visits with it;
new_prior, seen_prior, last_prior: prior where it is that; rate: log of the share of the visits with it; seen_history:
log of the number of visits where it is seen; same_...: log of 1 + other codes of the history in the same group and in
no smaller one, for codes that are new."""
PER_CODE = 5
"""The first features have a weight of each code's own besides the shared one."""
PATIENT_FEATURES = ("age", "age_squared", "sex", "no_history", "history_visits", "history_codes")
GROUP_LEVELS = ("chapter", "block", "category")
LEAST_SHARE = 0.1
"""An item-item score can lower a code's share of the patients to this part of it: linear scores fall below 0."""
NO_COLUMNS = np.empty(0, dtype=np.int64)
NO_VALUES = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Sparse:
    """A row of a matrix: `columns` (S,) and their `values` (S,)."""

    columns: np.ndarray = field(default_factory=NO_COLUMNS.copy)
    values: np.ndarray = field(default_factory=NO_VALUES.copy)


@dataclass(frozen=True, kw_only=True, slots=True)
class WidePatient:
    """What the wide part reads of one patient."""

    seen: SeenCodes
    num_visits: int
    patient: np.ndarray
    """(D,) float32, see PATIENT_FEATURES"""
    items: Sparse
    """the history as the item-item weights read it; of a training patient with what leaves the patient out"""
    left_out_items: Sparse = field(default_factory=Sparse)
    """training patients: what is taken from the item-item scores"""
    left_out_share: float = 0.0
    """training patients: the part of every code's base rate that `left_out_items` took too much"""
    left_out_reach: float = 0.0
    """training patients: how much of a code's base rate the left-out score takes off: what the weights, without the
    patient, make of a target that every row has"""
    own_targets: Sparse = field(default_factory=Sparse)
    """training patients: how often each code is among their own training targets"""
    own_rows: int = 0
    """training patients: their training rows"""
    owner: int = 0
    """training patients: equal numbers are rows of one patient"""


@dataclass(frozen=True, kw_only=True, slots=True)
class WideTables:
    """What was counted on the training visits. C candidates."""

    counts: np.ndarray
    """(C,) float32: training rows with the code among their targets"""
    num_rows: int
    item_weights: np.ndarray
    """(L, C) float32, with no more digits than float16 has: from a linked code of the history to what the base rate of
    a code of the next visit rises by; with events (L + E, C)"""
    linked: np.ndarray
    """(L,) int64: the candidates that the rows of `item_weights` are of (`linked_codes`), ascending"""
    group_ids: np.ndarray
    """(3, C) int64: at each of GROUP_LEVELS, codes with the same number are in the same group"""
    age: tuple[float, float]
    """mean and standard deviation in train"""
    visits: float
    """mean of log(1 + visits) of the training histories that are not empty"""
    codes: float
    """the same of their different codes"""
    event_columns: Mapping[str, int] = field(default_factory=dict)
    """the E events that the item-item weights read beside codes, and their order; none where left-out patients are
    scored no better with them"""
    event_weight: float = 0.0
    """what an event of the history counts, against 1 of a code"""

    def patient(self, row: PatientRow, column: dict[str, int]) -> WidePatient:
        """A patient whom training has not met."""
        seen = seen_codes(row["history"], column)
        return WidePatient(
            seen=seen,
            num_visits=len(row["history"] or []),
            patient=self._patient_features(row["age"], row["sex"], len(row["history"] or []), len(seen.columns)),
            items=_with_events(_item_history(seen, self.linked), self._events(row["history"] or [])),
        )

    def _events(self, history: Sequence[VisitRow]) -> Sparse:
        """The events of a history as the item-item weights read them, their columns behind those of the codes."""
        events = _event_history(history, self.event_columns)
        return Sparse(events.columns + len(self.linked), self.event_weight * events.values)

    def _patient_features(self, age: int | None, sex: str | None, visits: int, codes: int) -> np.ndarray:
        scaled = 0.0 if age is None else (age - self.age[0]) / self.age[1]
        spread = 0.0 if age is None else scaled**2 - 1
        history = (np.log1p(visits) - self.visits, np.log1p(codes) - self.codes) if visits else (0.0, 0.0)
        sign = {"F": 1.0, "M": -1.0}.get(sex or "", 0.0)
        return np.array([scaled, spread, sign, float(not visits), *history], dtype=np.float32)

    def features(self, patients: Sequence[WidePatient]) -> np.ndarray:
        """(B, C, K) float32, see FEATURES."""
        shape = (len(patients), len(self.counts))
        seen, visits, last = (np.zeros(shape, dtype=np.float32) for _ in range(3))
        for row, patient in enumerate(patients):
            columns = patient.seen.columns
            seen[row, columns], visits[row, columns], last[row, columns] = patient.seen.features.T
        num_visits = np.array([[patient.num_visits] for patient in patients], dtype=np.float32)
        new = np.where(num_visits > 0, 1 - seen, 0.0)
        log_visits = np.log(np.maximum(num_visits, 1))
        counts = self.counts - _dense([patient.own_targets for patient in patients], shape)
        prior = np.log1p(np.maximum(counts, 0))
        parts = [
            *self._linked(patients, counts),
            *(new, seen, last, prior, visits, new * prior, seen * prior, last * prior),
            *(seen * (visits - log_visits), seen * log_visits, *self._same_groups(seen)),
        ]
        return np.stack(parts, axis=-1).astype(np.float32)

    def _linked(self, patients: Sequence[WidePatient], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, C) each: log of (base rate + item-item score) / base rate; the score in tenths."""
        shape = counts.shape
        own_rows = np.array([[patient.own_rows] for patient in patients])
        base = (counts + 0.5) / (self.num_rows - own_rows + 1)
        items = _sparse([patient.items for patient in patients], (len(patients), len(self.item_weights)))
        scores = items @ self.item_weights
        scores -= _dense([patient.left_out_items for patient in patients], shape)
        share, reach = np.array([(patient.left_out_share, patient.left_out_reach) for patient in patients]).T[..., None]
        of_all = _base_rates(self.counts, self.num_rows)
        scores += share * of_all + reach * (of_all - base)
        return np.log(np.maximum(base + scores, LEAST_SHARE * base) / base), 10 * scores

    def _same_groups(self, seen: np.ndarray) -> list[np.ndarray]:
        """For each of GROUP_LEVELS (B, C)."""
        parts, smaller = [], seen
        for ids in self.group_ids[::-1]:
            groups = sparse.csr_array((np.ones(len(ids), dtype=np.float32), (np.arange(len(ids)), ids)))
            of_group = (seen @ groups)[:, ids]
            parts.append(np.log1p(np.maximum(of_group - smaller, 0)) * (1 - seen))
            smaller = of_group
        return parts[::-1]


def count_training_visits(task: Task) -> tuple[WideTables, list[WidePatient]]:
    """The tables of a task's train split, and its rows with each patient left out of them."""
    rows, column, num_codes = task.splits["train"], task.column, len(task.codes)
    targets = task.target_columns("train")
    following = _csr([np.array(codes, dtype=np.int64) for codes in targets], None, num_codes)
    counts = np.asarray(following.sum(axis=0), dtype=np.float32).ravel()
    seen = [seen_codes(history, column) for history in rows["history"]]
    visits = np.array([len(history) for history in rows["history"]])
    with_history = np.flatnonzero(visits)
    ages = np.array([age for age in rows["age"] if age is not None], dtype=np.float64)
    patients = np.unique(np.array(rows["patient_id"]), return_inverse=True)[1]

    of_histories = np.concatenate([NO_COLUMNS, *(codes.columns for codes in seen)])
    linked = linked_codes(np.bincount(of_histories, minlength=num_codes))
    history = _sparse([_item_history(codes, linked) for codes in seen], (len(seen), len(linked)))[with_history]
    # A further column of ones: what the weights make of the rows as such is taken from every code by its base rate.
    ones = sparse.csr_array(np.ones((len(with_history), 1)))
    extended = sparse.csr_array(sparse.hstack([following[with_history], ones]))
    base = _base_rates(counts, len(targets))
    penalty = best_penalty(history, extended, patients[with_history])
    of_events, event_weight = event_columns(task), 0.0
    if of_events:
        histories = [_event_history(rows[int(row)]["history"], of_events) for row in with_history]
        events = _sparse(histories, (len(histories), len(of_events)))
        event_weight = best_event_weight(history, events, extended, patients[with_history], penalty)
        if event_weight:
            scaled = event_weight * events
            history = sparse.csr_array(sparse.hstack([history, scaled])).astype(np.float32)
    weights = item_item_weights(history, extended, penalty)
    left_out = leave_patients_out(history, extended, penalty, patients[with_history])
    tables = WideTables(
        counts=counts,
        num_rows=len(targets),
        item_weights=(weights[:, :-1] - weights[:, -1:] * base).astype(np.float16).astype(np.float32),
        linked=linked,
        group_ids=task.group_ids(GROUP_LEVELS),
        age=(float(ages.mean()), float(ages.std()) or 1.0) if len(ages) else (0.0, 1.0),
        visits=float(np.log1p(visits[with_history]).mean()) if len(with_history) else 0.0,
        codes=float(np.mean([np.log1p(len(seen[row].columns)) for row in with_history])) if len(with_history) else 0.0,
        event_columns=of_events if event_weight else {},
        event_weight=event_weight,
    )
    reach = np.zeros(len(seen), dtype=np.float32)
    reach[with_history] = left_out.history @ weights[:, -1] - left_out.following[:, [-1]].toarray()[:, 0]
    with_row = dict(enumerate(with_history.tolist()))
    return tables, _training_patients(tables, task, seen, following, patients, with_row, left_out, reach)


def _training_patients(
    tables: WideTables,
    task: Task,
    seen: Sequence[SeenCodes],
    following: sparse.csr_array,
    patients: np.ndarray,
    with_history: dict[int, int],
    left_out: LeftOutHistories,
    reach: np.ndarray,
) -> list[WidePatient]:
    """`with_history`: number of a row of `left_out` -> its row in train; reach (N,): `left_out_reach` of the rows."""
    rows, num_codes = task.splits["train"], len(task.codes)
    membership = sparse.csr_array((np.ones(len(patients), dtype=np.float32), (patients, np.arange(len(patients)))))
    own_targets, own_rows = sparse.csr_array(membership @ following), np.bincount(patients)
    of_row = {row: number for number, row in with_history.items()}
    wide_patients = []
    for row, (age, sex, history) in enumerate(zip(rows["age"], rows["sex"], rows["history"], strict=True)):
        items, left_out_items, share = Sparse(), Sparse(), 0.0
        if row in of_row:
            items = _row(left_out.history, of_row[row])
            taken = _row(left_out.following, of_row[row])
            codes = taken.columns < num_codes
            left_out_items = Sparse(taken.columns[codes], taken.values[codes])
            share = float(taken.values[~codes].sum())
        wide_patients.append(
            WidePatient(
                seen=seen[row],
                num_visits=len(history),
                patient=tables._patient_features(age, sex, len(history), len(seen[row].columns)),
                items=items,
                left_out_items=left_out_items,
                left_out_share=share,
                left_out_reach=float(reach[row]),
                own_targets=_row(own_targets, patients[row]),
                own_rows=int(own_rows[patients[row]]),
                owner=int(patients[row]),
            )
        )
    return wide_patients


def _item_history(seen: SeenCodes, linked: np.ndarray) -> Sparse:
    """1 for a linked code of the history, 2 where it is in the last visit; by their numbers among the linked ones."""
    numbers = np.minimum(np.searchsorted(linked, seen.columns), len(linked) - 1)
    is_linked = linked[numbers] == seen.columns
    return Sparse(numbers[is_linked], (seen.features[:, 0] + seen.features[:, 2])[is_linked])


def _event_history(history: Sequence[VisitRow], columns: Mapping[str, int]) -> Sparse:
    """1 for an event of the history, 2 where it is in the last visit."""
    values: dict[int, float] = {}
    for visit in history:
        is_last = visit is history[-1]
        values |= {number: 2.0 if is_last else 1.0 for number in events_of(visit, columns)}
    ordered = sorted(values)
    return Sparse(np.array(ordered, dtype=np.int64), np.array([values[number] for number in ordered], dtype=np.float32))


def _with_events(items: Sparse, events: Sparse) -> Sparse:
    return Sparse(np.concatenate([items.columns, events.columns]), np.concatenate([items.values, events.values]))


def _base_rates(counts: np.ndarray, num_rows: int) -> np.ndarray:
    return (counts + 0.5) / (num_rows + 1)


def _csr(columns: list[np.ndarray], values: list[np.ndarray] | None, width: int) -> sparse.csr_array:
    places = np.concatenate([[0], np.cumsum([len(part) for part in columns])])
    joined = np.concatenate([NO_COLUMNS, *columns])
    numbers = np.ones(len(joined), dtype=np.float32) if values is None else np.concatenate([NO_VALUES, *values])
    return sparse.csr_array((numbers, joined, places), shape=(len(columns), width))


def _sparse(rows: Sequence[Sparse], shape: tuple[int, int]) -> sparse.csr_array:
    return _csr([row.columns for row in rows], [row.values for row in rows], shape[1])


def _dense(rows: Sequence[Sparse], shape: tuple[int, int]) -> np.ndarray:
    dense = np.zeros(shape, dtype=np.float32)
    for number, row in enumerate(rows):
        dense[number, row.columns] = row.values
    return dense


def _row(matrix: sparse.csr_array, row: int) -> Sparse:
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return Sparse(matrix.indices[part].astype(np.int64), matrix.data[part].astype(np.float32))
