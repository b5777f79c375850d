"""Pooling the folds of the MIMIC-III demo: every patient is tested once."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from prepare_case import run
from ready_python import run_ready
from shared_data import shared_data

from mera.evaluation.metrics import recall_at_k
from mera.report import write_report
from mera.report.measures.load import group_runs
from mera.report.measures.strata import stratify
from mera.root import ROOT
from mera.runs.pool import pool_folds
from mera.runs.predictions import patient_hashes, read_predictions, write_predictions

FOLDS = 3


@pytest.fixture(scope="module")
def baselines(tmp_path_factory):
    """The folders of the baselines' runs, one for each fold."""
    folder = tmp_path_factory.mktemp("pool")
    source = shared_data("mimic3demo")
    options = ("--protocol", "kfold", "--folds", FOLDS, "--candidates", "all")
    tasks = run("mimic3", "--input", source, "--output", folder / "demo", *options)
    for task in tasks:
        command = ["rank/run_baselines.py", "--task", task.path, "--output", folder / task.path.name[-5:]]
        done = run_ready([*command, "--only", "[popularity, own-history, linear]"], cwd=ROOT)
        assert done.returncode == 0, done.stderr
    return folder


def code_sets(predictions, name):
    """The codes of each row of the matrix `name`."""
    codes = predictions.codes["code"].to_numpy()
    return [set(codes[row]) for row in getattr(predictions, name)]


def fold_runs(folder, name):
    return [folder / f"fold{fold}" / name for fold in range(FOLDS)]


def test_every_patient_is_tested_once(baselines, tmp_path):
    pooled = read_predictions(pool_folds(reversed(fold_runs(baselines, "linear")), tmp_path / "linear"))
    parts = [read_predictions(path) for path in fold_runs(baselines, "linear")]
    assert len(set(pooled.patient_ids)) == len(pooled.patient_ids) == 14
    assert pooled.example_ids == [name for part in parts for name in part.example_ids]
    rows = [recall_at_k(part.scores, part.targets, 20) * len(part.scores) for part in parts]
    assert recall_at_k(pooled.scores, pooled.targets, 20) == pytest.approx(sum(rows) / 14)
    # The folds have candidates of their own, so that a code's column differs.
    for name in ("predicted", "targets"):
        assert code_sets(pooled, name) == [codes for part in parts for codes in code_sets(part, name)]
    assert pooled.name == "linear"
    assert pooled.manifest["task"]["split"] == "all 3 folds"


def test_what_was_fitted_in_a_fold_stays_with_its_rows(baselines, tmp_path):
    pooled = read_predictions(pool_folds(fold_runs(baselines, "linear"), tmp_path / "linear"))
    parts = [read_predictions(path) for path in fold_runs(baselines, "linear")]
    assert pooled.manifest["calibration"] == {
        "folds": [part.manifest["calibration"] | {"examples": len(part.example_ids)} for part in parts]
    }
    assert not {"threshold", "prior", "deep_share"} & pooled.manifest.keys()
    own = [
        dict(zip(part.codes["code"], part.codes["train_count"], strict=True))
        for part in parts
        for _ in part.patient_ids
    ]
    rows, columns = pooled.targets.nonzero()
    codes = pooled.codes["code"].to_list()
    expected = [own[row][codes[column]] for row, column in zip(rows, columns, strict=True)]
    assert pooled.target_train_counts.tolist() == expected
    assert expected != pooled.codes["train_count"].to_numpy()[columns].tolist(), "the mean over the folds is another"


def test_what_the_folds_cost_is_added_up(baselines, tmp_path):
    costs = [(100, 2.0, {"host_bytes": 3}), (1000, 3.0, {"host_bytes": 9, "gpu_bytes": 5}), (5000, 4.0, {})]
    for number, (tokens, energy, peak) in enumerate(costs):
        part = read_predictions(fold_runs(baselines, "linear")[number])
        spent = {"tokens": tokens, "energy_joules": energy, "peak_memory": peak}
        write_predictions(tmp_path / f"{number}" / "predictions", replace(part, manifest={**part.manifest, **spent}))
    manifest = read_predictions(pool_folds([tmp_path / f"{fold}" for fold in range(FOLDS)], tmp_path / "all")).manifest
    assert (manifest["tokens"], manifest["energy_joules"]) == (6100, 9.0)
    assert manifest["peak_memory"] == {"host_bytes": 9, "gpu_bytes": 5}
    unknown = read_predictions(pool_folds(fold_runs(baselines, "linear"), tmp_path / "linear")).manifest
    assert (unknown["tokens"], unknown["energy_joules"]) == (None, None)


def test_folds_of_different_settings_are_told(baselines, tmp_path, capsys):
    for number in range(FOLDS):
        part = read_predictions(fold_runs(baselines, "linear")[number])
        own = {"output": f"fold{number}", "seed": number, "training": {"epochs": 5 if number == 1 else 20}}
        manifest = {**part.manifest, "config": part.manifest["config"] | own}
        write_predictions(tmp_path / f"{number}" / "predictions", replace(part, manifest=manifest))
    pooled = read_predictions(pool_folds([tmp_path / f"{fold}" for fold in range(FOLDS)], tmp_path / "all"))
    assert pooled.manifest["different_settings"] == {"training.epochs": [20, 5, 20]}
    assert capsys.readouterr().err == "warning: the folds have different settings: training.epochs\n"
    alike = read_predictions(pool_folds(fold_runs(baselines, "linear"), tmp_path / "linear"))
    assert alike.manifest["different_settings"] == {}
    assert not capsys.readouterr().err


def test_codes_that_only_some_folds_hid_are_counted(baselines, tmp_path):
    for number in range(FOLDS):
        part = read_predictions(fold_runs(baselines, "linear")[number])
        hidden = [place < 5 or (place < 8 and number == 0) for place in range(part.codes.height)]
        codes = part.codes.with_columns(hidden=pl.Series(hidden))
        write_predictions(tmp_path / f"{number}" / "predictions", replace(part, codes=codes))
    pooled = read_predictions(pool_folds([tmp_path / f"{fold}" for fold in range(FOLDS)], tmp_path / "all"))
    assert pooled.codes["hidden"].sum() == 5
    assert pooled.manifest["task"]["hidden_in_some_folds"] == 3


def test_a_code_that_its_fold_never_saw_is_unseen(baselines, tmp_path):
    """Codes of a single patient are in train in two of three folds, and not in the one that tests the patient."""
    (shared,) = group_runs([pool_folds(fold_runs(baselines, "linear"), tmp_path / "linear")])
    frequency = next(part for part in stratify(shared) if part.key == "frequency")
    np.testing.assert_array_equal(frequency.group_of_target == 0, shared.target_train_counts == 0)
    assert (shared.codes["train_count"].to_numpy()[shared.targets.nonzero()[1]] > 0)[
        frequency.group_of_target == 0
    ].any()
    assert frequency.num_codes is None
    assert "in its own fold" in frequency.definition


def test_a_fusion_has_the_mean_weights_of_the_folds(baselines, tmp_path):
    paths = []
    for fold, path in enumerate(fold_runs(baselines, "linear")):
        parts = [
            {"run": name, "model": name, "weight": weight + fold, "share": 0.5, "validation": {"micro_f1": 0.1}}
            for name, weight in (("linear", 1.0), ("popularity", 0.5))
        ]
        fusion = {"parts": parts, "offsets": {"unseen": -fold}, "validation_rows": 4 + fold, "validation": {"map": 0.2}}
        predictions = read_predictions(path)
        paths.append(tmp_path / f"fused{fold}")
        fused = replace(predictions, manifest=predictions.manifest | {"fusion": fusion})
        write_predictions(paths[-1] / "predictions", fused)
    assert read_predictions(pool_folds(paths, tmp_path / "pooled")).manifest["fusion"] == {
        "parts": [
            {"run": "linear", "model": "linear", "weight": 2.0, "share": 0.5},
            {"run": "popularity", "model": "popularity", "weight": 1.5, "share": 0.5},
        ],
        "offsets": {"unseen": -1.0},
        "validation_rows": 15,
    }


def test_parts_are_matched_by_their_model_and_other_sets_are_refused(baselines, tmp_path):
    """Weights in another order; two parts of one model stay two; what differs and is no mean is dropped."""

    def fused(folder, *of_folds):
        for fold, (path, (names, record)) in enumerate(zip(fold_runs(baselines, "linear"), of_folds, strict=True)):
            parts = [
                {"run": f"{name}-{fold}", "model": name, "weight": weight, "share": weight / 10}
                for name, weight in names
            ]
            fusion = {"parts": parts, "offsets": {"unseen": 0.0}, "validation_rows": 4} | record
            predictions = read_predictions(path)
            manifest = predictions.manifest | {"fusion": fusion}
            write_predictions(folder / f"{fold}" / "predictions", replace(predictions, manifest=manifest))
        return [folder / f"{fold}" for fold in range(FOLDS)]

    trees = [{"trees": {"number": 9, "training_rows": rows, "gains": [rows]}} for rows in (5, 6, 8)]
    paths = fused(
        tmp_path / "mixed",
        ([("linear", 1.0), ("history", 4.0), ("history", 7.0)], {"offsets_share": 0.1, "folds": 5} | trees[0]),
        ([("history", 5.0), ("linear", 2.0), ("history", 8.0)], {"offsets_share": 0.2, "folds": 5} | trees[1]),
        ([("history", 6.0), ("history", 9.0), ("linear", 6.0)], {"offsets_share": 0.6, "folds": 4} | trees[2]),
    )
    fusion = read_predictions(pool_folds(paths, tmp_path / "pooled")).manifest["fusion"]
    assert [(part["run"], part["model"], part["weight"]) for part in fusion["parts"]] == [
        ("linear-0", "linear", 3.0),
        ("history-0", "history", 5.0),
        ("history-0", "history", 8.0),
    ]
    assert [part["share"] for part in fusion["parts"]] == pytest.approx([0.3, 0.5, 0.8])
    assert fusion["offsets_share"] == pytest.approx(0.3)
    assert fusion["trees"] == {"number": 9, "training_rows": 19}
    assert "folds" not in fusion
    other = fused(
        tmp_path / "other",
        ([("linear", 1.0), ("history", 4.0)], {}),
        ([("linear", 1.0), ("history", 4.0)], {}),
        ([("popularity", 1.0), ("linear", 4.0)], {}),
    )
    with pytest.raises(ValueError, match=r"fused of different models \(history, linear and linear, popularity\)"):
        pool_folds(other, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_fold_that_tests_whom_it_was_trained_on_is_refused(baselines, tmp_path):
    paths = fold_runs(baselines, "linear")
    leaking = read_predictions(paths[2])
    known = patient_hashes([leaking.patient_ids[:1], ["somebody else"]])
    write_predictions(tmp_path / "leak" / "predictions", replace(leaking, trained_on=known))
    with pytest.raises(ValueError, match=r"run 'leak' was trained or tuned on 1 of the patients it was scored on"):
        pool_folds([*paths[:2], tmp_path / "leak"], tmp_path / "pooled")
    assert not (tmp_path / "pooled").exists()


def test_a_fold_that_lacks_examples_is_seen_in_the_pool(baselines, tmp_path):
    paths = fold_runs(baselines, "linear")
    whole = read_predictions(paths[1])
    pooled = read_predictions(pool_folds(paths, tmp_path / "whole"))
    assert pooled.manifest["task"]["counts"]["all 3 folds"]["examples"] == len(pooled.example_ids)
    first = slice(0, len(whole.example_ids) // 2)
    rows = {name: getattr(whole, name)[first] for name in ("scores", "targets", "seen", "thresholds", "example_ids")}
    rows |= {name: getattr(whole, name)[first] for name in ("patient_ids", "previous_visits", "ages", "sexes")}
    write_predictions(tmp_path / "half" / "predictions", replace(whole, **rows, context=None))
    pool = pool_folds([paths[0], tmp_path / "half", paths[2]], tmp_path / "pooled")
    task = read_predictions(pool).manifest["task"]
    missing = len(whole.example_ids) - first.stop
    assert task["counts"]["all 3 folds"]["examples"] - missing == len(read_predictions(pool).example_ids)
    page = write_report([pool], tmp_path / "report", bootstrap_samples=20)
    (section,) = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"]
    assert "missing_examples" in [signature["key"] for signature in section["signatures"]]


def test_pooled_runs_can_be_compared(baselines, tmp_path):
    runs = [pool_folds(fold_runs(baselines, name), tmp_path / name) for name in ("linear", "popularity")]
    tasks = [read_predictions(path).manifest["task"]["fingerprint"] for path in runs]
    assert tasks[0] == tasks[1]


def test_an_incomplete_or_mixed_set_is_refused(baselines, tmp_path):
    linear, popularity = fold_runs(baselines, "linear"), fold_runs(baselines, "popularity")
    with pytest.raises(ValueError, match=r"needs each of the folds \[0, 1, 2\] once, got \[0, 2\]"):
        pool_folds([linear[0], linear[2]], tmp_path / "a")
    with pytest.raises(ValueError, match=r"different models \(linear, popularity\)"):
        pool_folds([linear[0], popularity[1], linear[2]], tmp_path / "a")
    assert not (tmp_path / "a").exists()
