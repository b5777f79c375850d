"""The label audit: each part on a task with planted errors, counted by hand, and against loops."""

import random

import numpy as np
import pytest
import scipy.sparse as sp
from prepare_case import EVEN, run, write_csv

from data.codes.notes.patient_limits import AGES
from data.inspection.audit.confident import confident_predictions, out_of_fold_scores, sure_predictions
from data.inspection.audit.drift import divergence, drift_of, two_proportions
from data.inspection.audit.page import write_audit
from data.inspection.audit.patients import impossible_records, is_outside, lookalikes
from data.inspection.audit.support import is_supported, support_of
from data.inspection.inspect_task import main
from mera.evaluation.coding_rules import AGE_LIMITS

TEXTS = {"I10": "He has essential hypertension.", "J18.9": "Signs of pneumonia, organism unspecified."}
COLUMNS = ("--patient", "pid", "--visit", "vid", "--time", "day", "--code", "dx", "--code-system", "icd10")
PEOPLE = ("--sex", "sex", "--age", "age")


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """120 patients with one note each: four with pneumonia in the note and not coded, ten coded without a word."""
    folder = tmp_path_factory.mktemp("notes")
    rows = [["pid", "vid", "day", "dx", "note", "sex", "age"]]
    for number in range(120):
        draw = random.Random(number)
        filler = " ".join(draw.choice("abcdefghijkl") * 4 + draw.choice("mnopqrst") * 3 for _ in range(30))
        silent, missing = number < 10, 10 <= number < 14
        has_pneumonia = number % 2 == 0 or missing
        said = "" if silent else TEXTS["I10"]
        note = f"Note {filler}. {said} {TEXTS['J18.9'] if has_pneumonia else 'The lungs are clear.'} He went home"
        codes = ["I10", *(["J18.9"] if has_pneumonia and not missing else [])]
        sex, age = ("M", 40)
        if number in (30, 31):
            codes.append("O80")
        rows += [[f"p{number}", "1", "2020-01-01", code, note, sex, age] for code in codes]
    source = write_csv(folder / "t.csv", rows)
    options = ("--text", "note", "--kind", "coding", *PEOPLE)
    return run("table", "--input", source, *COLUMNS, *options, *EVEN, "--output", folder / "task")[0]


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """60 patients with three visits; of two pairs each has the visits of the other."""
    folder = tmp_path_factory.mktemp("visits")
    codes = ("I10", "E11.9", "I50.9", "N17.9", "J18.9", "K80.2", "M54.2", "M54.3", "G43.9", "F32.9")
    rows = [["pid", "vid", "day", "dx", "sex", "age"]]
    for number in range(60):
        draw = random.Random(0 if number in (3, 4) else 1 if number in (5, 6) else number + 100)
        for visit in range(3):
            for code in draw.sample(codes, 3):
                rows.append([f"p{number}", visit, f"2020-0{visit + 1}-{number % 28 + 1:02d}", code, "F", 50])
    source = write_csv(folder / "t.csv", rows)
    return run("table", "--input", source, *COLUMNS, *PEOPLE, *EVEN, "--output", folder / "task")[0]


def test_codes_without_a_sentence_are_counted(notes):
    support = support_of(notes)
    assert (support.notes, support.without, support.by_code["I10"]) == (120, 12, (120, 10))
    assert support.by_code["O80"] == (2, 2)
    assert support.targets == 120 + 60 - 2 + 2
    assert support_of(notes, most_notes=7).notes == 7


def test_support_is_half_of_a_names_weight_in_one_sentence():
    name = {"acute": 1.0, "kidne": 2.0, "failu": 1.0}
    assert is_supported([name], [frozenset(["kidne"])])
    assert not is_supported([name], [frozenset(["acute"])])
    assert not is_supported([name | {"chron": 4.0}], [frozenset(["kidne"]), frozenset(["acute", "failu"])])
    assert is_supported([name, {"x": 1.0}], [frozenset(["x"])])


def test_sure_predictions_that_nobody_coded(notes, visits):
    confident = confident_predictions(notes)
    assert confident.examples == 120
    assert confident.codes == 2
    coded, missing = confident.by_code["J18.9"]
    assert coded - missing == 58
    assert 4 <= missing <= 6  # the planted ones; nine in ten leave room for two more
    assert (confident.sure, confident.not_coded) == (120 + coded, missing)
    assert confident_predictions(visits) is not None


def test_out_of_fold_scores_are_a_ridge_regression_that_has_not_seen_the_row():
    generator = np.random.default_rng(0)
    features, coded = generator.random((40, 6)).astype(np.float32), generator.random((40, 3)) < 0.4
    folds = generator.integers(0, 3, 40)
    scores = out_of_fold_scores(sp.csr_matrix(features), coded, folds)
    for row in range(40):
        known = folds != folds[row]
        x, y = features[known].astype(float), coded[known].astype(float)
        weights = np.linalg.inv(x.T @ x + np.eye(6)) @ x.T @ y
        np.testing.assert_allclose(scores[row], features[row] @ weights, atol=1e-4)
    assert np.isinf(out_of_fold_scores(sp.csr_matrix(features), coded, np.zeros(40))).all()


def test_sure_are_the_most_of_which_nine_in_ten_are_coded():
    coded = np.array([[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0]], dtype=bool).T
    both, scores = np.hstack([coded, ~coded]), np.tile(np.arange(13, 0, -1, dtype=float)[:, None], 2)
    assert sure_predictions(scores, both).sum(axis=0).tolist() == [10, 0]
    shuffled = np.random.default_rng(0).permutation(13)
    assert (sure_predictions(scores[shuffled], both[shuffled]) == sure_predictions(scores, both)[shuffled]).all()


def test_patients_who_look_alike(notes, visits):
    alike = lookalikes(visits)
    assert alike.same_records == 4
    assert alike.notes_compared == 0
    of_notes = lookalikes(notes)
    assert (of_notes.same_records, of_notes.notes_compared) == (0, 120)


def test_records_that_cannot_be(notes):
    impossible = impossible_records(notes)
    assert impossible.by_code == {"O80": 2}
    assert impossible.by_kind["female_only"] == 2
    assert impossible.by_kind["maternity_age"] == 0
    assert AGES == AGE_LIMITS
    assert [is_outside("maternity_age", None, age) for age in (8, 9, 64, 65, None)] == [True, False, False, True, False]
    assert [is_outside("male_only", sex, 4) for sex in ("F", "M", None)] == [True, False, False]


def test_drift_is_what_chance_does_not_explain(visits, tmp_path):
    drift = drift_of(visits)
    assert 0 <= drift.distance < 1
    first, second = np.array([10.0, 0, 5]), np.array([0, 8.0, 5])
    shares = [first / first.sum(), second / second.sum()]
    middle = (shares[0] + shares[1]) / 2
    loop = sum(p * np.log2(p / m) / 2 for share in shares for p, m in zip(share, middle, strict=True) if p > 0)
    assert divergence(first, second) == pytest.approx(loop)
    assert divergence(first, first) == 0
    assert divergence(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    z = two_proportions(np.array([50.0, 0]), np.array([10.0, 0]), 100, 100)
    assert z[0] == pytest.approx((0.1 - 0.5) / np.sqrt(0.3 * 0.7 * 2 / 100))
    assert z[1] == 0


def test_the_page_holds_counts_and_nobodys_text(notes, visits, tmp_path, capsys):
    main([str(notes.path), "--audit", str(tmp_path / "a.html")])
    assert f"audit: {tmp_path}/a.html" in capsys.readouterr().out
    page = (tmp_path / "a.html").read_text()
    assert "12 of 180 (6.7%) true codes share no sentence" in page
    assert "Essential (primary) hypertension" in page
    assert "O80" not in page  # two cases
    for word in ("p17", "He has", "aaaa", "went home"):
        assert word not in page
    assert (tmp_path / "a.html").stat().st_mode & 0o777 == 0o600
    assert "The task has no notes" in write_audit(visits, tmp_path / "b.html").read_text()
    assert "4 patients have, visit by visit, exactly the codes of another" in (tmp_path / "b.html").read_text()
    with pytest.raises(ValueError, match=r"--audit must name a page with the suffix \.html"):
        write_audit(visits, tmp_path / "b.txt")
