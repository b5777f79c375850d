"""One line of Markdown a model: what it says, and that no name breaks out of it."""

import io
from dataclasses import replace

import pytest
from made_up_runs import change_run, make_runs
from rich.console import Console

from mera.report import print_comparison, write_report
from mera.report.comparison.compare import compare
from mera.report.comparison.published import PublishedRow
from mera.report.measures.load import group_runs
from mera.report.page.markdown_rows import markdown_rows


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Five runs, and a second seed of one of them."""
    folder = tmp_path_factory.mktemp("runs")
    runs = make_runs(folder)
    for seed, path in enumerate(runs[1:2] * 2):
        manifest = {"config": {"training": {"seed": seed}}, "model": "tiny | tidy"}
        runs.append(change_run(path, folder / f"seed-{seed}", manifest=manifest))
    return runs


@pytest.fixture(scope="module")
def comparison(runs):
    (group,) = group_runs(runs)
    return compare(group, 20, 0)


def test_a_line_a_model_with_its_task_and_its_metrics(comparison):
    header, rule, *lines = markdown_rows(comparison).splitlines()
    assert header.startswith("| Model | Task | Split | Examples | Candidates | Seeds | Recall@10 | Recall@20 |")
    assert rule.count("---") == 12
    assert len(lines) == len(comparison.shown.runs) == 6
    for line, run in zip(lines, comparison.shown.runs, strict=True):
        recall, f1 = run.metrics["recall@20"], run.metrics["micro_f1"]
        assert line.count("made-up@ffffffff | test | 120 | 60 | ") == 1
        assert f"{100 * recall.value:.1f} ({100 * recall.low:.1f} to {100 * recall.high:.1f})" in line
        assert f1.value is not None or " — |" in line


def test_seeds_are_one_line_that_counts_them(comparison):
    lines = [line for line in markdown_rows(comparison).splitlines() if "tidy" in line]
    assert len(lines) == 1
    assert lines[0].startswith(r"| tiny \| tidy (2 seeds) | made-up@ffffffff | test | 120 | 60 | 2 | ")


def test_no_name_breaks_out_of_its_cell(comparison):
    line = next(line for line in markdown_rows(comparison).splitlines() if "Bi-encoder" in line)
    assert "&lt;laa &amp; mrl&gt;" in line
    assert "\n" not in line


def test_published_rows_bring_protocol_and_source(comparison):
    row = PublishedRow(
        model="PLM-ICD",
        metrics={"map": 0.619},
        protocol="MIMIC-IV, Edin's split",
        source="doi 1",
        differs=("split", "language"),
    )
    line = markdown_rows(replace(comparison, published=(row,))).splitlines()[-1]
    assert line == (
        "| PLM-ICD (published: doi 1) | MIMIC-IV, Edin's split; differs in split; language | published | — | — | — "
        "| — | — | — | — | — | 61.9 |"
    )


def test_they_end_the_report_and_the_terminal_prints_them(runs, comparison, tmp_path):
    page = write_report(runs, tmp_path / "report", bootstrap_samples=20)
    rows = markdown_rows(comparison)
    report = (page.parent / "report.md").read_text(encoding="utf-8")
    assert report.endswith(f"## One line a model\n\n{rows}\n")
    out = io.StringIO()
    print_comparison(runs, bootstrap_samples=20, markdown=True, console=Console(file=out, width=40))
    assert out.getvalue() == f"{rows}\n"
