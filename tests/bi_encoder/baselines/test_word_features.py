"""Linear models on words and letters, against the plain formulas."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import Ridge as PlainRidge
from sklearn.svm import LinearSVC

from bi_encoder.baselines.word_features import Ridge, Svm, WordFeatures
from mera.system.errors import UserError

NOTES = [f"patient {number} with {'fever' if number % 2 else 'diabetes mellitus'} and pain" for number in range(12)]


@pytest.fixture
def rows():
    draw = np.random.default_rng(0)
    features = scipy.sparse.random(40, 300, 0.2, "csr", np.float32, random_state=0)
    return features, scipy.sparse.random(7, 300, 0.2, "csr", np.float32, random_state=1), draw.random((40, 5)) < 0.3


@pytest.mark.parametrize("penalty", [0.1, 2.0])
def test_ridge_by_products_is_ridge_by_features(rows, penalty):
    features, queries, targets = rows
    plain = PlainRidge(alpha=penalty, fit_intercept=False).fit(features.toarray().astype(np.float64), targets)
    scores = Ridge.fit(features, targets, penalty).scores(queries)
    np.testing.assert_allclose(scores, plain.predict(queries.toarray().astype(np.float64)), atol=1e-5)


def test_the_machines_agree_with_those_on_features(rows):
    """LIBLINEAR penalises the bias, too, so the distances are near and not equal."""
    features, queries, targets = rows
    scores = Svm.fit(features, targets, 1.0).scores(queries)
    for column in range(targets.shape[1]):
        machine = LinearSVC(C=1.0, loss="hinge", max_iter=100_000, intercept_scaling=100, random_state=0)
        other = machine.fit(features, targets[:, column]).decision_function(queries)
        assert np.corrcoef(scores[:, column], other)[0, 1] > 0.95


def test_a_code_without_an_example_scores_the_least(rows):
    features, queries, targets = rows
    targets[:, 2], targets[:, 3] = False, True
    scores = Svm.fit(features, targets, 1.0).scores(queries)
    least = Svm.fit(features, targets, 1.0).scores(features)[:, [0, 1, 4]].min()
    np.testing.assert_allclose(scores[:, [2, 3]], least, rtol=1e-6)
    assert scores.shape == (7, 5)


def test_a_note_scores_alike_whatever_stands_beside_it(rows):
    features, queries, targets = rows
    targets[:, 2] = False
    machines = Svm.fit(features, targets, 1.0)
    alone = np.concatenate([machines.scores(queries[row]) for row in range(queries.shape[0])])
    np.testing.assert_allclose(alone, machines.scores(queries), rtol=1e-5, atol=1e-6)
    again = Svm.from_contents(machines.contents())
    np.testing.assert_array_equal(again.scores(queries), machines.scores(queries))


def test_letters_carry_over_a_misspelling():
    features = WordFeatures.fit(NOTES)
    train, query = features(NOTES), features(["diabetic, mellitis"])
    similarity = (query @ train.T).toarray()[0]
    assert similarity[::2].min() > similarity[1::2].max()
    assert np.allclose(train.multiply(train).sum(axis=1), 2)  # each kind of length 1


def test_notes_without_a_word_that_two_share_are_refused():
    with pytest.raises(UserError, match="no word, or no sequence of letters, stands in 2 of the 2 training notes"):
        WordFeatures.fit(["alpha", "bbbbb"])
