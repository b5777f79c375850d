"""True codes that are no candidates count as missed: in the metrics, on disk, in pooled folds and in the report."""

import json
import math
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from made_up_runs import NUM_CODES, NUM_EXAMPLES, change_run, make_rich_runs, make_runs

from mera.evaluation import bootstrap, metrics
from mera.evaluation.metrics import rank_targets
from mera.report import write_report
from mera.runs.pool import pool_folds
from mera.runs.predictions import predictions_for_task, read_predictions

NUM_OUTSIDE = 3


def made_up(seed=0, rows=30, candidates=12, outside=NUM_OUTSIDE):
    """scores with -inf in the last columns, and targets everywhere."""
    generator = np.random.default_rng(seed)
    scores = generator.standard_normal((rows, candidates + outside)).round(1).astype(np.float32)
    scores[:, candidates:] = -np.inf
    targets = generator.random(scores.shape) < 0.25
    targets[0] = False
    targets[1] = np.arange(scores.shape[1]) >= candidates
    return scores, targets


def loop_row(scores, truth):
    """Retrieved columns, best first, and the true columns."""
    order = sorted((c for c in range(len(scores)) if scores[c] > -math.inf), key=lambda c: (-scores[c], c))
    return order, {c for c in range(len(scores)) if truth[c]}


def loop_mean(scores, targets, value):
    rows = [loop_row(s, t) for s, t in zip(scores, targets, strict=True)]
    return np.mean([value(order, true) for order, true in rows if true])


def loop_average_precision(order, true):
    hits, total = 0, 0.0
    for place, column in enumerate(order, start=1):
        if column in true:
            hits += 1
            total += hits / place
    return total / len(true)


def loop_ndcg(order, true, k=5):
    gain = sum(1 / math.log2(place + 2) for place, column in enumerate(order[:k]) if column in true)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(k, len(true))))


@pytest.mark.parametrize("seed", range(5))
def test_row_metrics_equal_loops_over_what_can_be_retrieved(seed):
    scores, targets = made_up(seed)
    for k in (1, 5, 14, 40):
        recall = loop_mean(scores, targets, lambda order, true, k=k: len(true & set(order[:k])) / len(true))
        assert metrics.recall_at_k(scores, targets, k) == pytest.approx(recall)
        least = loop_mean(scores, targets, lambda order, true, k=k: len(true & set(order[:k])) / min(k, len(true)))
        assert metrics.recall_at_k(scores, targets, k, "min") == pytest.approx(least)
        precision = loop_mean(scores, targets, lambda order, true, k=k: len(true & set(order[:k])) / k)
        assert metrics.precision_at_k(scores, targets, k) == pytest.approx(precision)
    assert metrics.mean_average_precision(scores, targets) == pytest.approx(
        loop_mean(scores, targets, loop_average_precision), abs=1e-15
    )
    assert metrics.ndcg_at_k(scores, targets, 5) == pytest.approx(loop_mean(scores, targets, loop_ndcg))


@pytest.mark.parametrize("seed", range(5))
def test_the_label_count_counts_all_and_predicts_candidates_only(seed):
    scores, targets = made_up(seed, candidates=4)
    predicted = np.zeros_like(targets)
    for row in range(len(scores)):
        order, true = loop_row(scores[row], targets[row])
        predicted[row, order[: len(true)]] = True
    assert not predicted[:, 4:].any()
    expected = metrics.f1(predicted, targets, "weighted")
    assert metrics.weighted_f1_at_label_count(scores, targets) == pytest.approx(expected)


def test_hand_values():
    scores = np.array([[3.0, 2.0, 1.0, -np.inf, -np.inf]], dtype=np.float32)
    targets = np.array([[True, False, True, True, False]])
    assert metrics.mean_average_precision(scores, targets) == pytest.approx((1 / 1 + 2 / 3 + 0) / 3)
    assert metrics.recall_at_k(scores, targets, 5) == pytest.approx(2 / 3)
    assert rank_targets(scores, targets).ranks.tolist() == [0, 2, metrics.NOT_RETRIEVED]
    assert metrics.f1(scores > -5, targets, "micro") == pytest.approx(2 * 2 / (3 + 3))
    nothing = np.full_like(scores, -np.inf)
    assert metrics.mean_average_precision(nothing, targets) == 0.0
    assert metrics.weighted_f1_at_label_count(nothing, targets) == 0.0
    assert math.isnan(metrics.roc_auc(np.array([[-np.inf], [-np.inf]]), np.array([[True], [False]]), "macro"))
    # Columns 0 and 2 against column 1, the only candidate that is no target; column 3 loses, column 4 is not there.
    assert metrics.roc_auc(scores, targets, "micro") == pytest.approx((1 + 0 + 0) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_more_missed_codes_never_help(seed):
    scores, targets = made_up(seed)
    inside = targets.copy()
    inside[:, -NUM_OUTSIDE:] = False
    kept = inside.any(axis=1)
    for value in (metrics.mean_average_precision, metrics.weighted_f1_at_label_count):
        assert value(scores[kept], targets[kept]) <= value(scores[kept], inside[kept])


@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_values_are_the_metrics(seed):
    scores, targets = made_up(seed)
    weights = bootstrap.patient_weights([f"{row // 2}" for row in range(len(scores))], 20, 0)
    assert bootstrap.macro_roc_auc(weights, scores, targets)[0] == pytest.approx(
        metrics.roc_auc(scores, targets, "macro")
    )
    assert bootstrap.micro_roc_auc(weights, scores, targets)[0] == pytest.approx(
        metrics.roc_auc(scores, targets, "micro")
    )


def with_outside(run, name, rule="train"):
    """A copy of a run whose last columns are no candidates."""
    source = read_predictions(run)
    scores = source.scores.copy()
    scores[:, -NUM_OUTSIDE:] = -np.inf
    targets = source.targets.copy()
    targets[::7, -1] = True
    task = source.manifest["task"] | {"candidates_rule": {"name": rule}}
    manifest = {"task": task}
    return change_run(
        run, run.parent / name, scores=scores, targets=targets, num_outside=NUM_OUTSIDE, manifest=manifest
    )


def test_they_survive_the_disk(tmp_path):
    path = with_outside(make_runs(tmp_path)[1], "outside")
    folder = path / "predictions"
    assert np.load(folder / "scores.npy").shape == (NUM_EXAMPLES, NUM_CODES - NUM_OUTSIDE)
    assert pl.read_parquet(folder / "other_codes.parquet").height == NUM_OUTSIDE
    run = read_predictions(path)
    assert (run.num_candidates, run.num_outside) == (NUM_CODES - NUM_OUTSIDE, NUM_OUTSIDE)
    assert np.isneginf(run.scores[:, -NUM_OUTSIDE:]).all()
    assert np.isfinite(run.scores[:, :-NUM_OUTSIDE]).all()
    assert run.targets[::7, -1].all()
    assert not run.predicted[:, -NUM_OUTSIDE:].any()


def test_scores_that_are_no_number_are_refused_and_named(tmp_path):
    run = make_runs(tmp_path)[1]
    scores = read_predictions(run).scores.copy()
    scores[2, 3] = -np.inf
    with pytest.raises(ValueError, match="scores contain NaN or infinity"):
        change_run(run, tmp_path / "broken", scores=scores)
    np.save(run / "predictions" / "scores.npy", scores)
    with pytest.raises(ValueError, match=r"scores.npy holds NaN or infinity in 1 of 120 rows"):
        read_predictions(run)


class Rows(dict):
    """A split of a task: columns by name."""

    def __len__(self):
        return len(self["example_id"])

    @property
    def column_names(self):
        return list(self)

    def select(self, rows):
        return Rows({name: [values[row] for row in rows] for name, values in self.items()})


class Task:
    """As much of a prepared task as predictions ask for: one candidate, and others that only test holds."""

    code_table = pl.DataFrame({"code": ["A"], "definition": ["a"], "train_count": [3]})
    other_code_table = pl.DataFrame({"code": ["B", "C", "D"], "definition": ["b", "c", "d"], "train_count": [0, 0, 0]})
    group_names: ClassVar = {}
    rules = pl.DataFrame()
    splits: ClassVar = {
        "test": Rows(
            example_id=["1", "2"],
            patient_id=["1", "2"],
            age=[1, None],
            sex=["F", None],
            history=[[{"codes": ["C", "A"], "days_before": 1}], []],
            targets=[["A", "B"], ["A"]],
            text=[None, None],
            evidence=[[], []],
        ),
        "train": Rows(patient_id=["3"]),
        "validation": Rows(patient_id=["4"]),
    }


def test_predictions_of_a_task_get_columns_for_what_occurs():
    made = predictions_for_task(Task(), "test", np.array([[0.5], [0.25]]), 0.3, {"run": "x"})
    assert made.codes["code"].to_list() == ["A", "B", "C"]
    assert made.num_outside == 2
    assert made.scores.tolist() == [[0.5, -np.inf, -np.inf], [0.25, -np.inf, -np.inf]]
    assert made.targets.tolist() == [[True, True, False], [True, False, False]]
    assert made.seen.tolist() == [[True, False, True], [False, False, False]]


@pytest.mark.parametrize("make", [make_runs, make_rich_runs])
def test_the_report_counts_them(tmp_path, make):
    _, model, _, baseline, _ = make(tmp_path)
    runs = [with_outside(path, f"{path.name}-x") for path in (baseline, model)]
    page = write_report(
        runs, tmp_path / "report", bootstrap_samples=20, with_examples=2 if make is make_rich_runs else 0
    )
    section = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    run = read_predictions(runs[1])
    missing = int(run.targets[:, -NUM_OUTSIDE:].sum())
    assert section["outside_candidates"] == {
        "targets": missing,
        "share": pytest.approx(missing / run.targets.sum()),
        "codes": int(run.targets[:, -NUM_OUTSIDE:].any(axis=0).sum()),
        "examples": int(run.targets[:, -NUM_OUTSIDE:].any(axis=1).sum()),
    }
    assert section["candidates"] == NUM_CODES - NUM_OUTSIDE
    assert section["candidates_rule"] == "train"
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    assert f"{missing:,} of the {int(run.targets.sum()):,} true codes" in text
    assert "they count as missed in every metric" in text
    assert f"True codes outside the candidates, counted as missed: {missing:,}" in text
    assert "which flatters every model" not in text
    values = {
        name: entry["value"]
        for name, entry in next(entry for entry in section["runs"] if entry["run"] == run.name)["metrics"].items()
    }
    assert values["map"] == pytest.approx(metrics.mean_average_precision(run.scores, run.targets))
    assert values["micro_f1"] == pytest.approx(metrics.f1(run.predicted, run.targets, "micro"))
    precision_recall = next(entry for entry in section["runs"] if entry["run"] == run.name)["precision_recall"]
    assert max(precision_recall["recall"]) < 1


def test_candidates_that_only_test_knows_are_named(tmp_path):
    page = write_report(make_runs(tmp_path)[3:4], tmp_path / "report", bootstrap_samples=10)
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    assert "The candidates are all codes that occur in the task" in text
    assert "they count as missed" not in text


def fold(path, number, columns, seed=0, folds=2, cohort="c", rule="train", patients=None):
    """A run on one fold that has candidates of its own: `columns` of the made-up run's codes. `patients`: the number of
    the fold whose patients it has, else its own."""
    run = read_predictions(path)
    rows = np.arange(number, NUM_EXAMPLES, 2)
    outside = np.setdiff1d(np.arange(NUM_CODES), columns)
    order = np.concatenate([columns, outside])
    scores = run.scores[np.ix_(rows, order)]
    scores[:, len(columns) :] = -np.inf
    protocol = {"name": "kfold", "seed": seed, "fractions": [0.7, 0.1, 0.2], "folds": folds, "fold": number}
    task = run.manifest["task"] | {
        "split_protocol": protocol | {"cohort": cohort},
        "candidates_rule": {"name": rule},
    }
    first = number if patients is None else patients
    return change_run(
        path,
        path.parent / f"fold{number}-{seed}-{folds}-{cohort}-{rule}-{patients}-{len(columns)}",
        scores=scores,
        targets=run.targets[np.ix_(rows, order)],
        seen=run.seen[np.ix_(rows, order)],
        thresholds=run.thresholds[rows],
        example_ids=[run.example_ids[row] for row in rows],
        patient_ids=[f"{row}" for row in range(first, NUM_EXAMPLES, 2)],
        codes=run.codes[order.tolist()],
        num_outside=len(outside),
        manifest={"task": task},
    )


def test_folds_with_candidates_of_their_own_are_pooled(tmp_path):
    source = make_runs(tmp_path)[1]
    run = read_predictions(source)
    columns = [np.arange(0, 50), np.arange(10, 58)]
    pooled = read_predictions(pool_folds([fold(source, n, columns[n]) for n in (0, 1)], tmp_path / "pooled"))
    assert (pooled.num_candidates, pooled.num_outside) == (58, 2)
    names = pooled.codes["code"].to_list()
    for number in (0, 1):
        rows = np.arange(number, NUM_EXAMPLES, 2)
        part = slice(0, len(rows)) if number == 0 else slice(NUM_EXAMPLES - len(rows), NUM_EXAMPLES)
        for column, code in enumerate(run.codes["code"]):
            place = names.index(code)
            np.testing.assert_array_equal(pooled.targets[part, place], run.targets[rows, column])
            expected = run.scores[rows, column] if column in columns[number] else np.full(len(rows), -np.inf)
            np.testing.assert_array_equal(pooled.scores[part, place], expected)
    assert not {"counts", "outside_candidates"} & set(pooled.manifest["task"]), "they are the first fold's"
    write_report([tmp_path / "pooled"], tmp_path / "report", bootstrap_samples=5)
    card = pl.read_csv(tmp_path / "report" / "tables" / "data.csv").row(0, named=True)
    missing = int(np.isneginf(pooled.scores[pooled.targets]).sum())
    assert (card["examples"], card["outside"], card["targets"]) == (NUM_EXAMPLES, missing, pooled.targets.sum())
    assert missing > 0


@pytest.mark.parametrize(("value", "columns"), [(np.nan, 1), (np.inf, 1), (-np.inf, slice(None))])
def test_pooled_scores_that_no_fold_explains_are_refused(tmp_path, value, columns):
    source = make_runs(tmp_path)[1]
    pool_folds([fold(source, number, np.arange(10 * number, 50)) for number in (0, 1)], tmp_path / "pooled")
    path = tmp_path / "pooled" / "predictions" / "scores.npy"
    scores = np.load(path)
    scores[3, columns] = value
    np.save(path, scores)
    with pytest.raises(ValueError, match=r"scores.npy holds NaN or infinity in 1 of 120 rows \(the first: row 4\)"):
        read_predictions(tmp_path / "pooled")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 7}, r"different split seeds \(0 and 7\)"),
        ({"folds": 3}, r"different numbers of folds \(2 and 3\)"),
        ({"cohort": "d"}, "of different cohorts; pool the folds of one"),
        ({"rule": "all"}, r'different rules of candidates \("train" and "all"\)'),
        ({"number": 0}, r"needs each of the folds \[0, 1\] once, got \[0, 0\]"),
        ({"cohort": None}, "does not say the cohort of its k-fold task; prepare the task again"),
        ({"patients": 0}, "60 patients were tested in more than one of the folds"),
    ],
)
def test_folds_of_different_protocols_are_refused(tmp_path, change, message):
    source = make_runs(tmp_path)[1]
    columns = np.arange(NUM_CODES)
    with pytest.raises(ValueError, match=message):
        pool_folds(
            [fold(source, 0, columns), fold(source, **{"number": 1, "columns": columns} | change)], tmp_path / "pooled"
        )
    assert not (tmp_path / "pooled").exists()


def test_what_was_missed_is_among_the_unseen_and_only_candidates_are_counted_as_such(tmp_path):
    source = make_runs(tmp_path)[1]
    columns = [np.arange(0, 50), np.arange(10, 58)]
    pooled = pool_folds([fold(source, n, columns[n]) for n in (0, 1)], tmp_path / "pooled")
    run = read_predictions(pooled)
    page = write_report([pooled], tmp_path / "report", bootstrap_samples=10)
    section = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    strata = {part["key"]: part["groups"] for part in section["strata"]}
    unseen, *others = strata["frequency"]
    is_missed = run.targets & np.isneginf(run.scores)
    assert is_missed[:, : run.num_candidates].any()
    # The training examples of each target are those of its own fold.
    of_targets, missed = run.target_train_counts, is_missed[run.targets]
    assert (of_targets[missed] > 0).any()
    assert unseen["targets"] == (missed | (of_targets == 0)).sum()
    assert sum(group["targets"] for group in others) == (~missed & (of_targets > 0)).sum()
    assert {group["codes"] for group in strata["frequency"]} == {None}, "a code may be in another group in another fold"
    assert sum(group["codes"] for group in strata["chapter"]) == run.num_candidates
