"""Phenotypes from the scores of codes."""

import numpy as np
import pytest

from rank.patients.phenotypes import Phenotype, Recalibration, any_of, measure_phenotype

CODES = ["428.0", "428.1", "401.9", "I11.0", "I50.9", "042"]


def test_prefixes_find_their_codes_with_or_without_a_dot():
    assert Phenotype.parse("heart_failure=428").columns(CODES).tolist() == [0, 1]
    assert Phenotype.parse("x=4280, i50").columns(CODES).tolist() == [0, 4]
    assert Phenotype.parse("x=I11.0,401").columns(CODES).tolist() == [2, 3]


@pytest.mark.parametrize("text", ["heart_failure", "=428", "heart_failure=", "x= , "])
def test_a_phenotype_has_a_name_and_prefixes(text):
    with pytest.raises(ValueError, match="a phenotype is NAME=PREFIX"):
        Phenotype.parse(text)


def test_a_phenotype_without_codes_is_an_error():
    with pytest.raises(ValueError, match="phenotype x: none of the model's 6 codes begins with 999 or E11"):
        Phenotype.parse("x=999,e11").columns(CODES)


def test_any_of_is_one_minus_the_chance_of_none():
    probabilities = np.random.default_rng(0).random((50, 6))
    naive = [1 - np.prod([1 - row[column] for column in (0, 2, 5)]) for row in probabilities]
    np.testing.assert_allclose(any_of(probabilities, np.array([0, 2, 5])), naive, rtol=1e-10)
    np.testing.assert_allclose(any_of(np.full((1, 2), 1e-14), np.array([0, 1])), 2e-14, rtol=1e-6)
    assert any_of(np.ones((1, 1)), np.array([0]))[0] <= 1.0


def test_truth_counts_codes_that_are_no_candidates():
    rows = [{"targets": ["428.99"]}, {"targets": ["401.9"]}, {"targets": ["401.9", "428.0"]}]
    assert Phenotype.parse("x=428").is_true(rows).tolist() == [True, False, True]


def test_known_is_what_the_history_says():
    rows = [{"history": [{"codes": ["401.9"]}, {"codes": ["428.1"]}]}, {"history": []}, {"history": None}]
    assert Phenotype.parse("x=428").was_known(rows).tolist() == [True, False, False]


def test_recalibration_undoes_dependence_between_codes():
    """Three codes that always come together: 1 - prod(1 - p) is too large, and validation shows by how much."""
    random = np.random.default_rng(1)
    chance = random.beta(1, 4, size=4000)
    true = random.random(4000) < chance
    raw = any_of(np.tile(chance[:, None], (1, 3)), np.arange(3))
    fitted = Recalibration.fit(raw[:2000], true[:2000])(raw[2000:])
    assert abs(raw.mean() - true.mean()) > 0.15
    assert abs(fitted.mean() - true[2000:].mean()) < 0.03
    assert np.array_equal(np.argsort(fitted, kind="stable"), np.argsort(raw[2000:], kind="stable"))


def test_recalibration_without_cases_changes_nothing():
    raw = np.array([0.1, 0.4, 0.7])
    np.testing.assert_allclose(Recalibration.fit(raw, np.zeros(3, dtype=bool))(raw), raw)


def test_measures_by_hand():
    true, known = np.array([True, False, True, False]), np.array([True, True, True, False])
    found = measure_phenotype(np.array([0.9, 0.6, 0.4, 0.2]), true, known)
    assert found["prevalence"] == 0.5
    assert found["roc_auc"] == pytest.approx(3 / 4)
    assert found["auprc"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["f1_at_0.5"] == pytest.approx(0.5)
    assert found["f1_of_known"] == pytest.approx(4 / 5)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.04) / 4)


def test_without_cases_the_measures_do_not_exist():
    found = measure_phenotype(np.array([0.9, 0.6]), np.array([False, False]), np.array([True, False]))
    assert (found["roc_auc"], found["auprc"], found["f1_at_0.5"]) == (None, None, None)
