"""Linear models on the words and the letters of a note. N notes, C codes, F features.

TF-IDF of words and pairs of words, beside TF-IDF of the 3 to 5 letters in a row inside words, which carry over
misspellings, compounds and endings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse
from scipy.linalg import cho_factor, cho_solve
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import SVC

from bi_encoder.evidence.attended_spans import Span
from mera.runs.fitted_contents import Contents, sparse_arrays, sparse_matrix
from mera.system.errors import UserError

MAX_FEATURES = 200_000
"""Of each kind, the most frequent ones."""


TFIDF = {"sublinear_tf": True, "dtype": np.float32, "max_features": MAX_FEATURES, "strip_accents": "unicode"}
KINDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("words", {"ngram_range": (1, 2)}),
    ("letters", {"analyzer": "char_wb", "ngram_range": (3, 5)}),
)


class WordFeatures:
    """Texts -> (N, F) float32, sparse. Each kind has rows of length 1."""

    def __init__(self, vectorizers: Sequence[TfidfVectorizer]):
        """One that is fitted for each of KINDS."""
        self._vectorizers = vectorizers

    @classmethod
    def fit(cls, texts: Sequence[str], min_rows: int = 2) -> "WordFeatures":
        """`texts`: of the training notes; what stands in fewer than `min_rows` of them is left out. Raises UserError
        where nothing is left."""
        try:
            return cls([TfidfVectorizer(min_df=min_rows, **TFIDF, **kind).fit(texts) for _, kind in KINDS])
        except ValueError:
            raise UserError(
                f"no word, or no sequence of letters, stands in {min_rows} of the {len(texts)} training notes; leave "
                f"words-and-letters out by --only"
            ) from None

    def __call__(self, texts: Sequence[str]) -> scipy.sparse.csr_matrix:
        return scipy.sparse.hstack([vectorizer.transform(texts) for vectorizer in self._vectorizers], format="csr")

    def contents(self) -> Contents:
        arrays, lists = {}, {}
        for (name, _), vectorizer in zip(KINDS, self._vectorizers, strict=True):
            lists[name] = vectorizer.get_feature_names_out().tolist()
            arrays[f"idf.{name}"] = vectorizer.idf_
        return Contents(settings={}, arrays=arrays, lists=lists)

    @classmethod
    def from_contents(cls, contents: Contents) -> "WordFeatures":
        vectorizers = []
        for name, kind in KINDS:
            vectorizer = TfidfVectorizer(vocabulary=contents.lists[name], **TFIDF, **kind)
            vectorizer.idf_ = contents.arrays[f"idf.{name}"]
            vectorizers.append(vectorizer)
        return cls(vectorizers)


class Ridge:
    """Ridge regression from features to 0 and 1, one output for each code: argmin |X W - Y|^2 + penalty |W|^2.

    Solved in its dual form, W = X^T (X X^T + penalty I)^-1 Y, since notes are fewer than features.
    """

    def __init__(self, features_NF: scipy.sparse.csr_matrix, dual_NC: np.ndarray):
        self._features, self._dual_NC = features_NF, dual_NC

    @classmethod
    def fit(cls, features_NF: scipy.sparse.csr_matrix, targets_NC: np.ndarray, penalty: float) -> "Ridge":
        products = (features_NF @ features_NF.T).toarray().astype(np.float64)
        products[np.diag_indices_from(products)] += penalty
        return cls(features_NF, cho_solve(cho_factor(products, overwrite_a=True), targets_NC.astype(np.float64)))

    def scores(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """(Q, C) float32."""
        return ((features @ self._features.T) @ self._dual_NC).astype(np.float32)

    def contents(self) -> Contents:
        return Contents(
            settings={"linear": "ridge"}, arrays={**sparse_arrays("features", self._features), "dual": self._dual_NC}
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "Ridge":
        return cls(sparse_matrix("features", contents), contents.arrays["dual"])


class Svm:
    """A linear support vector machine for each code, on the notes' products (LIBSVM, Chang and Lin 2011); a code that
    no training note, or every one, has scores the least that any code does on the training notes."""

    def __init__(
        self,
        features_NF: scipy.sparse.csr_matrix,
        dual_NT: np.ndarray,
        biases_T: np.ndarray,
        trained: np.ndarray,
        num_codes: int,
        least: float,
    ):
        """trained (T,) int: the columns that have a machine, of `num_codes`; `least`: what the others score."""
        self._features, self._dual_NT, self._biases_T = features_NF, dual_NT, biases_T
        self._trained, self._num_codes, self._least = trained, num_codes, least

    @classmethod
    def fit(cls, features_NF: scipy.sparse.csr_matrix, targets_NC: np.ndarray, cost: float) -> "Svm":
        trained = np.flatnonzero(targets_NC.any(axis=0) & ~targets_NC.all(axis=0))
        products = (features_NF @ features_NF.T).toarray().astype(np.float64)  # as SVC takes them, without a copy
        machines = [SVC(C=cost, kernel="precomputed").fit(products, targets_NC[:, column]) for column in trained]
        dual_NT = np.zeros((len(products), len(machines)), dtype=np.float32)
        for column, machine in enumerate(machines):
            dual_NT[machine.support_, column] = machine.dual_coef_[0]
        biases_T = np.array([machine.intercept_[0] for machine in machines], dtype=np.float32)
        least = float((products @ dual_NT + biases_T).min(initial=0))
        return cls(features_NF, dual_NT, biases_T, trained, targets_NC.shape[1], least)

    def scores(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """(Q, C) float32: distances from the separating plane."""
        distances = (features @ self._features.T) @ self._dual_NT + self._biases_T
        scores = np.full((features.shape[0], self._num_codes), self._least, np.float32)
        scores[:, self._trained] = distances
        return scores

    def contents(self) -> Contents:
        return Contents(
            settings={"linear": "support vector machines", "num_codes": self._num_codes, "least": self._least},
            arrays={
                **sparse_arrays("features", self._features),
                "dual": self._dual_NT,
                "biases": self._biases_T,
                "trained": self._trained,
            },
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "Svm":
        dual, biases, trained = (contents.arrays[name] for name in ("dual", "biases", "trained"))
        numbers = int(contents.number("num_codes")), contents.number("least")
        return cls(sparse_matrix("features", contents), dual, biases, trained, *numbers)


@dataclass(frozen=True, kw_only=True, slots=True)
class WordModel:
    """A linear model with the features that it reads."""

    kind: ClassVar[str] = "words and letters"
    words: WordFeatures
    linear: Ridge | Svm

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """(N, C) float32."""
        return self.linear.scores(self.words(texts))

    def evidence(self, note: str, columns: np.ndarray) -> list[list[Span]]:
        """None: every word speaks for or against every code."""
        return [[] for _ in columns]

    def contents(self) -> Contents:
        of_words, of_linear = self.words.contents(), self.linear.contents()
        return Contents(
            settings=of_linear.settings, arrays={**of_words.arrays, **of_linear.arrays}, lists=of_words.lists
        )

    @classmethod
    def from_contents(cls, contents: Contents) -> "WordModel":
        linear = Ridge if contents.text("linear") == "ridge" else Svm
        return cls(words=WordFeatures.from_contents(contents), linear=linear.from_contents(contents))
