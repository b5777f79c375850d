"""Conformal sets: the cut and the figures against loops, the promise in a simulation, the sentences of the part."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up_runs import NUM_EXAMPLES, change_run, make_rich_runs

from mera.report import write_report
from mera.report.comparison.compare import compare
from mera.report.measures.load import group_runs
from mera.report.measures.sets.guarantees import (
    NO_FOLDER,
    OTHER_TASK,
    RISKS,
    fit_cut,
    margins_of,
    target_shares,
    validation_margins,
)
from mera.report.page.parts.predicted_sets.guarantees import guarantee_parts, guarantee_sentences
from mera.runs.predictions import read_predictions, write_predictions
from mera.system.errors import UserError

SAMPLES = 30


def loop_loss(scores, targets, patients, cut):
    """Mean over patients of the mean over their examples with a target of the share of true codes below the cut."""
    by_patient = {}
    for row in range(len(scores)):
        true = np.flatnonzero(targets[row])
        if len(true):
            missed = sum(not scores[row, code] >= cut for code in true) / len(true)
            by_patient.setdefault(patients[row], []).append(missed)
    return float(np.mean([np.mean(losses) for losses in by_patient.values()])), len(by_patient)


def made_up(seed, rows=40, codes=9):
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((rows, codes)).round(1 if seed % 2 else 6)
    targets = generator.random(scores.shape) < 0.3
    targets[0] = False
    patients = [f"p{generator.integers(0, rows // 2)}" for _ in range(rows)]
    return scores, targets, patients


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("risk", [0.1, 0.2, 0.45])
def test_the_cut_equals_a_loop_over_all_cuts(seed, risk):
    scores, targets, patients = made_up(seed)
    if seed > 4:
        scores[::3, 2] = -np.inf
    rows, _ = np.nonzero(targets)
    cut, least = fit_cut(scores[targets], target_shares(rows, patients), len({patients[row] for row in rows}), risk)
    bounds = {}
    for value in scores[targets]:
        if np.isfinite(value):
            loss, count = loop_loss(scores, targets, patients, value)
            bounds[value] = count / (count + 1) * loss + 1 / (count + 1)
    allowed = [value for value, bound in bounds.items() if bound <= risk]
    assert cut == (max(allowed) if allowed else None)
    assert least == pytest.approx(min(bounds.values()))


def test_hand_values():
    """Nine patients with one true code each: 1 / 10 is spent before any is missed."""
    margins, shares = np.arange(9.0), np.full(9, 1 / 9)
    assert fit_cut(margins, shares, 9, 0.1) == (0.0, pytest.approx(0.1))
    assert fit_cut(margins, shares, 9, 0.2) == (1.0, pytest.approx(0.1))
    assert fit_cut(margins[1:], np.full(8, 1 / 8), 8, 0.1)[0] is None, "eight patients cannot promise 10%"
    margins[:2] = -np.inf
    assert fit_cut(margins, shares, 9, 0.2) == (None, pytest.approx(0.3)), "two of the codes are no candidates"
    assert fit_cut(np.full(3, -np.inf), np.full(3, 1 / 3), 3, 0.9) == (None, 1.0)
    assert fit_cut(np.empty(0), np.empty(0), 0, 0.9) == (None, 1.0)


@pytest.mark.parametrize("risk", RISKS)
def test_the_promise_holds_on_exchangeable_data(risk):
    """Many draws of 40 validation patients and 40 others; the mean loss of the others is at most the risk, and no more
    than 2 / (n + 1) below it (theorem 2 of the paper)."""
    generator = np.random.default_rng(0)
    patients = [f"p{row}" for row in range(40)]
    losses = []
    for _ in range(400):
        difficulty = generator.standard_normal((80, 1))
        scores = generator.standard_normal((80, 30)) + difficulty
        targets = generator.random(scores.shape) < 1 / (1 + np.exp(3 - 2 * (scores - difficulty)))
        targets[np.arange(80), generator.integers(0, 30, 80)] = True
        fitted, met = targets[:40], targets[40:]
        rows, _ = np.nonzero(fitted)
        cut, _ = fit_cut(scores[:40][fitted], target_shares(rows, patients), 40, risk)
        losses.append(loop_loss(scores[40:], met, patients, cut)[0])
    error = np.std(losses) / np.sqrt(len(losses))
    assert np.mean(losses) <= risk + 2 * error
    assert np.mean(losses) >= risk - 2 / 41 - 2 * error


def with_validation(path, seed, fingerprint="f" * 64, scale=1.0):
    """Beside the run's predictions, those of another draw of patients by the same rule."""
    (source,) = [
        one for one in make_rich_runs(path.parent / f"drawn-{path.name}", context=None) if one.name == path.name
    ]
    run = read_predictions(source)
    order = np.random.default_rng(seed).permutation(NUM_EXAMPLES)[:100]
    task = run.manifest["task"] | {"fingerprint": fingerprint, "split": "validation"}
    validation = replace(
        run,
        scores=run.scores[order] * np.float32(scale),
        targets=run.targets[order],
        seen=run.seen[order],
        thresholds=run.thresholds[order],
        example_ids=[f"v{row}" for row in order],
        patient_ids=[f"of validation {run.patient_ids[row]}" for row in order],
        previous_visits=None,
        ages=None,
        sexes=None,
        trained_on=None,
        context=None,
        records={},
        manifest=run.manifest | {"task": task},
    )
    write_predictions(path / "validation", validation)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with validation predictions, one of them without a threshold; the others without."""
    runs = make_rich_runs(tmp_path_factory.mktemp("runs"))
    with_validation(runs[1], 1)
    with_validation(runs[4], 4)
    return runs


@pytest.fixture(scope="module")
def comparison(runs):
    (group,) = group_runs(runs)
    return compare(group, SAMPLES, 0)


def run_of(comparison, name):
    return next(run for run in comparison.runs if run.name == name)


@pytest.mark.parametrize("name", ["rank-tiny", "history"])
def test_figures_on_the_test_split_equal_a_loop(runs, comparison, name):
    path = next(path for path in runs if path.name == name)
    run, validation = read_predictions(path), read_predictions(path / "validation")
    base, of_validation = (np.nan_to_num(one.thresholds)[:, None] for one in (run, validation))
    measured = run_of(comparison, name).breakdown.guarantees
    assert measured.reason is None
    assert measured.validation_patients == len(set(validation.patient_ids))
    assert [promise.risk for promise in measured.promised] == [0.2, 0.1]
    for promise in measured.promised:
        rows, _ = np.nonzero(validation.targets)
        margins = (validation.scores.astype(float) - of_validation)[validation.targets]
        cut, _ = fit_cut(
            margins, target_shares(rows, validation.patient_ids), measured.validation_patients, promise.risk
        )
        assert promise.cut == cut is not None
        margins = run.scores.astype(float) - base
        loss, _ = loop_loss(margins, run.targets, run.patient_ids, cut)
        assert promise.overall.miss_rate.value == pytest.approx(loss)
        assert promise.overall.miss_rate.low < loss < promise.overall.miss_rate.high
        assert promise.overall.size.value == pytest.approx((margins >= cut).sum(axis=1).mean())
    sizes = [promise.overall.size.value for promise in measured.promised]
    assert sizes[0] < sizes[1], "missing less takes more codes"
    if name == "history":
        assert (measured.own, measured.own_strata) == (None, {})
    else:
        own, _ = loop_loss(run.scores - np.nextafter(base, np.float32(9)), run.targets, run.patient_ids, 0)
        assert measured.own.miss_rate.value == pytest.approx(own)
        assert measured.own.size.value == pytest.approx(run.predicted.sum(axis=1).mean())


def test_strata_equal_a_loop(runs, comparison):
    run = read_predictions(runs[1])
    promise = run_of(comparison, "rank-tiny").breakdown.guarantees.promised[0]
    inside = run.scores.astype(float) - run.thresholds[:, None] >= promise.cut
    keys = [stratum.key for stratum in comparison.strata]
    assert list(promise.strata) == keys
    female = next(stratum for stratum in comparison.strata if stratum.key == "sex").groups
    place = [group.label for group in female].index("female")
    chosen = np.array([sex == "F" for sex in run.sexes])
    # Two examples of a patient: one of them may be left out, and the other keeps its half.
    weight = np.full(NUM_EXAMPLES, 0.5)
    missed = (run.targets & ~inside).sum(axis=1) / run.targets.sum(axis=1)
    expected = promise.strata["sex"][place]
    assert expected.miss_rate.value == pytest.approx(np.average(missed[chosen], weights=weight[chosen]))
    assert expected.size.value == pytest.approx(inside.sum(axis=1)[chosen].mean())
    new = run.targets & ~run.seen
    rows = new.any(axis=1)
    share = (new & ~inside).sum(axis=1)[rows] / new.sum(axis=1)[rows]
    assert promise.strata["recurrence"][0].miss_rate.value == pytest.approx(share.mean())
    assert promise.strata["recurrence"][0].size is None


def test_without_validation_or_with_that_of_another_task(runs, comparison, tmp_path):
    assert run_of(comparison, "popularity").breakdown.guarantees.reason == NO_FOLDER
    assert run_of(comparison, "popularity").breakdown.guarantees.own is not None
    path = change_run(runs[1], tmp_path / "rank-tiny")
    assert validation_margins(path, "f" * 64, []) == NO_FOLDER
    with_validation(path, 0, fingerprint="e" * 64)
    assert validation_margins(path, "f" * 64, []) == OTHER_TASK
    assert (
        validation_margins(path / "predictions", "e" * 64, []).patients
        == validation_margins(path, "e" * 64, []).patients
    )
    assert margins_of(read_predictions(path / "validation")).shares.sum() == pytest.approx(1)


def test_a_cut_is_not_fitted_on_whom_it_is_measured_on(runs, tmp_path):
    path = change_run(runs[1], tmp_path / "rank-tiny")
    with_validation(path, 0)
    own = read_predictions(path / "validation").patient_ids
    with pytest.raises(UserError, match=r"validation holds 2 of the patients that the run was scored on"):
        validation_margins(path, "f" * 64, [own[0], own[-1], "another"])
    shutil.rmtree(path / "validation")
    shutil.copytree(path / "predictions", path / "validation")
    with pytest.raises(UserError, match=r"holds no predictions of the validation split but of test"):
        validation_margins(path, "f" * 64, [])


def test_the_sentences(comparison):
    text = " ".join(guarantee_sentences(comparison.runs, "random"))
    assert text.startswith("Conformal risk control: a cut fitted on the validation split")
    assert "Left out for no validation predictions: True probabilities, " in text
    assert "Popularity" in text
    run = run_of(comparison, "rank-tiny")
    promise = run.breakdown.guarantees.promised[0]
    assert f"Promised 20%, MERA tiny takes {promise.overall.size.value:.1f} codes per example and misses " in text
    assert f"its own threshold takes {run.breakdown.guarantees.own.size.value:.1f} and misses" in text
    assert "assumes that validation and test patients are exchangeable" in text
    assert "by time" not in text
    assert "This split is by time" in guarantee_sentences(comparison.runs, "temporal")[-2]


def changed(comparison, risk_change):
    """The first run's promises changed by a function."""
    run = run_of(comparison, "rank-tiny")
    guarantees = run.breakdown.guarantees
    promised = tuple(map(risk_change, guarantees.promised))
    return replace(run, breakdown=replace(run.breakdown, guarantees=replace(guarantees, promised=promised)))


def test_a_broken_promise_and_one_out_of_reach_are_named(comparison):
    def broken(promise):
        miss_rate = replace(promise.overall.miss_rate, value=0.4, low=0.35, high=0.45)
        return replace(promise, overall=replace(promise.overall, miss_rate=miss_rate))

    text = " ".join(guarantee_sentences([changed(comparison, broken)], "random"))
    assert "lies above the promise for MERA tiny (20%), MERA tiny (10%): its patients are not like" in text
    held = " ".join(guarantee_sentences([changed(comparison, lambda promise: promise)], "random"))
    assert "no model misses for certain more than it promised" in held

    def unreachable(promise):
        return replace(promise, cut=None, least_risk=0.313, overall=None, strata={})

    run = changed(comparison, unreachable)
    (part,) = guarantee_parts([run], comparison.strata, "random")
    assert (
        "MERA tiny cannot promise so little: with all candidates in the set 31.3% would have to be allowed" in part.text
    )
    assert [cell.value for cell in part.tables[0].rows[0].cells[2:]] == [None] * 4


def test_the_part_and_its_tables(runs, comparison, tmp_path):
    (part,) = guarantee_parts(comparison.runs, comparison.strata, "random")
    overall, groups = part.tables
    assert [row.label for row in overall.rows] == [
        run.label for run in comparison.runs if run.name in ("rank-tiny", "history")
    ]
    assert len(groups.rows) == sum(len(stratum.groups) for stratum in comparison.strata if stratum.key != "chapter")
    folder = tmp_path / "plain"
    shutil.copytree(runs[3], folder / runs[3].name)
    page = write_report([folder / runs[3].name], tmp_path / "report", bootstrap_samples=5)
    assert "Sets with a promise" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("rule", "missed"), [("train", True), ("all", False)])
def test_a_code_that_is_a_candidate_because_of_validation_counts_as_none(runs, tmp_path, rule, missed):
    """Among the codes of train and validation no true code of validation is missing; of test some are."""
    run = read_predictions(runs[1])
    task = run.manifest["task"] | {"candidates_rule": {"name": rule}}
    codes = run.codes.with_columns(train_count=np.arange(run.codes.height) % 3)
    margins = margins_of(replace(run, codes=codes, manifest=run.manifest | {"task": task}))
    _, columns = np.nonzero(run.targets)
    np.testing.assert_array_equal(np.isneginf(margins.of_scores), (columns % 3 == 0) & missed)
    _, least_risk = fit_cut(margins.of_scores, margins.shares, margins.patients, 0.1)
    share = margins.shares[columns % 3 == 0].sum() if missed else 0
    assert least_risk == pytest.approx((margins.patients * share + 1) / (margins.patients + 1))
