"""Boosted trees that weigh what phrases in a note, whole or in part, say of its codes.

The phrases are those of the dictionary (`bi_encoder/baselines/phrases`), found as `NearPhrases` finds them. How far
to trust one, complete or in part, is learnt from training notes that it was not taken from: in FOLDS folds of patients
the phrases of the other notes are looked for in each note (stacking, Wolpert 1992). The trees (LightGBM, Ke et al.
2017) see, of the phrases that name a code, how much of them is there and how often they were right.

N notes, C codes, P phrases, M pairs of a phrase and a code that it names, E pairs of a note and a code, F features.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import lightgbm
import numpy as np
import scipy.sparse

from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrases.known import Phrases, phrases_of_names, some, with_learnt_phrases
from bi_encoder.baselines.phrases.near import NearPhrases, ranges
from bi_encoder.baselines.phrases.pairs import NEAR, PhrasePairs, counted_pairs, values_at
from bi_encoder.baselines.phrases.sequences import true_pairs
from bi_encoder.evidence.attended_spans import Span
from mera.evaluation.fusion_trees import PARAMETERS, ROUNDS
from mera.runs.fitted_contents import Contents
from mera.runs.other_splits.train_scores import folds_of_patients
from mera.system.errors import UserError

FOLDS = 5
STEEPNESS = 6
"""Half of a phrase says (1/2)^STEEPNESS of what the whole says."""
NUM_WEIGHED = 150
"""Codes of a note that the trees weigh, the best by their best phrase; the others get NOTHING."""
NOTHING, FREQUENT, LEAST = -10.0, 0.5, -9.0
"""The log-odds of a code that is not weighed, by how much those of the most frequent code are higher, and the least of
one that is weighed."""
ROWS_AT_ONCE, SHARES_AT_ONCE = 500, 500_000
"""Notes, and phrases of notes, that are weighed together: some 300 bytes for each pair of the latter and a code."""
OF_KIND = (
    "share of the phrase of which there is most",
    "precision of that phrase",
    "words of that phrase",
    "most that a precision says",
    "most that a near precision says",
    "most that marks say",
    "phrases nearly there",
)
"""What is said of a code by its phrases of one kind. A number says so much times the phrase's share to the power
STEEPNESS."""
FEATURES = (
    *(f"marked: {name}" for name in OF_KIND),
    *(f"name: {name}" for name in OF_KIND),
    "log(1 + training notes of the code)",
)


class Weighed(NamedTuple):
    """E pairs of a note and a code."""

    rows: np.ndarray
    columns: np.ndarray
    features: np.ndarray
    """(E, F) float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhraseTrees:
    """Scores notes by the log-odds of each code."""

    kind: ClassVar[str] = "phrase trees"
    near: NearPhrases
    pairs: PhrasePairs
    train_counts: np.ndarray
    """(C,): training notes with each code."""
    trees: lightgbm.Booster

    @classmethod
    def fit(
        cls,
        names: Sequence[Sequence[str]],
        notes: Notes,
        meanings: Mapping[str, str],
        threads: int = 0,
    ) -> "PhraseTrees":
        """names: of each code (C). meanings: word of a note -> that of the names which it stands for. Notes of one
        patient are in one fold. `threads`: 0 all. Raises UserError where there are fewer than two patients, or no
        phrase at all."""
        num_patients = len(set(notes.patients))
        if num_patients < 2:
            raise UserError("phrase trees need the training notes of two patients or more; leave them out by --only")
        true = true_pairs(notes.targets, len(names))
        fold = folds_of_patients(notes.patients, min(FOLDS, num_patients))
        of_names = phrases_of_names(names)
        of_folds = [
            _phrases(of_names, notes.select(np.flatnonzero(fold != number))) for number in range(fold.max() + 1)
        ]
        whole = some(_phrases(of_names, notes))
        every = sorted(whole.keys() | {phrase for each in of_folds for phrase in each})
        near = NearPhrases.fit(every, notes.texts, meanings)
        shares = near.shares(notes.texts)
        features, labels = [], []
        for number, phrases in enumerate(of_folds):
            others, in_fold = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            pairs = counted_pairs(phrases, near.phrases, shares[others], true[others], notes.select(others).marked)
            counts = np.asarray(true[others].sum(axis=0)).ravel()
            for rows in _blocks(in_fold, np.diff(shares.indptr)[in_fold]):
                weighed = _weighed(pairs, shares[rows], counts)
                # A row says nothing of codes that the other folds have no example of: some are candidates because of
                # this very row.
                fair = counts[weighed.columns] > 0
                features.append(weighed.features[fair])
                labels.append(values_at(true, rows[weighed.rows[fair]], weighed.columns[fair]))
        data = lightgbm.Dataset(np.concatenate([_silence(), *features]), np.concatenate([[0, 0], *labels]))
        return cls(
            near=near,
            pairs=counted_pairs(whole, near.phrases, shares, true, notes.marked),
            train_counts=np.asarray(true.sum(axis=0)).ravel(),
            trees=lightgbm.train({**PARAMETERS, "num_threads": threads}, data, ROUNDS),
        )

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(N, C) float32: log-odds."""
        frequency = np.log1p(self.train_counts) / max(np.log1p(self.train_counts).max(), 1)
        scores = np.repeat((NOTHING + FREQUENT * frequency)[None].astype(np.float32), len(texts), axis=0)
        for start in range(0, len(texts), ROWS_AT_ONCE):
            shares = self.near.shares(texts[start : start + ROWS_AT_ONCE])
            for rows in _blocks(np.arange(shares.shape[0]), np.diff(shares.indptr)):
                weighed = _weighed(self.pairs, shares[rows], self.train_counts)
                if len(weighed.rows):
                    log_odds = np.asarray(self.trees.predict(weighed.features, raw_score=True))
                    scores[start + rows[weighed.rows], weighed.columns] = np.maximum(log_odds, LEAST)
        return scores

    def evidence(self, note: str, columns: np.ndarray) -> list[list[Span]]:
        """For each code of `columns` where its best phrase stands, by how much of it is there and how often it was
        right."""
        said = _said(self.pairs, self.near.shares([note]))
        strength = said.share * self.pairs.precisions[said.pair]
        best: dict[int, int] = {}
        for place in np.argsort(strength, kind="stable"):
            best[int(self.pairs.columns[said.pair[place]])] = int(place)
        found = {column: best[column] for column in columns.tolist() if column in best}
        places = self.near.places(note, said.phrase[list(found.values())].tolist())
        spans = {
            column: [Span(start=start, end=end, weight=float(strength[place]))]
            for (column, place), (start, end) in zip(found.items(), places, strict=True)
        }
        return [spans.get(column, []) for column in columns.tolist()]

    def contents(self) -> Contents:
        return Contents(
            settings={},
            arrays={
                **{name: np.asarray(array) for name, array in self.pairs._asdict().items()},
                "weights": self.near.weights,
                "train_counts": self.train_counts,
            },
            lists={
                "phrases": list(self.near.phrases),
                "words": list(self.near.meanings),
                "meanings": list(self.near.meanings.values()),
                "trees": [self.trees.model_to_string()],
                "features": list(FEATURES),
            },
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "PhraseTrees":
        lists = {"words": (), "meanings": (), "features": FEATURES} | dict(contents.lists)  # runs of before have none
        if tuple(lists["features"]) != FEATURES:
            raise IndexError("trees of other features")
        meanings = dict(zip(lists["words"], lists["meanings"], strict=True))
        pairs = PhrasePairs(*(contents.arrays[name] for name in PhrasePairs._fields))
        counts = contents.arrays["train_counts"]
        if len(pairs.columns) and pairs.columns.max() >= len(counts):
            raise IndexError("a phrase names a code that is none")
        return cls(
            near=NearPhrases(contents.lists["phrases"], contents.arrays["weights"], meanings),
            pairs=pairs,
            train_counts=counts,
            trees=lightgbm.Booster(model_str=contents.lists["trees"][0]),
        )


class _Said(NamedTuple):
    """What is said of codes in notes: a pair of a phrase and a code, where a note has so much of the phrase."""

    row: np.ndarray
    phrase: np.ndarray
    pair: np.ndarray
    share: np.ndarray


def _said(pairs: PhrasePairs, shares: scipy.sparse.csr_matrix) -> _Said:
    phrase, row = shares.indices, np.repeat(np.arange(shares.shape[0]), np.diff(shares.indptr))
    count = pairs.starts[phrase + 1] - pairs.starts[phrase]
    pair = ranges(pairs.starts[phrase], count)
    return _Said(np.repeat(row, count), np.repeat(phrase, count), pair, np.repeat(shares.data, count))


def _weighed(pairs: PhrasePairs, shares: scipy.sparse.csr_matrix, counts: np.ndarray) -> Weighed:
    """The NUM_WEIGHED codes of each note of whose phrases a precision says most, with their FEATURES.

    shares (N, P); counts (C,): training notes with each code.
    """
    said, num_codes = _said(pairs, shares), len(counts)
    cell = said.row * np.int64(num_codes) + pairs.columns[said.pair]
    cells = np.unique(cell)
    of_kinds = []
    for is_marked in (True, False):
        of_kind = np.zeros((len(cells), len(OF_KIND)), dtype=np.float32)
        chosen = np.flatnonzero(pairs.is_marked[said.pair] == is_marked)
        chosen = chosen[np.lexsort((said.share[chosen], cell[chosen]))]
        if len(chosen):
            own, starts = np.unique(cell[chosen], return_index=True)
            pair, share = said.pair[chosen], said.share[chosen]
            most, power = pair[np.append(starts[1:], len(chosen)) - 1], share**STEEPNESS
            feature = {
                "share of the phrase of which there is most": np.maximum.reduceat(share, starts),
                "precision of that phrase": pairs.precisions[most],
                "words of that phrase": pairs.lengths[most],
                "most that a precision says": np.maximum.reduceat(pairs.precisions[pair] * power, starts),
                "most that a near precision says": np.maximum.reduceat(pairs.near_precisions[pair] * power, starts),
                "most that marks say": np.maximum.reduceat(pairs.marked_in[pair] * power, starts),
                "phrases nearly there": np.add.reduceat((share >= NEAR).astype(np.float32), starts),
            }
            of_kind[np.searchsorted(cells, own)] = np.stack([feature[name] for name in OF_KIND], axis=1)
        of_kinds.append(of_kind)
    rows, columns = np.divmod(cells, num_codes)
    features = np.concatenate([*of_kinds, np.log1p(counts[columns])[:, None]], axis=1, dtype=np.float32)
    strength = OF_KIND.index("most that a precision says")
    best_first = np.lexsort((-np.maximum(*(of_kind[:, strength] for of_kind in of_kinds)), rows))
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)  # rows are in order, so that this holds after sorting
    kept = best_first[place < NUM_WEIGHED]
    return Weighed(rows[kept], columns[kept], features[kept])


def _phrases(of_names: Sequence[tuple[str, int]], notes: Notes) -> Phrases:
    return with_learnt_phrases(of_names, notes.texts, notes.targets, notes.marked)


def _silence() -> np.ndarray:
    """(2, F): of notes that say nothing of a code, which none has; without them there could be no row to fit, and of
    one row the bagging leaves none."""
    return np.zeros((2, len(FEATURES)), dtype=np.float32)


def _blocks(rows: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of SHARES_AT_ONCE shares together, or one; sizes: the shares of each row."""
    block = (np.cumsum(sizes) - sizes) // SHARES_AT_ONCE
    for start in np.unique(block, return_index=True)[1]:
        yield rows[block == block[start]]
