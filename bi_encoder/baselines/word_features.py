"""Linear models on the words and the letters of a note. N notes, C codes, F features.

TF-IDF of words and pairs of words, beside TF-IDF of the 3 to 5 letters in a row inside words, which carry over
misspellings, compounds and endings.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from scipy.linalg import cho_factor, cho_solve
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import SVC

MAX_FEATURES = 200_000
"""Of each kind, the most frequent ones."""
MAX_DUAL_ROWS = 20_000
"""Training notes up to which ridge regression is solved by the notes' products, an N x N matrix of 3 GiB at most."""


class WordFeatures:
    """Texts -> (N, F) float32, sparse. Each kind has rows of length 1."""

    def __init__(self, texts: Sequence[str], min_rows: int = 2):
        """`texts`: of the training notes; what stands in fewer than `min_rows` of them is left out."""
        shared = {"sublinear_tf": True, "dtype": np.float32, "max_features": MAX_FEATURES, "strip_accents": "unicode"}
        self._vectorizers = [
            TfidfVectorizer(ngram_range=(1, 2), min_df=min_rows, **shared),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=min_rows, **shared),
        ]
        for vectorizer in self._vectorizers:
            vectorizer.fit(texts)

    def __call__(self, texts: Sequence[str]) -> scipy.sparse.csr_matrix:
        return scipy.sparse.hstack([vectorizer.transform(texts) for vectorizer in self._vectorizers], format="csr")


class Ridge:
    """Ridge regression from features to 0 and 1, one output for each code: argmin |X W - Y|^2 + penalty |W|^2.

    Solved in its dual form, W = X^T (X X^T + penalty I)^-1 Y, since notes are fewer than features.
    """

    def __init__(self, features_NF: scipy.sparse.csr_matrix, targets_NC: np.ndarray, penalty: float):
        products = (features_NF @ features_NF.T).toarray().astype(np.float64)
        products[np.diag_indices_from(products)] += penalty
        self._features = features_NF
        self._dual_NC = cho_solve(cho_factor(products, overwrite_a=True), targets_NC.astype(np.float64))

    def scores(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """(Q, C) float32."""
        return ((features @ self._features.T) @ self._dual_NC).astype(np.float32)


class Svm:
    """A linear support vector machine for each code, on the notes' products (LIBSVM, Chang and Lin 2011); a code that
    no training note, or every one, has scores the least that any code does."""

    def __init__(self, features_NF: scipy.sparse.csr_matrix, targets_NC: np.ndarray, cost: float):
        self._features = features_NF
        self._num_codes = targets_NC.shape[1]
        self._trained = np.flatnonzero(targets_NC.any(axis=0) & ~targets_NC.all(axis=0))
        products = (features_NF @ features_NF.T).toarray()
        machines = [SVC(C=cost, kernel="precomputed").fit(products, targets_NC[:, column]) for column in self._trained]
        self._dual_NC = np.zeros((len(products), len(machines)), dtype=np.float32)
        for column, machine in enumerate(machines):
            self._dual_NC[machine.support_, column] = machine.dual_coef_[0]
        self._biases_C = np.array([machine.intercept_[0] for machine in machines], dtype=np.float32)

    def scores(self, features: scipy.sparse.csr_matrix) -> np.ndarray:
        """(Q, C) float32: distances from the separating plane."""
        distances = (features @ self._features.T) @ self._dual_NC + self._biases_C
        scores = np.full((features.shape[0], self._num_codes), distances.min(initial=0), np.float32)
        scores[:, self._trained] = distances
        return scores
