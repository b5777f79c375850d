"""The report's part on coding rules: its numbers against the sets themselves, and nothing of it without rules."""

import json

import numpy as np
import polars as pl
from made_up_runs import change_run, find_run, make_runs

from mera.evaluation import coding_rules, metrics
from mera.evaluation.coding_rules import CodingRules
from mera.report.page.write import write_report
from mera.runs.predictions import read_predictions

RULES = pl.DataFrame(
    [
        ("excludes1", "100.0", "the first (101.0-103.0)", ["100.0"], ["101.0", "102.0", "103.0"]),
        ("code_first", "104.0", "the cause (105.0)", ["104.0"], ["105.0"]),
        ("seventh_character", "106.0", "further characters", ["106.0"], ["107.0"]),
        ("female_only", "108.0", "female organs", ["108.0", "109.0"], []),
    ],
    schema={
        **dict.fromkeys(("kind", "node", "text"), pl.String),
        **dict.fromkeys(("subjects", "objects"), pl.List(pl.String)),
    },
    orient="row",
)


def with_rules(paths, folder):
    sexes = [("F", "M", None)[row % 3] for row in range(120)]
    return [change_run(path, folder / path.name, rules=RULES, sexes=sexes) for path in paths]


def report(paths, output):
    page = write_report(paths, output, bootstrap_samples=30)
    return page.read_text(encoding="utf-8"), json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_numbers_of_the_part(tmp_path):
    paths = with_rules(make_runs(tmp_path / "plain"), tmp_path / "runs")
    page, record = report(paths, tmp_path / "report")
    section = record["tasks"][0] if "tasks" in record else record
    run = read_predictions(paths[1])
    rules = CodingRules.of(RULES.iter_rows(), run.codes["code"].to_list())
    expected = coding_rules.violations(run.targets, rules, run.sexes).counts(rules)
    of_truth = section["true_set_rules"]
    assert of_truth["rules"] == 4
    assert {row["kind"]: (row["examples"], row["violations"]) for row in of_truth["kinds"]} == expected
    assert sum(examples for examples, _ in expected.values()) > 0

    check = find_run(section, run.name)["coding_rules"]
    mended = coding_rules.mend(run.scores, run.predicted, rules, run.sexes)
    assert check["codes_removed"] == int((run.predicted & ~mended).sum()) > 0
    assert check["true_codes_removed"] == int((run.predicted & ~mended & run.targets).sum())
    assert check["micro_f1"]["value"] == metrics.f1(run.predicted, run.targets, "micro")
    assert np.isclose(check["micro_f1_mended"]["value"], metrics.f1(mended, run.targets, "micro"))
    change = check["micro_f1_mended"]["value"] - check["micro_f1"]["value"]
    assert np.isclose(check["micro_f1_change"]["value"], change)
    left = {row["kind"]: row["violations"] for row in check["kinds_mended"]}
    assert left["excludes1"] == left["female_only"] == 0
    assert left["code_first"] == {row["kind"]: row["violations"] for row in check["kinds"]}["code_first"]
    assert find_run(section, "history")["coding_rules"] is None  # it sets no threshold
    assert "Coding rules" in page
    assert "Characters missing" in page


def test_without_rules_there_is_no_part(tmp_path):
    page, record = report(make_runs(tmp_path / "plain"), tmp_path / "report")
    section = record["tasks"][0] if "tasks" in record else record
    assert section["true_set_rules"] is None
    assert all(run["coding_rules"] is None for run in section["runs"])
    assert "Coding rules" not in page


def test_rules_of_one_run_speak_for_all(tmp_path):
    plain = make_runs(tmp_path / "plain")
    mixed = [plain[1], *with_rules(plain[2:4], tmp_path / "runs")]
    _, record = report(mixed, tmp_path / "report")
    section = record["tasks"][0] if "tasks" in record else record
    assert all(run["coding_rules"]["codes_removed"] >= 0 for run in section["runs"])
