"""Pairs of an example and a candidate as rows of numbers.

Shape suffixes: R examples of a block, C candidates, L codes from which they are foretold, P pairs.
"""

import numpy as np

from rank.baselines.history_matrices import HistoryMatrices
from rank.baselines.trees.code_statistics import CodeStatistics, group_numbers, item_inputs

FEATURES = (
    "in the last visit",
    "visits with the code",
    "share of the visits with the code",
    "visits since the code",
    "days since the code",
    "visits",
    "days since the last visit",
    "codes of the last visit",
    "codes of the history",
    "age",
    "female",
    "log popularity",
    "log popularity by age and sex",
    "log onset",
    "recurrence",
    "max P(code | code of the history)",
    "mean P(code | code of the history)",
    "max P(code | code of the last visit)",
    "item-item score",
    "place by item-item score",
)


EVENT_FEATURES = (
    "max log-odds of the code by an event of the history",
    "mean log-odds of the code by the events of the history",
    "mean log-odds of the code by the events of the last visit",
    "events of the history",
)
"""Where the task has procedures, drugs or labs: log of P(code | event) over the popularity of the code."""


class PairBlock:
    """The pairs of some examples with all candidates; features are made for those that are asked for."""

    def __init__(self, examples: HistoryMatrices, statistics: CodeStatistics):
        """`examples`: R of them, few enough for several (R, C) float32 matrices."""
        self.examples, self.statistics = examples, statistics
        self.seen = examples.seen.toarray() > 0
        seen, last = examples.linked_seen, examples.linked_last
        num_seen = np.diff(seen.indptr)
        self.highest, total = _highest_and_sum(seen.indices, seen.indptr, statistics.transition)
        self.mean = total / np.maximum(num_seen, 1)[:, None]
        self.highest_last, _ = _highest_and_sum(last.indices, last.indptr, statistics.transition)
        self.of_events = self._event_features()
        inputs = item_inputs(examples, last_apart=len(statistics.item_weights) > seen.shape[1])
        self.item_scores: np.ndarray = inputs @ statistics.item_weights + statistics.item_constant
        """(R, C) float32"""

    def _event_features(self) -> list[np.ndarray]:
        """For each of EVENT_FEATURES (R, C) float32; none without events."""
        examples, statistics = self.examples, self.statistics
        if not len(statistics.event_transition):
            return []
        lift = np.log(statistics.event_transition / statistics.popularity)
        num_events, num_last = (np.diff(each.indptr) for each in (examples.events, examples.last_events))
        highest, total = _highest_and_sum(examples.events.indices, examples.events.indptr, lift)
        _, total_last = _highest_and_sum(examples.last_events.indices, examples.last_events.indptr, lift)
        return [
            highest,
            total / np.maximum(num_events, 1)[:, None],
            total_last / np.maximum(num_last, 1)[:, None],
            np.broadcast_to(num_events[:, None], highest.shape).astype(np.float32),
        ]

    def features(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """(P, K) float32 of the pairs of example `rows` (P,), numbered within the block, and candidate `columns` (P,):
        FEATURES, and with events EVENT_FEATURES. Unknown numbers are NaN."""
        examples, statistics = self.examples, self.statistics
        counts, since, days = (
            matrix.toarray()[rows, columns]
            for matrix in (examples.visit_counts, examples.visits_since, examples.days_since)
        )
        place: np.ndarray = np.empty_like(self.item_scores)
        order = np.argsort(-self.item_scores, axis=1, kind="stable")
        np.put_along_axis(place, order, np.arange(place.shape[1], dtype=np.float32)[None, :], axis=1)
        groups = group_numbers(examples)[rows]
        features = np.empty((len(rows), len(FEATURES) + len(self.of_events)), dtype=np.float32)
        parts: tuple[np.ndarray, ...] = (
            since == 1,
            counts,
            counts / np.maximum(examples.num_visits[rows], 1),
            np.where(since > 0, since, np.nan),
            np.where(days > 0, days - 1, np.nan),
            examples.num_visits[rows],
            examples.days_since_last[rows],
            np.diff(examples.last_visit.indptr)[rows],
            np.diff(examples.visit_counts.indptr)[rows],
            examples.age[rows],
            examples.female[rows],
            np.log(statistics.popularity[columns]),
            statistics.group_popularity[groups, columns],
            np.log(statistics.onset[columns]),
            np.where(counts > 0, statistics.recurrence[columns], np.nan),
            self.highest[rows, columns],
            self.mean[rows, columns],
            self.highest_last[rows, columns],
            self.item_scores[rows, columns],
            np.log1p(place[rows, columns]),
            *(values[rows, columns] for values in self.of_events),
        )
        for number, values in enumerate(parts):
            features[:, number] = values
        return features


def _highest_and_sum(codes: np.ndarray, starts: np.ndarray, values_LC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, C) float32 each: over the codes of an example, the largest and the sum of their rows of `values_LC`; zeros
    for an example without codes. `codes` (S,) and `starts` (R + 1,) as in a CSR matrix."""
    shape = (len(starts) - 1, values_LC.shape[1])
    highest, total = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for row in range(shape[0]):
        own = values_LC[codes[starts[row] : starts[row + 1]]]
        if len(own):
            own.max(axis=0, out=highest[row])
            own.sum(axis=0, out=total[row])
    return highest, total
