"""Ablations in the report: which runs are compared, over seeds, and the paper's signs."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_up_runs import change_run, make_runs

from mera.report import write_report
from mera.report.comparison.ablations import (
    Ablation,
    AblationRun,
    Relative,
    SeedsDifference,
    TrainedRun,
    find_ablations,
    models_of,
    names_without_seeds,
    without_seed,
)
from mera.report.comparison.pairs import MetricDifference
from mera.report.comparison.published import Change, PaperFinding, paper_finding
from mera.report.page.parts.ranking.ablations import ablation_parts
from mera.runs.predictions import read_predictions


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("ablations"))


def trained_runs(*configs, kind="rank"):
    return [
        TrainedRun(name=f"run-{number}", kind=kind, model="stage two", config=config, has_stage_one=False)
        for number, config in enumerate(configs)
    ]


def test_ablations_name_what_differs_and_skip_distant_runs():
    base = {"loss": {"levels": ["all", "chapter"], "known": "negative"}, "orders": 1, "output": "runs/a", "eov": True}
    no_levels = base | {"loss": {"levels": ["all"], "known": "negative"}, "output": "runs/b"}
    distant = {"loss": {"levels": [], "known": "ignore"}, "orders": 9, "eov": False, "bonus": 1}
    found = find_ablations(trained_runs(no_levels, base, base | {"eov": False}, distant))
    assert [(family.kind, family.reference) for family in found] == [("rank", "run-1")]
    first, second = found[0].relatives
    assert (first.name, first.pairs) == ("run-0", (("run-0", "run-1"),))
    assert first.changes == (Change(key="loss.levels", reference="all, chapter", changed="all"),)
    assert first.paper.finding == "F1 −7 to −10"
    assert (second.name, second.pairs, second.paper) == ("run-2", (("run-2", "run-1"),), None)
    assert second.changes == (Change(key="eov", reference="true", changed="false"),)
    chosen = find_ablations(trained_runs(no_levels, base, base | {"eov": False}), reference="run-0")
    assert chosen[0].reference == "run-0"
    assert [len(relative.changes) for relative in chosen[0].relatives] == [1, 2]
    assert find_ablations(trained_runs(base, distant)) == []
    assert find_ablations(trained_runs(base, no_levels, kind="baseline")) == []


def test_a_run_without_stage_one_is_one_change_of_start():
    architecture = {"model_type": "mistral", "hidden_size": 192, "num_hidden_layers": 4}
    full = {"model": {"base": "runs/memorize/checkpoint", "architecture": None}, "orders": 1}
    memorized, other = trained_runs(full, {"model": {"base": None, "architecture": architecture}, "orders": 1})
    (found,) = find_ablations([replace(memorized, has_stage_one=True), other], reference="run-0")
    assert found.relatives[0].changes == (
        Change(key="model.base", reference="runs/memorize/checkpoint", changed="random mistral"),
        Change(key="stage one", reference="true", changed="false"),
    )
    assert found.relatives[0].paper == PaperFinding(metric="recall@20", finding="lower recall")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("max_length", ("model.max_length 512", "model.max_length 2048")),
        ("architecture", ("model.architecture.hidden_size 64", "model.architecture.hidden_size 256")),
    ],
)
def test_models_of_other_sizes_are_no_seeds_of_one(key, words):
    values = {"max_length": (512, 2048), "architecture": ({"hidden_size": 64}, {"hidden_size": 256})}[key]
    runs = trained_runs(*({"model": {"base": None, key: each}, "training": {"seed": 0}} for each in values))
    assert len(models_of(runs)) == 2
    (found,) = find_ablations(runs, reference="run-0")
    assert found.relatives[0].changes == (Change(key="model.base", reference=words[0], changed=words[1]),)


def test_models_that_are_called_otherwise_are_no_seeds_of_one():
    """Of a toolkit whose configuration does not say which model it was."""
    names = ["LSTM", "GRU, seed 2", "GRU (seed 10)", "GRU", "gru-seed-4", "Seed 5"]
    runs = trained_runs(*({"training": {"seed": seed, "epochs": 3}} for seed in range(6)), kind="neural")
    models = models_of([replace(run, model=name) for run, name in zip(runs, names, strict=True)])
    assert [sorted(model.runs) for model in models] == [[0], [1, 2, 3], [4], [5]]
    assert find_ablations([replace(run, model=name) for run, name in zip(runs, names, strict=True)]) == []
    assert [without_seed(name) for name in names] == ["LSTM", "GRU", "GRU", "GRU", "gru", "Seed 5"]
    assert len(models_of([replace(run, model="") for run in runs])) == 1, "manifests that name no model"


@pytest.mark.parametrize("name", ["SmolLM 2", "stage-2", "GPT-4"])
def test_a_number_that_all_seeds_have_in_their_name_is_the_models_own(name):
    runs = trained_runs(*({"training": {"seed": seed, "epochs": 3}} for seed in range(6)), kind="neural")
    (model,) = models_of([replace(run, model=name) for run in runs])
    assert sorted(model.runs) == [0, 1, 2, 3, 4, 5]
    (numbered,) = models_of([replace(run, model=f"{name}-{seed}") for seed, run in enumerate(runs)])
    assert sorted(numbered.runs) == [0, 1, 2, 3, 4, 5]
    assert names_without_seeds({0: {"ref-0"}, 3: {"ref_3"}}) == {(0, "ref-0"): "ref", (3, "ref_3"): "ref"}


def test_a_baseline_with_its_seed_in_its_name_is_one_model():
    runs = trained_runs(*({"seed": seed} for seed in (0, 1)), kind="baseline")
    (model,) = models_of([replace(run, model=f"RETAIN (seed {seed})") for seed, run in enumerate(runs)])
    assert sorted(model.runs) == [0, 1]


def test_the_first_of_ten_seeds_is_the_lowest():
    (model,) = models_of(trained_runs(*({"orders": 1, "training": {"seed": seed}} for seed in (10, 2, 3))))
    assert model.name == "run-1"


def test_the_papers_finding_is_for_what_it_took_away():
    def finding(key, changed, reference="x"):
        paper = paper_finding([Change(key=key, reference=reference, changed=changed)])
        return paper and paper.finding

    assert finding("loss.threshold_weight", "0.0", "0.2") == "F1 −4"
    assert finding("loss.threshold_weight", "0.1", "0.2") is None
    assert finding("decoding", "autoregressive", "rank") == "recall@20 −17"
    assert finding("decoding", "rank", "autoregressive") is None
    assert finding("loss.levels", "chapter") is None
    two = [Change(key=key, reference="x", changed="0") for key in ("loss.threshold_weight", "orders")]
    assert paper_finding(two) is None


def test_ablations_with_seeds_are_means_of_pairs_of_equal_seeds(runs, tmp_path):
    paths = []
    config = {"training": {"epochs": 3}, "orders": 1}
    for number, (seed, orders, scores) in enumerate(
        [(0, 1, runs[1]), (1, 1, runs[2]), (0, 0, runs[2]), (1, 0, runs[3]), (2, 0, runs[0])]
    ):
        manifest = {
            "config": config | {"orders": orders, "training": {"epochs": 3, "seed": seed}},
            "kind": "rank",
            "model": "one order" if orders else "no orders",
        }
        paths.append(change_run(scores, tmp_path / f"seeded-{number}", manifest=manifest))
    write_report(paths, tmp_path / "report", bootstrap_samples=100, reference="seeded-0")
    section = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    (found,) = section["ablations"]
    (run,) = found["runs"]
    assert (found["reference"], run["run"]) == ("seeded-0", "seeded-2")
    assert run["pairs"] == [["seeded-2", "seeded-0"], ["seeded-3", "seeded-1"]]
    value = {run["run"]: run["metrics"]["recall@20"]["value"] for run in section["runs"]}
    by_seed = [value["seeded-2"] - value["seeded-0"], value["seeded-3"] - value["seeded-1"]]
    difference = run["differences"]["recall@20"]
    assert difference["by_seed"] == pytest.approx(by_seed)
    assert difference["difference"] == pytest.approx(sum(by_seed) / 2)
    assert difference["low"] < difference["difference"] < difference["high"]
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Means over up to 2 seeds" in page
    assert "| no orders " in page


def test_bold_has_one_rule_in_a_table():
    """With several seeds in any row it is the interval in every row, and each row has its number of seeds."""
    single = MetricDifference(
        metric="map", first="b", second="a", difference=0.02, low=0.01, high=0.03, p=0.3, p_holm=0.9
    )
    several = SeedsDifference(difference=0.02, low=0.01, high=0.03, by_seed=(0.01, 0.03))
    sure = replace(single, p_holm=0.001)

    def rows(*differences):
        runs = [
            AblationRun(
                relative=Relative(
                    name=name,
                    changes=(),
                    pairs=tuple((name, "a") for _ in getattr(difference, "by_seed", (0,))),
                    paper=None,
                ),
                differences={"map": difference},
            )
            for name, difference in zip(("b", "c"), differences, strict=False)
        ]
        shown = [SimpleNamespace(name=n, label=n, manifest=SimpleNamespace(model=n)) for n in ("a", "b", "c")]
        (part,) = ablation_parts([Ablation(kind="rank", reference="a", runs=tuple(runs))], shown)
        table = part.tables[0]
        return table.caption, [(row.note, row.cells[-1].strong, row.cells[-1].note) for row in table.rows]

    caption, found = rows(single, several)
    assert found == [("1 seed", True, "p = 0.900"), ("2 seeds", True, "+1.0, +3.0")]
    assert "Bold, in every row: the interval holds no 0" in caption
    caption, found = rows(single, sure)
    assert found == [("", False, "p = 0.900"), ("", True, "p = 0.001")]
    assert "bold: supported by the test" in caption


def test_the_table_says_where_the_papers_sign_is_not_found(runs, tmp_path):
    """Made up: what the paper finds worse is much better here, or much worse."""
    config = {"loss": {"levels": ["all", "chapter"]}, "decoding": "rank"}
    worse, better = {"loss": {"levels": ["all"]}, "decoding": "rank"}, config | {"decoding": "autoregressive"}
    paths = [
        change_run(source, tmp_path / name, manifest={"config": changed, "kind": "rank", "model": name})
        for source, name, changed in [
            (runs[1], "whole", config),
            (runs[3], "flat", worse),
            (runs[0], "written", better),
        ]
    ]
    write_report(paths, tmp_path / "report", bootstrap_samples=100, reference="whole")
    page = (tmp_path / "report" / "report.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if "→" in line}
    for row, found, sign in (("flat", "F1 −7 to −10", "same sign"), ("written", "recall@20 −17", "other sign")):
        assert found in rows[row]
        assert sign in rows[row]


def test_ablation_table_and_unknown_reference(runs, tmp_path):
    changed = read_predictions(runs[1]).manifest["config"] | {"eov": "plain"}
    other = change_run(runs[1], tmp_path / "no-eov", manifest={"config": changed})
    write_report([runs[1], other], tmp_path / "report", bootstrap_samples=20, reference="rank-tiny")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "eov: not set → plain" in page
    assert "Ablations of MERA tiny (rank-tiny)" in page
    with pytest.raises(ValueError, match="no run is called 'rank-tony'; the runs are "):
        write_report([runs[1], other], tmp_path / "other", bootstrap_samples=20, reference="rank-tony")
