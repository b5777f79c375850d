"""`mera fuse`: runs of one task as one run, and what it refuses."""

import dataclasses
import json
import shutil

import numpy as np
import polars as pl
import pytest
from fused_parts import write_part
from ready_python import run_ready
from tiny_task import make_tiny_task

from mera.commands.fusion.fuse import fuse_runs
from mera.commands.fusion.parts import Splits
from mera.commands.fusion.saved import read_fusion
from mera.commands.fusion.trees import code_families
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, group_numbers
from mera.evaluation.fusion import fit_fusion, patient_folds, sample_pairs
from mera.evaluation.fusion_trees import ScoredRows, fit_tree_fusion
from mera.evaluation.metrics import f1, mean_average_precision
from mera.report import write_report
from mera.root import ROOT
from mera.runs.other_splits.train_scores import folds_of_patients, read_train
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import patient_hashes, read_predictions, write_predictions
from mera.system.errors import UserError

NOISE = {"sharp": (1.0, 1.0), "shifted": (30.0, 1.2), "blind": (0.01, 50.0)}
"""Run -> its scale, and the noise on what it knows."""


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", patients=150)


@pytest.fixture(scope="module")
def parts(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return [
        write_part(task, folder / name, scale, noise, seed) for seed, (name, (scale, noise)) in enumerate(NOISE.items())
    ]


@pytest.fixture(scope="module")
def fused(parts, tmp_path_factory):
    return fuse_runs(parts, tmp_path_factory.mktemp("fused") / "fused", name="all of them")


def test_the_scores_are_those_of_the_formula_row_by_row(task, parts, fused):
    validation = [read_validation(part).scores for part in parts]
    test = [read_predictions(part).scores for part in parts]
    targets, patients = task.targets("validation"), list(task.splits["validation"]["patient_id"])
    groups = group_numbers(task.train_counts, FREQUENCY_GROUPS)
    pairs = sample_pairs(targets)
    sampled = np.stack([scores[pairs.rows, pairs.columns] for scores in validation], axis=1).astype(float)
    arguments = (sampled, pairs.true, pairs.weights, groups[pairs.columns])

    def score(fusion, scores, row):
        added = sum(fusion.weights[p] * fusion.calibrations[p].log_odds(scores[p][row]) for p in range(len(parts)))
        return added + fusion.offsets[groups]

    whole = fit_fusion(*arguments)
    for row, scores in enumerate(read_predictions(fused).scores):
        np.testing.assert_allclose(scores, score(whole, test, row), rtol=1e-4, atol=1e-4)
    folds = patient_folds(patients, targets.any(axis=1))
    for row, scores in enumerate(read_validation(fused).scores):
        others = folds[pairs.rows] != folds[row]
        without = fit_fusion(*(values[others] for values in arguments))
        np.testing.assert_allclose(scores, score(without, validation, row), rtol=1e-4, atol=1e-4)


def test_it_is_a_run_whose_manifest_says_what_counts(parts, fused):
    predictions, validation = read_predictions(fused), read_validation(fused)
    record = predictions.manifest["fusion"]
    assert (predictions.manifest["kind"], predictions.manifest["model"]) == ("fusion", "all of them")
    assert predictions.manifest["config"] == {"parts": ["sharp", "shifted", "blind"], "form": "sum"}
    weight = {part["run"]: part["weight"] for part in record["parts"]}
    assert weight["sharp"] > 0.5
    assert weight["shifted"] > 0.5
    shares = {part["run"]: part["share"] for part in record["parts"]}
    assert sum(shares.values()) + record["offsets_share"] == pytest.approx(1)
    assert shares["sharp"] > shares["shifted"] > 0.2
    assert abs(shares["blind"]) < 0.05
    assert list(record["offsets"]) == ["unseen", "1-10", "11-100", "> 100"]
    assert record["validation_rows"] == len(validation.example_ids)
    assert validation.manifest["task"]["split"] == "validation"
    figures = record["validation"]
    assert figures["mean_average_precision"] == pytest.approx(
        mean_average_precision(validation.scores, validation.targets)
    )
    assert figures["micro_f1"] == pytest.approx(f1(validation.predicted, validation.targets, "micro"))
    best = max(mean_average_precision(read_predictions(part).scores, predictions.targets) for part in parts)
    assert mean_average_precision(predictions.scores, predictions.targets) > best + 0.02
    for part, entry in zip(parts, record["parts"], strict=True):
        alone = read_validation(part)
        assert entry["validation"]["micro_f1"] == pytest.approx(f1(alone.predicted, alone.targets, "micro"))


def test_the_cross_fitted_figures_do_not_profit_from_the_fit(task, tmp_path):
    """Of parts that know nothing, a fusion fitted and measured on the same rows would look better than chance."""
    noise = [write_part(task, tmp_path / f"noise-{n}", 0.0, 0.0, n) for n in range(2)]
    record = read_predictions(fuse_runs(noise, tmp_path / "fused")).manifest["fusion"]
    assert [part["share"] for part in record["parts"]] == pytest.approx([0, 0], abs=1e-6)


def test_fusions_can_be_fused(parts, fused, tmp_path):
    again = fuse_runs([fused, parts[0]], tmp_path / "again")
    assert read_predictions(again).manifest["model"] == "fusion of all of them, sharp"


@pytest.mark.parametrize("form", ["sum", "trees"])
def test_a_row_may_be_higher_throughout_where_its_threshold_is(task, tmp_path, form):
    """A threshold of each row's own (EOV): what is fused is how far above it a code stands."""
    runs = {}
    for name, shifted in (("level", False), ("uneven", True)):
        parts = [
            write_part(task, tmp_path / name / "a", 1.0, 1.0, 0, folds=4, shifted=shifted),
            write_part(task, tmp_path / name / "b", 1.0, 1.5, 1, folds=4),
        ]
        runs[name] = fuse_runs(parts, tmp_path / name / "fused", form=form)
    level, uneven = (read_predictions(run) for run in runs.values())
    # Trees cut between values that differ by rounding alone.
    np.testing.assert_allclose(uneven.scores, level.scores, atol=0.5 if form == "trees" else 1e-3)
    assert (uneven.predicted == level.predicted).mean() > 0.99
    for name, over_threshold in (("level", False), ("uneven", True)):
        record = read_predictions(runs[name]).manifest["fusion"]["parts"]
        assert [part["over_threshold"] for part in record] == [over_threshold, False]
        assert read_fusion(runs[name]).over_threshold == [over_threshold, False]


def test_codes_outside_the_candidates_stay_outside(task, tmp_path):
    outside = make_tiny_task(tmp_path / "task", patients=150, outside=["I10", "I50.9"])
    runs = [write_part(outside, tmp_path / name, 1.0, 1.0, seed) for seed, name in enumerate(("a", "b"))]
    first, whole = read_predictions(runs[0]), read_predictions(fuse_runs(runs, tmp_path / "fused"))
    assert first.num_outside > 0
    np.testing.assert_array_equal(np.isneginf(whole.scores), np.isneginf(first.scores))
    assert whole.codes["code"].to_list() == first.codes["code"].to_list()


def test_a_candidate_that_only_validation_has_decides_nothing(task, tmp_path):
    column = int(task.targets("validation").sum(axis=0).argmax())
    codes = task.code_table.with_columns(
        train_count=pl.when(pl.col("code") == task.codes[column]).then(0).otherwise(pl.col("train_count"))
    )
    unseen = dataclasses.replace(task, code_table=codes, train_counts=codes["train_count"].to_numpy())
    fused = {}
    for rule in ("train", "all"):
        for scored, only in (("well", None), ("anyhow", column)):
            folder = tmp_path / rule / scored
            runs = [write_part(unseen, folder / str(n), 1.0, 1.0, n, None, rule, only) for n in range(2)]
            fused[rule, scored] = read_predictions(fuse_runs(runs, folder / "fused"))
    others = np.arange(len(task.codes)) != column
    well, anyhow = fused["train", "well"], fused["train", "anyhow"]
    np.testing.assert_array_equal(well.scores[:, others], anyhow.scores[:, others])
    assert well.thresholds[0] == anyhow.thresholds[0]
    assert well.manifest["fusion"]["validation"] == anyhow.manifest["fusion"]["validation"]
    offsets = well.manifest["fusion"]["offsets"]
    assert offsets["unseen"] == offsets["1-10"] or offsets["unseen"] == offsets["11-100"]
    assert not np.allclose(fused["all", "well"].scores[:, others], fused["all", "anyhow"].scores[:, others])


def test_the_report_shows_the_parts(parts, fused, tmp_path):
    page = write_report([*parts, fused], tmp_path / "report", bootstrap_samples=20).read_text()
    for words in ("What a fusion is made of", "all of them", "shifted", "cross-fitted"):
        assert words in page
    table = (tmp_path / "report" / "tables" / "fusion.csv").read_text().splitlines()
    assert len(table) == 1 + 3 + 1


def test_the_command(parts, tmp_path):
    command = ["-m", "mera.cli", "fuse", *parts[:2], "--output", tmp_path / "fused"]
    done = run_ready(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "fused")
    manifest = json.loads((tmp_path / "fused" / "predictions" / "manifest.json").read_text())
    assert manifest["model"] == "fusion of sharp, shifted"
    again = run_ready(command, cwd=ROOT)
    assert again.returncode == 1
    assert f"error: {tmp_path / 'fused'} already exists; choose another --output or remove it" in again.stderr
    assert len(again.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def with_train(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("with-train")
    return [write_part(task, folder / name, 1.0, noise, seed, folds=4) for seed, (name, noise) in enumerate(PARTS)]


PARTS = (("one", 1.0), ("two", 1.5))


def test_trees_are_fitted_on_train_and_validation(task, with_train, tmp_path):
    fused = fuse_runs(with_train, tmp_path / "fused", form="trees")
    assert read_predictions(fused).manifest["model"] == "fusion by trees of one, two"
    targets = np.concatenate([task.targets("train"), task.targets("validation")]).astype(bool)
    patients = [patient for split in ("train", "validation") for patient in task.splits[split]["patient_id"]]
    num_train, counts = len(task.splits["train"]), np.tile(task.train_counts, (len(targets), 1))
    fold_of_scorer = folds_of_patients(patients[:num_train], 4)
    for row in range(num_train):
        counts[row] -= task.targets("train")[fold_of_scorer == fold_of_scorer[row]].sum(axis=0)
    fair = (counts > 0) | (np.arange(len(targets)) >= num_train)[:, None]
    scores = [np.concatenate([read_train(run).scores, read_validation(run).scores]) for run in with_train]
    rows = ScoredRows(scores=np.stack(scores), train_counts=counts)
    families = np.unique(task.groups("chapter"), return_inverse=True)[1]

    test = np.stack([read_predictions(run).scores for run in with_train])
    whole = fit_tree_fusion(rows, targets, fair, families)
    expected = whole.scores(ScoredRows(scores=test, train_counts=task.train_counts[None]))
    np.testing.assert_allclose(read_predictions(fused).scores, expected, atol=1e-4)
    folds = patient_folds(patients, targets.any(axis=1))
    of_validation, rows_of_validation = read_validation(fused).scores, np.arange(len(targets)) >= num_train
    for fold in range(5):
        others, in_fold = folds != fold, rows_of_validation & (folds == fold)
        without = fit_tree_fusion(rows.select(others), targets[others], fair[others], families)
        expected = without.scores(rows.select(in_fold))
        np.testing.assert_allclose(of_validation[in_fold[rows_of_validation]], expected, atol=1e-4)


def test_the_report_says_what_the_trees_read(task, with_train, tmp_path):
    long = "a name of more than forty letters, such as lists of parts have"
    fused = fuse_runs(with_train, tmp_path / "fused", name=long, form="trees")
    record = read_predictions(fused).manifest["fusion"]
    assert record["trees"]["training_rows"] == len(task.splits["train"])
    assert sum(record["trees"]["gains"].values()) == pytest.approx(1)
    assert sum(part["share"] for part in record["parts"]) + record["offsets_share"] == pytest.approx(1)
    page = write_report([*with_train, fused], tmp_path / "report", bootstrap_samples=20).read_text()
    trees = f"the 300 trees that correct their sum, fitted on {len(task.splits['train'])} training examples"
    assert trees in page
    assert "fusion by trees of 2 runs" in page


def test_trees_want_training_scores_of_the_same_folds(task, parts, with_train, tmp_path):
    with pytest.raises(UserError, match="holds no out-of-fold scores of its training rows"):
        fuse_runs([with_train[0], parts[0]], tmp_path / "fused", form="trees")
    other = write_part(task, tmp_path / "other", 1.0, 1.0, folds=5)
    with pytest.raises(UserError, match=r"other has training scores of 5 folds and .*one of 4"):
        fuse_runs([with_train[0], other], tmp_path / "fused", form="trees")
    assert not (tmp_path / "fused").exists()


def test_families_are_groups_of_codes_that_belong_together(task, parts):
    first = Splits(parts[0], read_validation(parts[0]), read_predictions(parts[0]))
    assert [len(set(task.groups(level))) <= len(task.codes) / 2 for level in ("chapter", "block")] == [True, False]
    families = code_families(first)
    chapters = task.groups("chapter")
    for one in range(len(chapters)):
        for other in range(len(chapters)):
            assert (families[one] == families[other]) == (chapters[one] == chapters[other])


def test_runs_that_do_not_fit_together_are_refused(task, parts, tmp_path):
    output = tmp_path / "fused"

    def refusal(*runs):
        with pytest.raises((UserError, FileNotFoundError)) as refused:
            fuse_runs(runs, output)
        assert not output.exists()
        return str(refused.value)

    assert refusal(parts[0]) == "a fusion needs two runs or more, got 1"
    twice = parts[1].parent / "." / parts[1].name / ".." / parts[1].name
    assert refusal(parts[0], parts[1], twice) == f"{twice} is given twice; give each run once"

    bare = tmp_path / "bare"
    shutil.copytree(parts[1], bare)
    shutil.rmtree(bare / "validation")
    assert f"{bare} holds no validation predictions ({bare / 'validation'})" in refusal(parts[0], bare)
    assert "the command of its manifest.json: mera baselines" in refusal(bare, parts[0])
    assert "no predictions in" in refusal(parts[0], tmp_path / "nowhere")

    other = write_part(make_tiny_task(tmp_path / "other", patients=150, seed=5), tmp_path / "of-other", 1.0, 1.0)
    expected = f"{other} is a run of another task than {parts[0]}; fuse runs of one prepared task"
    assert refusal(parts[0], other) == expected

    fewer = make_tiny_task(tmp_path / "fewer", patients=150, outside=["I10"])
    codes = write_part(fewer, tmp_path / "fewer-codes", 1.0, 1.0, fingerprint=task.fingerprint)
    assert "has other candidates than" in refusal(parts[0], codes)

    damaged = tmp_path / "damaged"
    shutil.copytree(parts[1], damaged)
    (damaged / "validation" / "scores.npy").write_bytes(b"no array")
    assert f"{damaged / 'validation' / 'scores.npy'} is damaged" in refusal(parts[0], damaged)

    swapped = tmp_path / "swapped"
    shutil.copytree(parts[1], swapped)
    shutil.rmtree(swapped / "validation")
    shutil.copytree(parts[1] / "predictions", swapped / "validation")
    expected = (
        f"{swapped / 'validation'} holds no predictions of the validation split but of test; make a run that does"
    )
    assert refusal(parts[0], swapped).startswith(expected)


def test_other_rows_are_refused(parts, tmp_path):
    renamed = tmp_path / "renamed"
    shutil.copytree(parts[1], renamed)
    run = read_predictions(renamed / "validation")
    run.example_ids[3] = "somebody else"
    write_predictions(renamed / "validation", run)
    with pytest.raises(UserError, match=r"renamed has other validation rows than .*sharp \(\d+ and \d+\)"):
        fuse_runs([parts[0], renamed], tmp_path / "fused")


def with_trained_on(part, folder, patients):
    """A copy of a run that says on whom it was trained; None: that does not say it."""
    shutil.copytree(part, folder / part.name)
    for split in ("predictions", "validation"):
        known = folder / part.name / split / "trained_on.npy"
        known.unlink(missing_ok=True)
        if patients is not None:
            np.save(known, patient_hashes([patients]))
    return folder / part.name


def test_a_fusion_has_learnt_from_whom_any_part_has_learnt_from(parts, tmp_path):
    given = [["a", "b"], ["b", "c"], None]
    copies = [with_trained_on(part, tmp_path, patients) for part, patients in zip(parts, given, strict=True)]
    run = fuse_runs(copies, tmp_path / "fused")
    for read in (read_predictions, read_validation):
        assert set(read(run).trained_on.tolist()) == set(patient_hashes([["a", "b", "c"]]).tolist())
    silent = [with_trained_on(part, tmp_path / "silent", None) for part in parts[:2]]
    assert read_predictions(fuse_runs(silent, tmp_path / "none")).trained_on is None


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_part_that_has_learnt_from_the_patients_it_scores_is_refused(parts, split, tmp_path):
    read = read_predictions if split == "test" else read_validation
    known = sorted(set(read(parts[1]).patient_ids))[:2]
    leaking = with_trained_on(parts[1], tmp_path, known)
    with pytest.raises(UserError, match=r"run 'shifted' was trained or tuned on 2 of the patients it was scored on"):
        fuse_runs([parts[0], leaking], tmp_path / "fused")
    assert not (tmp_path / "fused").exists()
