"""Similarities of codes and their agreement, against loops."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from rank.studies.finished_runs.distances import (
    agreement_by_code,
    cosine_similarities,
    group_auc_by_code,
    ppmi,
    tree_similarities,
)


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_cosines_equal_a_loop(draw):
    rows = draw.normal(size=(7, 4)).astype(np.float32)
    rows[3] = 0
    for centre in (False, True):
        shifted = rows - rows.mean(axis=0) if centre else rows
        similarities = cosine_similarities(rows, centre)
        for i in range(7):
            for j in range(7):
                norms = np.linalg.norm(shifted[i]) * np.linalg.norm(shifted[j])
                assert similarities[i, j] == pytest.approx(shifted[i] @ shifted[j] / norms if norms else 0, abs=1e-6)


def test_ppmi_equals_a_loop(draw):
    visits = draw.random((60, 8)) < 0.3
    visits[:, 5] = False
    values = ppmi(visits)
    for c in range(8):
        for d in range(8):
            both = np.mean([row[c] and row[d] for row in visits])
            alone = np.mean(visits[:, c]) * np.mean(visits[:, d])
            expected = max(0.0, np.log(both / alone)) if both and c != d else 0.0
            assert values[c, d] == pytest.approx(expected)


def test_shared_levels():
    groups = np.array([[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3]])
    assert tree_similarities(groups).tolist() == [[3, 2, 1, 0], [2, 3, 1, 0], [1, 1, 3, 0], [0, 0, 0, 3]]


def test_agreement_equals_spearman_code_by_code(draw):
    first, second = draw.normal(size=(9, 9)), draw.integers(0, 3, (9, 9)).astype(float)
    second[4] = 1.0
    values = agreement_by_code(first, second)
    for code in range(9):
        others = [other for other in range(9) if other != code]
        if code == 4:
            assert np.isnan(values[code])
        else:
            assert values[code] == pytest.approx(spearmanr(first[code, others], second[code, others]).statistic)


def test_group_auc_equals_a_loop(draw):
    similarities = draw.integers(0, 6, (10, 10)).astype(float)
    groups = np.array([0, 0, 0, 1, 1, 2, -1, -1, 3, 3])
    values = group_auc_by_code(similarities, groups)
    for code in range(10):
        same = [j for j in range(10) if j != code and groups[j] == groups[code] >= 0]
        other = [j for j in range(10) if j != code and j not in same]
        if not same:
            assert np.isnan(values[code])
            continue
        wins = [
            (similarities[code, a] > similarities[code, b]) + 0.5 * (similarities[code, a] == similarities[code, b])
            for a in same
            for b in other
        ]
        assert values[code] == pytest.approx(np.mean(wins))
