"""Seeds of one model in one row, with differences, tests and groups as for runs; and families of models."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_runs import change_run, find_run, make_rich_runs
from rich.console import Console

from mera.evaluation import bootstrap, metrics
from mera.report import print_comparison, write_report
from mera.report.comparison.averaged import SHOWN_AT_ONCE, families
from mera.report.comparison.compare import compare
from mera.report.comparison.pairs import find_pair
from mera.report.comparison.words.answers import answers
from mera.report.measures.load import group_runs
from mera.report.text import first_capital
from mera.runs.predictions import read_predictions

SAMPLES = 60


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of one recipe and two of another among five runs that have one."""
    folder = tmp_path_factory.mktemp("runs")
    oracle, base, other, popularity, history = make_rich_runs(folder)
    paths = [oracle, popularity, history]
    for name, source, seeds in (("rank", base, (0, 1, 2)), ("bi", other, (5, 6))):
        run = read_predictions(source)
        for seed in seeds:
            noise = np.random.default_rng(seed).standard_normal(run.scores.shape).astype(np.float32)
            config = {"recipe": name, "training": {"epochs": 3, "seed": seed}}
            manifest = {"config": config, "model": name}
            target = folder / f"{name}-{seed}"
            paths.append(change_run(source, target, scores=run.scores + noise, manifest=manifest))
    return paths


@pytest.fixture(scope="module")
def comparison(runs):
    (group,) = group_runs(runs)
    return compare(group, SAMPLES, 0)


def test_one_entry_for_each_model(comparison):
    assert comparison.shown is comparison.averaged
    labels = {run.name: run.label for run in comparison.averaged.runs}
    assert labels == {
        "oracle": "True probabilities",
        "popularity": "Popularity",
        "history": "Own history",
        "rank-0": "rank (3 seeds)",
        "bi-5": "bi (2 seeds)",
    }
    values = [run.metrics["recall@20"].value for run in comparison.averaged.runs[1:]]
    assert values == sorted(values, reverse=True)
    assert comparison.averaged.runs[0].is_oracle
    assert len(comparison.runs) == 8, "the runs are what they were"


@pytest.mark.parametrize("metric", ["recall@20", "map"])
def test_values_intervals_and_differences_are_those_of_a_loop(runs, comparison, metric):
    folder = {path.name: read_predictions(path) for path in runs}
    weights = bootstrap.patient_weights(folder["rank-0"].patient_ids, SAMPLES, 0)

    def rows(name):
        run = folder[name]
        ranking = metrics.rank_targets(run.scores, run.targets)
        return metrics.row_recall(ranking, 20) if metric == "recall@20" else metrics.row_average_precision(ranking)

    first = np.mean([rows(f"rank-{seed}") for seed in (0, 1, 2)], axis=0)
    second = np.mean([rows(f"bi-{seed}") for seed in (5, 6)], axis=0)
    shown = next(run for run in comparison.averaged.runs if run.name == "rank-0").metrics[metric]
    replicates = bootstrap.row_mean(weights, first), bootstrap.row_mean(weights, second)
    assert shown.value == pytest.approx(first.mean())
    assert (shown.low, shown.high) == pytest.approx(bootstrap.interval(replicates[0]))
    pair = find_pair(comparison.averaged.pairs, metric, "rank-0", "bi-5")
    assert pair.difference == pytest.approx(first.mean() - second.mean())
    assert (pair.low, pair.high) == pytest.approx(bootstrap.interval(replicates[0] - replicates[1]))
    assert pair.p == pytest.approx(bootstrap.paired_p_value(*replicates, 60))
    assert pair.p_holm >= pair.p


def test_groups_hold_the_mean_over_seeds(comparison):
    for runs, models in zip(comparison.strata, comparison.averaged.strata, strict=True):
        for place in range(len(runs.groups)):
            each = [runs.values[f"rank-{seed}"][place].value for seed in (0, 1, 2)]
            mean = models.values["rank-0"][place].value
            assert (mean is None) == (None in each)
            assert mean is None or mean == pytest.approx(np.mean(each))


def test_every_metric_has_its_spread_over_seeds(comparison):
    group = next(group for group in comparison.seeds if group.model == "rank")
    for key, value in group.metrics.items():
        each = [next(run for run in comparison.runs if run.name == name).metrics[key].value for name in group.runs]
        assert value.by_seed == tuple(each)
        assert value.deviation == pytest.approx(np.std(each, ddof=1))


def test_without_seeds_the_runs_themselves_are_shown(runs):
    (group,) = group_runs(runs[:4])
    comparison = compare(group, 5, 0)
    assert comparison.averaged is None
    assert comparison.shown is comparison
    assert [family.label for family in comparison.families] == ["Oracles", "Baselines", "Stage two"]


def test_a_large_family_is_divided_by_what_its_models_are_built_on(comparison):
    run = next(run for run in comparison.runs if run.name == "rank-0")

    def built_on(place, base):
        manifest = replace(run.manifest, config={"model": {"base": base}})
        return replace(run, name=f"{place}", manifest=manifest)

    bases = ["tiny", "large", None] * 4
    many = [built_on(place, base) for place, base in enumerate(bases)]
    baseline = next(run for run in comparison.runs if run.is_baseline)
    assert [(family.label, len(family.runs)) for family in families([*many, baseline])] == [
        ("Stage two: tiny", 4),
        ("Stage two: large", 4),
        ("Stage two", 4),
        ("Baselines", 1),
    ]
    assert [family.label for family in families(many[:SHOWN_AT_ONCE])] == ["Stage two"]


def test_they_stand_in_report_json(runs, tmp_path):
    page = write_report(runs, tmp_path / "report", bootstrap_samples=5)
    section = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["tasks"][0]
    assert find_run(section["averaged"], "bi-5")["label"] == "bi (2 seeds)"
    assert {name for family in section["families"] for name in family["runs"]} == {
        run["run"] for run in section["averaged"]["runs"]
    }


def test_the_terminal_shows_models(runs):
    out = io.StringIO()
    print_comparison(runs, bootstrap_samples=5, console=Console(file=out, width=300))
    assert out.getvalue().count("rank (3 seeds)") >= 2
    assert "rank-1" not in out.getvalue()


def test_seeds_of_a_baseline_are_one_model_too(runs, tmp_path):
    popularity, noise = read_predictions(runs[1]), np.random.default_rng(0)
    paths = [runs[2], *runs[3:6]]
    for seed in (0, 1):
        scores = popularity.scores + noise.standard_normal(popularity.scores.shape).astype(np.float32)
        config = {
            "seed": seed,
            "only": ["retain"] * seed,
            "chosen_on_validation": {"epoch": seed},
            "retain": {"width": 8},
        }
        manifest = {"config": config, "model": "RETAIN"}
        paths.append(change_run(runs[1], tmp_path / f"retain-{seed}", scores=scores, manifest=manifest))
    other = change_run(runs[1], tmp_path / "gru", manifest={"config": config | {"seed": 0}, "model": "GRU"})
    (group,) = group_runs([*paths, other])
    comparison = compare(group, 5, 0)
    assert sorted((group.model, group.runs) for group in comparison.seeds) == [
        ("RETAIN", ("retain-0", "retain-1")),
        ("rank", ("rank-0", "rank-1", "rank-2")),
    ]
    assert {run.label for run in comparison.shown.runs if run.is_baseline} == {"RETAIN (2 seeds)", "GRU", "Own history"}


def test_the_share_of_the_oracle_is_that_of_the_mean(comparison):
    oracle, best, *_ = comparison.averaged.runs
    assert comparison.oracle_share.name == best.name
    ratio = best.metrics["recall@20"].value / oracle.metrics["recall@20"].value
    assert comparison.oracle_share.share.value == pytest.approx(ratio)
    assert any(
        f"{best.label} reaches {100 * ratio:.1f}% of the oracle" in sentence for sentence in answers(comparison)["best"]
    )


def test_what_is_not_averaged_is_said_to_be_of_the_first_seed(comparison):
    best = next(run for run in comparison.averaged.runs if run.name == "rank-0")
    alone = next(run for run in comparison.runs if run.name == "rank-0")
    assert best.breakdown.set_size == alone.breakdown.set_size
    sets = " ".join(answers(comparison)["sets"])
    top = max(comparison.averaged.runs[1:], key=lambda run: run.metrics["micro_f1"].value or 0)
    predicts = "its first seed predicts" if top.manifest.seeds > 1 else "it predicts"
    assert f"{first_capital(top.label)} has the highest micro F1" in sets
    assert predicts in sets


def test_the_curve_of_recall_is_that_of_the_mean(comparison):
    shown = next(run for run in comparison.averaged.runs if run.name == "rank-0")
    each = [run.breakdown.recall_curve for run in comparison.runs if run.name.startswith("rank-")]
    assert len(each) == 3
    np.testing.assert_allclose(shown.breakdown.recall_curve, np.mean(each, axis=0))
    assert shown.breakdown.recall_curve[19] == pytest.approx(shown.metrics["recall@20"].value)


def test_tables_of_one_seed_say_so(runs, tmp_path):
    page = write_report(runs, tmp_path / "report", bootstrap_samples=5)
    text = (page.parent / "report.md").read_text(encoding="utf-8")
    parts = {part.split("\n", 1)[0]: part for part in text.split("\n### ")}
    for title in ("How many codes are predicted", "At coarser levels of the ontology"):
        assert "| rank (first seed) |" in parts[title]
        assert "| rank (3 seeds) |" not in parts[title]
    for title in ("All models, all metrics", "Recall at other depths", "Code frequency in train"):
        assert "| rank (3 seeds) |" in parts[title]


def test_a_macro_metric_has_one_interval_in_the_whole_report(comparison):
    group = next(group for group in comparison.seeds if group.model == "rank")
    shown = next(run for run in comparison.averaged.runs if run.name == "rank-0")
    for metric in ("macro_f1", "macro_roc_auc"):
        value = group.metrics[metric]
        assert (value.low, value.high) == pytest.approx((shown.metrics[metric].low, shown.metrics[metric].high))
