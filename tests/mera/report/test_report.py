"""The report from prediction folders that this file writes."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_runs import TagBalance, change_run, find_run, make_runs
from rich.console import Console

from mera.evaluation import metrics
from mera.report import print_comparison, write_report
from mera.report.measures import measure
from mera.report.measures.measure import Measures
from mera.report.page import write
from mera.runs.predictions import read_predictions, write_predictions


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def report_folder(runs, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("reports") / "report"
    assert write_report(runs, output, bootstrap_samples=200) == output / "index.html"
    return output


@pytest.fixture(scope="module")
def section(report_folder) -> dict:
    return json.loads((report_folder / "report.json").read_text())["tasks"][0]


def test_values_are_those_of_the_metrics(runs, section):
    run = read_predictions(runs[1])
    expected = {
        "recall@10": metrics.recall_at_k(run.scores, run.targets, 10),
        "recall@20": metrics.recall_at_k(run.scores, run.targets, 20),
        "weighted_f1_at_label_count": metrics.weighted_f1_at_label_count(run.scores, run.targets),
        "micro_f1": metrics.f1(run.predicted, run.targets, "micro"),
        "macro_f1": metrics.f1(run.predicted, run.targets, "macro"),
        "precision@5": metrics.precision_at_k(run.scores, run.targets, 5),
        "ndcg@20": metrics.ndcg_at_k(run.scores, run.targets, 20),
        "map": metrics.mean_average_precision(run.scores, run.targets),
        "macro_roc_auc": metrics.roc_auc(run.scores, run.targets, "macro"),
        "micro_roc_auc": metrics.roc_auc(run.scores, run.targets, "micro"),
    }
    found = find_run(section, "rank-tiny")
    overall = {key: cell["value"] for key, cell in found["metrics"].items() if not key.startswith("new_")}
    assert overall == pytest.approx(expected, rel=1e-6)
    assert all(cell["low"] < cell["value"] < cell["high"] for cell in found["metrics"].values())
    curve = [metrics.recall_at_k(run.scores, run.targets, k) for k in (1, 7, 20)]
    assert [found["recall_curve"][k - 1] for k in (1, 7, 20)] == pytest.approx(curve)
    sizes = run.predicted.sum(axis=1), run.targets.sum(axis=1)
    found_sizes = {key: cell for key, cell in found["set_size"].items() if key != "curve"}
    assert {key: cell["value"] for key, cell in found_sizes.items()} == pytest.approx(
        {
            "spearman": metrics.spearman(*sizes),
            "mean_predicted": sizes[0].mean(),
            "mean_true": sizes[1].mean(),
            "mean_absolute_error": np.abs(sizes[0] - sizes[1]).mean(),
            "micro_precision": (run.predicted & run.targets).sum() / run.predicted.sum(),
            "micro_recall": (run.predicted & run.targets).sum() / run.targets.sum(),
            "rows_without_prediction": (sizes[0] == 0).mean(),
        }
    )
    assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in found_sizes.values())
    empty = found_sizes["rows_without_prediction"]
    if not empty["value"]:
        assert empty["high"] == pytest.approx(1 - 0.025 ** (1 / 60)), "the exact interval of 60 patients"


def test_strata_equal_a_loop_and_partition_the_targets(runs, section):
    run = read_predictions(runs[1])
    top = metrics.rank_candidates(run.scores, 20)
    counts = {"unseen": [0, 0], "1-10": [0, 0], "11-100": [0, 0], "> 100": [0, 0], "new": [0, 0], "recurring": [0, 0]}
    for row, column in np.argwhere(run.targets):
        count = run.codes["train_count"][int(column)]
        frequency = "unseen" if count == 0 else "1-10" if count <= 10 else "11-100" if count <= 100 else "> 100"
        for label in (frequency, "recurring" if run.seen[row, column] else "new"):
            counts[label][0] += bool(column in top[row])
            counts[label][1] += 1
    assert min(total for _, total in counts.values()) > 0
    for part in section["strata"]:
        assert sum(group["targets"] for group in part["groups"]) == section["targets"]
        for group, cell in zip(part["groups"], part["values"]["rank-tiny"], strict=True):
            if part["key"] != "chapter":
                hits, total = counts[group["label"]]
                assert group["targets"] == total
                assert cell["value"] == pytest.approx(hits / total)


def test_oracles_come_first_and_are_neither_tested_nor_best(section):
    assert section["runs"][0]["kind"] == "oracle"
    assert not any("oracle" in (pair["first"], pair["second"]) for pair in section["pairs"])
    assert not any(cell["best"] for cell in section["runs"][0]["metrics"].values())
    recall = [run["metrics"]["recall@20"]["value"] for run in section["runs"][1:]]
    assert recall == sorted(recall, reverse=True)
    best = section["runs"][1]["metrics"]["recall@20"]["value"]
    oracle = section["runs"][0]["metrics"]["recall@20"]["value"]
    assert section["oracle_share"]["value"] == pytest.approx(best / oracle)


def test_bold_needs_every_corrected_test(section, runs, tmp_path):
    for metric in ("recall@20", "map", "micro_f1"):
        for run in section["runs"][1:]:
            pairs = [
                (pair["p_holm"], pair["difference"] if pair["first"] == run["run"] else -pair["difference"])
                for pair in section["pairs"]
                if pair["metric"] == metric and run["run"] in (pair["first"], pair["second"])
            ]
            expected = bool(pairs) and all(p < 0.05 and difference > 0 for p, difference in pairs)
            assert run["metrics"][metric]["best"] == expected
    perfect = change_run(runs[1], tmp_path / "perfect", scores=read_predictions(runs[1]).targets.astype(np.float32))
    write_report([*runs, perfect], tmp_path / "report", bootstrap_samples=100)
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    best = find_run(found, "perfect")["metrics"]
    assert best["recall@20"]["best"]
    assert not find_run(found, "rank-tiny")["metrics"]["recall@20"]["best"]
    assert "<strong>100.0</strong>" in (tmp_path / "report" / "index.html").read_text()
    assert found["summary"][0].startswith("MERA tiny (perfect) ranks best: 100.0% of a patient's true codes")
    assert found["summary"][1].startswith("That is certain: by the paired test, all 4 other models are behind; ")


def test_missing_numbers_are_dashes(report_folder, section):
    history = find_run(section, "history")
    assert history["metrics"]["micro_f1"] == {"value": None, "low": None, "high": None, "best": False}
    assert history["set_size"] is None
    assert any("missing for: Own history" in line for line in section["cautions"])
    page = (report_folder / "index.html").read_text()
    row = re.search(r"<tr data-run=\"history\"><th scope=\"row\">Own history.*?</tr>", page, re.DOTALL).group()
    assert re.sub(r"<[^>]+>", " ", row).split().count("—") == 1
    models = (report_folder / "report.md").read_text().split("### All models, all metrics")[1].splitlines()
    line = next(line for line in models if "| Own history" in line)
    columns = [place for place, entry in enumerate(line.split("|")) if entry == " — "]
    header = next(line for line in models if "| Model |" in line)
    assert [header.split("|")[place] for place in columns] == [" Micro F1 ", " Macro F1 "]
    for name in ("index.html", "report.md", "report.json"):
        assert not re.search(r"\b(nan|NaN|None|undefined)\b", (report_folder / name).read_text())


def test_summary_says_what_is_best_and_what_not_to_conclude(section):
    summary, cautions = section["summary"], " ".join(section["cautions"])
    assert len(summary) == 5
    assert summary[0].startswith(f"{section['runs'][1]['label']} ranks best by the numbers, but not for certain: ")
    assert summary[4].startswith("Do not conclude that this holds elsewhere: the patients were generated")
    assert any("of the oracle's recall@20" in line for line in section["answers"]["best"])
    assert "told how many codes" in cautions
    assert "synthetic" in cautions


def test_page_is_self_contained_well_formed_and_escaped(report_folder):
    page = (report_folder / "index.html").read_text()
    checker = TagBalance()
    checker.feed(page)
    assert checker.open == []
    assert all(reference.startswith("#") for reference in checker.references)
    assert {reference[1:] for reference in checker.references} <= set(checker.ids)
    assert not {"link", "img", "iframe"} & checker.tags
    assert len(checker.ids) == len(set(checker.ids))
    assert "Bi-encoder &lt;laa &amp; mrl&gt;" in page
    assert "<laa" not in page
    assert "@import" not in page
    svg_openings = re.findall(r"<svg viewBox[^>]*>", page)
    assert len(svg_openings) == 8
    assert all(re.search(r'role="img" aria-label="[^"]{30,}"', opening) for opening in svg_openings)
    assert "configs/rank/tiny.yaml --run rank-tiny" in page
    assert "learning_rate: 0.001" in page


def test_figures_stand_alone_and_are_recoloured_in_the_page(report_folder):
    files = sorted(path.name for path in (report_folder / "figures").iterdir())
    assert files == [
        "differences.svg",
        "new-codes.svg",
        "overview.svg",
        "precision-recall.svg",
        "recall-curves.svg",
        "set-size.svg",
        "strata-frequency.svg",
        "strata-recurrence.svg",
    ]
    drawing = (report_folder / "figures" / "overview.svg").read_text()
    assert 'fill="#0b62a8"' in drawing
    assert "@media (prefers-color-scheme: dark){" in drawing
    assert "var(" not in drawing
    assert 'fill="var(--series-1)"' in (report_folder / "index.html").read_text()
    for name in files:
        assert f"](figures/{name})" in (report_folder / "report.md").read_text()


def test_same_inputs_same_bytes(runs, report_folder, tmp_path):
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    for name in ("first", "second"):
        write_report(runs, tmp_path / name, bootstrap_samples=50, date_line=False)
    write_report(runs[::-1], tmp_path / "other order", bootstrap_samples=50, date_line=False)
    write_report(runs, tmp_path / "other seed", bootstrap_samples=50, seed=1, date_line=False)
    assert content(tmp_path / "first") == content(tmp_path / "second") == content(tmp_path / "other order")
    assert content(tmp_path / "first") != content(tmp_path / "other seed")
    assert "Written on" not in (tmp_path / "first" / "index.html").read_text()
    assert re.search(r"Written on \d{4}-\d\d-\d\d", (report_folder / "index.html").read_text())


def test_several_tasks_in_one_report(runs, tmp_path):
    others = [change_run(path, tmp_path / f"other-{path.name}") for path in runs[:2]]
    for path in others:
        manifest = json.loads((path / "predictions" / "manifest.json").read_text())
        manifest["task"] |= {"name": "another", "fingerprint": "e" * 64}
        (path / "predictions" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError, match=r"'oracle' and 'other-oracle' were scored on different tasks: made-up.*another"
    ):
        write_report([*runs, *others], tmp_path / "report", bootstrap_samples=20)
    assert not (tmp_path / "report").exists()
    write_report([*runs, *others], tmp_path / "report", by_task=True, bootstrap_samples=20)
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"]
    assert [(part["task"]["name"], len(part["runs"])) for part in found] == [("made-up", 5), ("another", 2)]
    assert (tmp_path / "report" / "figures" / "task-2-overview.svg").is_file()
    checker = TagBalance()
    checker.feed((tmp_path / "report" / "index.html").read_text())
    assert {"task-1", "task-2"} <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))


def test_one_run_and_only_an_oracle(runs, tmp_path):
    write_report([runs[3]], tmp_path / "one", bootstrap_samples=20)
    found = json.loads((tmp_path / "one" / "report.json").read_text())["tasks"][0]
    assert found["summary"][0].startswith("Popularity is the only model: ")
    assert "No simple model" not in " ".join(found["summary"])
    assert not any(cell["best"] for cell in found["runs"][0]["metrics"].values())
    write_report([runs[0]], tmp_path / "bound", bootstrap_samples=20)
    found = json.loads((tmp_path / "bound" / "report.json").read_text())["tasks"][0]
    assert found["summary"] == ["There is no model to compare: only oracle runs were given."]


def test_the_model_with_the_higher_recall_is_first_however_close():
    """Or the one that the sentences call best would be below another by the metric that they name."""

    def place(name, recall, average_precision):
        values = {"recall@20": recall, "map": average_precision}
        return Measures.place.fget(SimpleNamespace(values=values, is_oracle=False, name=name))

    nearly = [place("precise", 0.6116, 0.4), place("broad", 0.6118, 0.3)]
    assert [name for *_, name in sorted(nearly)] == ["broad", "precise"]
    equal = [place("a", 0.1 + 0.2, 0.3), place("b", 0.3, 0.4), place("c", float("nan"), 0.9)]
    assert [name for *_, name in sorted(equal)] == ["b", "a", "c"]


def test_without_a_true_code_nothing_is_measured(runs, tmp_path):
    paths = []
    for path in runs[1:3]:
        part = read_predictions(path)
        write_predictions(tmp_path / path.name / "predictions", replace(part, targets=np.zeros_like(part.targets)))
        paths.append(tmp_path / path.name)
    write_report(paths, tmp_path / "report", bootstrap_samples=20)
    assert "no example has a true code" in (tmp_path / "report" / "report.md").read_text()


def test_auc_without_intervals_says_so(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "MAX_AUC_WORK", 0)
    write_report(runs[1:3], tmp_path / "report", bootstrap_samples=20)
    found = json.loads((tmp_path / "report" / "report.json").read_text())["tasks"][0]
    cell = found["runs"][0]["metrics"]["macro_roc_auc"]
    assert cell["value"] > 0.5
    assert cell["low"] is None
    assert any("ROC-AUC has no interval" in line for line in found["cautions"])


def changes_that_forbid_comparison():
    def drop_last_column(run):
        return {
            "codes": run.codes[:-1],
            **{name: getattr(run, name)[:, :-1] for name in ("scores", "targets", "seen")},
        }

    return {
        "they scored the splits test and validation": lambda run: {
            "manifest": {"task": run.manifest["task"] | {"split": "validation"}}
        },
        "their example ids differ, first in row 2": lambda run: {
            "example_ids": [run.example_ids[0], "x", *run.example_ids[2:]]
        },
        "their patient ids differ": lambda run: {"patient_ids": ["x", *run.patient_ids[1:]]},
        r"their candidate codes differ in number \(60 and 59\)": drop_last_column,
        "their targets differ, first in row 1": lambda run: {"targets": ~run.targets},
        "their codes seen before differ": lambda run: {"seen": ~run.seen},
    }


@pytest.mark.parametrize("message", changes_that_forbid_comparison())
def test_runs_that_do_not_match_are_refused(runs, tmp_path, message):
    changes = changes_that_forbid_comparison()[message](read_predictions(runs[1]))
    changed = change_run(runs[1], tmp_path / "changed", **changes)
    with pytest.raises(ValueError, match=rf"runs 'oracle' and 'changed' cannot be compared: {message}"):
        write_report([runs[0], changed], tmp_path / "report", bootstrap_samples=20)
    assert not (tmp_path / "report").exists()


def test_bad_input_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="a report needs at least one run"):
        write_report([], tmp_path / "report")
    with pytest.raises(ValueError, match="two runs are called 'oracle'"):
        write_report([runs[0], runs[0]], tmp_path / "report")
    with pytest.raises(FileNotFoundError, match=r"no predictions in .*nothing"):
        write_report([tmp_path / "nothing"], tmp_path / "report")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something that is not a report"):
        write_report(runs, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").is_file()


def test_an_old_report_is_replaced_only_by_a_whole_one(runs, tmp_path, monkeypatch):
    output = tmp_path / "report"
    write_report(runs[:2], output, bootstrap_samples=20)
    before = (output / "report.json").read_bytes()

    def fail(*_, **__):
        raise RuntimeError("drawing failed")

    with monkeypatch.context() as patched:
        patched.setattr(write, "render_html", fail)
        with pytest.raises(RuntimeError, match="drawing failed"):
            write_report(runs, output, bootstrap_samples=20)
    assert (output / "report.json").read_bytes() == before
    write_report(runs, output, bootstrap_samples=20)
    assert (output / "report.json").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_the_short_form_for_the_terminal(runs, section):
    console = Console(width=200, record=True, file=io.StringIO())
    print_comparison(runs, bootstrap_samples=200, console=console)
    printed = console.export_text()
    for run in section["runs"]:
        assert f"{run['metrics']['recall@20']['value']:.1%}".rstrip("%") in printed
    assert "points from " + section["runs"][1]["label"] in printed
    assert section["summary"][0] in " ".join(printed.split())
    assert "Bi-encoder <laa & mrl>" in printed
