"""The report's further parts, each against a loop over rows: strata, hierarchy, published rows, records."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from made_up_runs import change_run, find_run, make_runs

from mera import metrics
from mera.evaluation import bootstrap
from mera.report import write_report
from mera.report.comparison.published import published_rows
from mera.report.comparison.strata import MIN_TESTED_PATIENTS, GroupDifference, best_in_group
from mera.report.measures.estimates import estimate
from mera.report.measures.hierarchy import hierarchy
from mera.report.measures.records import training_curve
from mera.report.measures.task_record import TaskRecord
from mera.report.page.parts.ranking.models import shallow_rankings
from mera.runs.predictions import patient_hashes, read_predictions


def stratum(section, key):
    return next(part for part in section["strata"] if part["key"] == key)


@pytest.mark.parametrize("key", ["visits", "age", "sex"])
def test_strata_of_examples_equal_a_loop(runs, section, key):
    run = read_predictions(runs[1])
    visits = {0: "none", 1: "1", 2: "2", 3: "3-5", 4: "3-5", 5: "3-5"}

    def label(row):
        if key == "visits":
            return visits.get(run.previous_visits[row], "> 5")
        if key == "sex":
            return {"F": "female", "M": "male", None: "unknown"}[run.sexes[row]]
        bands = {"below 18": 18, "18-39": 40, "40-59": 60, "60-79": 80, "80 and over": 999}
        return next((name for name, limit in bands.items() if run.ages[row] < limit), "unknown")

    top = metrics.rank_candidates(run.scores, 20)
    expected = {}
    for row in range(len(run.targets)):
        hits, total, examples = expected.get(label(row), (0, 0, 0))
        hits += sum(column in top[row] for column in np.flatnonzero(run.targets[row]))
        expected[label(row)] = (hits, total + run.targets[row].sum(), examples + 1)
    part = stratum(section, key)
    assert {group["label"]: (group["targets"], group["examples"]) for group in part["groups"]} == {
        name: (total, examples) for name, (_, total, examples) in expected.items()
    }
    for group, cell in zip(part["groups"], part["values"]["rank-tiny"], strict=True):
        hits, total, _ = expected[group["label"]]
        assert cell["value"] == pytest.approx(hits / total)


def test_differences_within_groups_equal_a_loop_over_resamples(runs, section):
    """The same resamples of patients, drawn again; the difference of two runs in one group, recounted for each."""
    first, second = (
        read_predictions(next(path for path in runs if path.name == name)) for name in ("rank-tiny", "popularity")
    )
    part = stratum(section, "sex")
    group = next(place for place, found in enumerate(part["groups"]) if found["label"] == "female")
    pair = next(
        pair
        for pair in part["pairs"]
        if pair["group"] == group and {pair["first"], pair["second"]} == {"rank-tiny", "popularity"}
    )
    weights = bootstrap.patient_weights(first.patient_ids, 50, seed=0)
    female = np.array([sex == "F" for sex in first.sexes])
    shares = []
    for run in (first, second):
        top = metrics.rank_candidates(run.scores, 20)
        hits = np.array([sum(run.targets[row][top[row]]) for row in range(len(top))])
        totals = run.targets.sum(axis=1)
        shares.append([(w * female * hits).sum() / (w * female * totals).sum() for w in weights])
    sign = 1 if pair["first"] == "rank-tiny" else -1
    differences = sign * (np.array(shares[0]) - np.array(shares[1]))
    assert pair["difference"] == pytest.approx(differences[0])
    assert pair["p"] == pytest.approx(
        bootstrap.paired_p_value(differences, np.zeros(51), part["groups"][group]["patients"])
    )
    assert pair["p_holm"] >= pair["p"]


def test_bold_in_a_group_needs_every_difference_to_be_real():
    def pair(first, second, difference, p_holm):
        return GroupDifference(
            group=0, first=first, second=second, difference=difference, low=None, high=None, p=None, p_holm=p_holm
        )

    beaten = [pair("a", "b", 0.2, 0.01), pair("c", "a", -0.1, 0.04), pair("b", "c", 0.1, 0.6)]
    assert best_in_group(beaten, 0) == "a"
    assert best_in_group(beaten, 1) is None
    beaten[1] = replace(beaten[1], p_holm=0.05)
    assert best_in_group(beaten, 0) is None


def test_small_groups_are_not_tested(section):
    for part in section["strata"]:
        tested = {pair["group"] for pair in part["pairs"]}
        large = {place for place, group in enumerate(part["groups"]) if group["patients"] >= MIN_TESTED_PATIENTS}
        assert tested == large


def test_chapters_have_names_where_the_folder_knows_them(section, report_folder):
    labels = [group["label"] for group in stratum(section, "chapter")["groups"]]
    assert labels == ["chapter-0", "chapter-1: Diseases <of> the circulatory system", "chapter-2", "chapter-3"]
    assert "Diseases &lt;of&gt; the circulatory system" in (report_folder / "index.html").read_text()


def test_hierarchy_equals_a_loop(runs, section):
    run = read_predictions(runs[1])
    levels = ["all", "chapter", "block", "category"]
    groups = {level: run.codes[level].to_list() for level in levels}
    right, wrong_at, num_predicted, num_wrong = dict.fromkeys([*levels, "code"], 0), dict.fromkeys(levels, 0), 0, 0
    for row, targets in enumerate(run.targets):
        true = np.flatnonzero(targets)
        for column in np.argsort(-run.scores[row], kind="stable")[: len(true)]:
            num_predicted += 1
            shared = [level for level in levels if groups[level][column] in {groups[level][code] for code in true}]
            for level in shared:
                right[level] += 1
            right["code"] += column in true
            if column not in true:
                num_wrong += 1
                wrong_at[shared[-1]] += 1
    found = find_run(section, "rank-tiny")["hierarchy"]
    assert (found["predicted"], found["wrong_predictions"]) == (num_predicted, num_wrong)
    assert {level: cell["value"] for level, cell in found["accuracy"].items()} == pytest.approx(
        {level: count / num_predicted for level, count in right.items()}
    )
    assert {level: cell["value"] for level, cell in found["wrong"].items()} == pytest.approx(
        {level: count / num_wrong for level, count in wrong_at.items()}
    )


def test_coarse_levels_equal_a_loop_over_groups(runs, section, report_folder):
    run = read_predictions(runs[1])
    found = find_run(section, "rank-tiny")["coarse_levels"]
    assert list(found) == ["chapter", "block", "category"], "not all codes together"
    for level, measured in found.items():
        groups = run.codes[level].to_list()
        names = sorted(set(groups))
        shape = (len(run.scores), len(names))
        scores, targets, predicted = np.full(shape, -np.inf), np.zeros(shape, bool), np.zeros(shape, bool)
        for row in range(shape[0]):
            for column, group in enumerate(groups):
                place = names.index(group)
                scores[row, place] = max(scores[row, place], run.scores[row, column])
                targets[row, place] |= run.targets[row, column]
                predicted[row, place] |= run.scores[row, column] > run.thresholds[row]
        assert measured["map"]["value"] == pytest.approx(metrics.mean_average_precision(scores, targets))
        assert measured["recall@20"]["value"] == pytest.approx(metrics.recall_at_k(scores, targets, 20))
        assert measured["micro_f1"]["value"] == pytest.approx(metrics.f1(predicted, targets, "micro"))
        assert measured["map"]["low"] < measured["map"]["value"] < measured["map"]["high"]
    assert "micro_f1" not in find_run(section, "history")["coarse_levels"]["chapter"], "it has no threshold"
    assert "At coarser levels of the ontology" in (report_folder / "index.html").read_text()


def test_hierarchy_of_codes_without_a_group_and_of_one_level():
    scores = np.array([[3.0, 2.0, 1.0]])
    targets = np.array([[False, False, True]])
    ranking = metrics.rank_targets(scores, targets)
    codes = pl.DataFrame({"code": ["a", "b", "c"], "all": ["all"] * 3, "chapter": [None, "x", None]})
    distances = hierarchy(ranking, codes, np.ones((3, 1), dtype=np.float32))
    assert distances.accuracy["chapter"].value == 0.0
    assert distances.wrong["all"].value == 1.0
    assert hierarchy(ranking, codes.drop("all"), np.ones((3, 1), dtype=np.float32)) is None


def test_the_root_is_there_whether_the_table_of_codes_has_it_or_not():
    generator = np.random.default_rng(1)
    scores, targets = generator.random((30, 12)), generator.random((30, 12)) < 0.2
    ranking, weights = metrics.rank_targets(scores, targets), np.ones((3, 30), dtype=np.float32)
    numbers = np.arange(12)
    groups = {"all": numbers * 0, "chapter": numbers % 3, "block": numbers % 6}
    codes = pl.DataFrame({"code": numbers.astype(str)} | {level: group.astype(str) for level, group in groups.items()})
    with_root = hierarchy(ranking, codes, weights)
    assert hierarchy(ranking, codes.drop("all"), weights) == with_root
    assert with_root.levels == ("all", "chapter", "block", "code")
    assert sum(share.value for share in with_root.wrong.values()) == pytest.approx(1)


def test_bootstrap_of_the_rank_correlation_equals_built_resamples():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 6, 40), generator.integers(0, 5, 40)
    weights = bootstrap.patient_weights([str(row // 2) for row in range(40)], samples=20, seed=0)
    expected = [
        metrics.spearman(*(np.repeat(values, weight.astype(int)) for values in (first, second))) for weight in weights
    ]
    assert bootstrap.spearman(weights, first, second) == pytest.approx(expected)
    assert np.isnan(bootstrap.spearman(weights, np.ones(40), second)).all()


def test_published_rows_stand_only_beside_the_same_protocol(runs, tmp_path):
    task = {"protocol": "chet", "source": "mimic3", "kind": "diagnosis", "counts": {"test": {"patients": 1000}}}

    def rows(record):
        return published_rows(TaskRecord.of({"fingerprint": "f" * 64, "split": "test"} | record))

    assert rows(task)[0].metrics["recall@20"] == 0.3787
    assert rows(task | {"source": "mimic4"})[0].metrics["recall@20"] == 0.3869
    for change in (
        {"protocol": "random"},
        {"source": "diabetes130"},
        {"kind": "coding"},
        {"counts": {"test": {"patients": 999}}},
    ):
        assert rows(task | change) == ()
    assert rows(task)[0].differs == ()
    manifest = read_predictions(runs[1]).manifest
    run = change_run(runs[1], tmp_path / "run", manifest={"task": manifest["task"] | task})
    write_report([run], tmp_path / "report", bootstrap_samples=20)
    page = (tmp_path / "report" / "index.html").read_text()
    assert re.search(r"Chet[^<]*<small>published</small></th>\s*<td[^>]*>28.6", page)


def test_records_of_training(report_folder, section):
    assert training_curve(None) is None
    found = find_run(section, "rank-tiny")["training"]
    assert found == {
        "loss": [[0.5, 3.5], [2.0, 2.5]],
        "validation": {"recall_at_20": [[1.0, 0.4], [2.0, 0.3]]},
        "steps": None,
    }
    with open(report_folder / "tables" / "training.csv") as file:
        row = next(csv.DictReader(file))
    assert (row["best_epoch"], row["best_recall@20"], row["epochs"]) == ("1.0", "0.4", "2.0")
    assert [row["width"] for row in find_run(section, "bi-encoder")["widths"]] == [64, 256]
    markdown = (report_folder / "report.md").read_text()
    assert "| MERA tiny | code to definition | 10.0 | 99.0 |" in markdown
    assert "2.5 GB" in markdown
    assert {"calibration.svg", "levels.svg", "training.svg", "widths.svg"} <= {
        path.name for path in (report_folder / "figures").iterdir()
    }


def test_a_model_trained_on_test_patients_is_refused(runs, tmp_path):
    leaked = change_run(runs[1], tmp_path / "leaked", trained_on=patient_hashes([["patient-3", "patient-4", "else"]]))
    with pytest.raises(ValueError, match=r"'leaked' was trained or tuned on 2 of the patients it was scored on"):
        write_report([runs[0], leaked], tmp_path / "report", bootstrap_samples=20)


def test_runs_of_stage_one_are_said_and_left_out(runs, tmp_path, capsys):
    of_stage_one = tmp_path / "memorize"
    of_stage_one.mkdir()
    (of_stage_one / "recall.json").write_text("{}")
    write_report([runs[0], of_stage_one, runs[1]], tmp_path / "report", bootstrap_samples=20)
    assert f"left out: {of_stage_one}, of stage one" in capsys.readouterr().err
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    assert len(found["runs"]) == 2
    with pytest.raises(FileNotFoundError, match="no predictions in"):
        write_report([of_stage_one], tmp_path / "alone")


def test_what_was_read_otherwise_than_written_stands_in_the_data_card(runs, tmp_path):
    manifest = read_predictions(runs[0]).manifest
    changed = {"code with more digits than the edition has, replaced by the code above it": 1550}
    task = {**manifest["task"], "dropped": {"no code": 2}, "changed": changed}
    told = change_run(runs[0], tmp_path / "told", manifest={**manifest, "task": task})
    write_report([told], tmp_path / "report", bootstrap_samples=20)
    card = (tmp_path / "report" / "report.md").read_text()
    assert "Dropped rows: 2 x no code. Read otherwise than written: 1,550 x code with more digits than" in card


def test_old_folders_and_rich_ones_stand_in_one_report(runs, tmp_path):
    old = change_run(make_runs(tmp_path)[1], tmp_path / "old", codes=read_predictions(runs[1]).codes)
    assert read_predictions(old).ages is None
    write_report([old, runs[2]], tmp_path / "report", bootstrap_samples=20)
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    assert {part["key"] for part in found["strata"]} >= {"age", "sex", "visits"}
    assert found["task"]["source"] == "made-up", "the fullest task record is printed"


def test_intervals_stay_within_what_a_number_can_be(section):
    for part in section["strata"]:
        for cells in part["values"].values():
            for cell in cells:
                if cell["value"] is not None:
                    assert 0 <= cell["low"] <= cell["value"] <= cell["high"] <= 1
    shifted = estimate(np.array([0.98, 0.9, 0.5, 0.99]))
    assert (shifted.value, shifted.high) == (0.98, 1.0)
    assert estimate(np.array([0.98, 0.9, 0.5, 0.99]), bounds=(0.0, np.inf)).high > 1


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (32, " Of 32 candidates the first 10 are 31% and 20 are 62%: a ranking by chance"),
        (60, " Of 60 candidates the first 20 are 33%: "),
        (8, " Of 8 candidates the first 8 are 100%: "),
        (100, ""),
        (773, ""),
    ],
)
def test_a_first_k_that_is_a_large_share_of_the_candidates_is_said_beside_the_main_table(candidates, said):
    sentence = shallow_rankings(candidates)
    assert sentence.startswith(said)
    assert bool(sentence) == bool(said)


def test_that_sentence_stands_in_the_report(section, report_folder):
    sentence = shallow_rankings(section["candidates"])
    for name in ("index.html", "report.md"):
        assert ("a ranking by chance finds" in (report_folder / name).read_text()) == bool(sentence)
    assert sentence, "the made-up runs rank few candidates"
