"""What the report is printed as besides its page: CSV, LaTeX, and the pages of single patients."""

import csv
import json

import pytest
from made_up_runs import TagBalance, make_rich_runs

from mera.report import write_report
from mera.report.page.tables import Cell, Column, Row, Table, latex_text, to_csv, to_latex, without_empty_columns
from mera.runs.predictions import read_predictions


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return make_rich_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def report_folder(runs, tmp_path_factory):
    return write_report(runs, tmp_path_factory.mktemp("reports") / "report", bootstrap_samples=50).parent


@pytest.fixture(scope="module")
def section(report_folder):
    return json.loads((report_folder / "report.json").read_text())["tasks"][0]


def test_tables_as_csv_and_latex():
    table = Table(
        name="t",
        caption="50% of A_B",
        columns=[Column(key="x", label="X & Y", format="percent"), Column(key="what", label="What")],
        rows=[
            Row(
                label="a<b",
                note="rank",
                cells=[Cell(value=0.25, low=0.2, high=0.3, strong=True), Cell(value="k: 1 → 2")],
            ),
            Row(label="none", note="baseline", cells=[Cell(), Cell(note="p = 0.5")]),
        ],
    )
    rows = list(csv.reader(to_csv(table).splitlines()))
    assert rows == [
        ["model", "kind", "x", "x_low", "x_high", "what", "what_note"],
        ["a<b", "rank", "0.25", "0.2", "0.3", "k: 1 → 2", ""],
        ["none", "baseline", "", "", "", "", "p = 0.5"],
    ]
    latex = to_latex(table)
    assert r"\begin{tabular}{lrl}" in latex
    assert r"a$<$b & \textbf{25.0} {\scriptsize (20.0 to 30.0)} & k: 1 $\rightarrow$ 2 \\" in latex
    assert r"none & --- & --- \\" in latex
    assert (
        latex_text(r"50% & \x_{1} ~ ^ #$")
        == r"50\% \& \textbackslash{}x\_\{1\} \textasciitilde{} \textasciicircum{} \#\$"
    )


def test_an_end_of_zero_is_an_end():
    cells = [Cell(value=0.0, low=0.0, high=0.0), Cell()]
    rows = [Row(label=name, note=None, cells=[cell]) for name, cell in zip("ab", cells, strict=True)]
    table = Table(name="t", caption="", columns=[Column(key="x", label="X", format="percent")], rows=rows)
    assert to_csv(table).splitlines() == ["model,x,x_low,x_high", "a,0.0,0.0,0.0", "b,,,"]


def test_every_number_of_the_tables_is_in_csv(report_folder, section):
    rows = {run["label"]: {} for run in section["runs"]}
    for name in ("models", "new-codes"):
        with open(report_folder / "tables" / f"{name}.csv") as file:
            for row in csv.DictReader(file):
                rows[row["model"]] |= row
    for run in section["runs"]:
        for key, cell in run["metrics"].items():
            assert rows[run["label"]][key] == ("" if cell["value"] is None else repr(cell["value"]))
    tables = report_folder / "tables"
    csv_names, tex_names = ({path.stem for path in tables.glob(f"*.{ending}")} for ending in ("csv", "tex"))
    assert csv_names == tex_names | {"codes"}, "a line for each of thousands of codes is no table of an article"
    assert len(tex_names) > 12


def test_example_pages_only_on_demand(runs, report_folder, tmp_path):
    assert not (report_folder / "examples").exists()
    whole = "".join(path.read_text() for path in report_folder.rglob("*") if path.is_file())
    assert "made-up-0" not in whole
    assert "patient-0" not in whole
    write_report(runs, tmp_path / "report", bootstrap_samples=20, with_examples=9)
    pages = sorted((tmp_path / "report" / "examples").iterdir())
    assert [page.name for page in pages] == ["1.html", "2.html", "3.html"], "as many as the folders have context for"
    page = pages[0].read_text()
    checker = TagBalance()
    checker.feed(page)
    assert checker.open == []
    assert "as confidential as the data" in page
    assert "40 days before" in page
    assert '<mark title="100.0 (annotated)">Chest</mark>' in page
    assert '<mark title="100.0 (annotated), 103.0 (Bi-encoder &lt;laa &amp; mrl&gt;)"> pain</mark>' in page
    assert "“Chest”: 100.0 (annotated)" in page
    assert "&lt;fever&gt;" in page
    run = read_predictions(runs[1])
    num_predicted = int(run.predicted[0].sum())
    assert f"MERA tiny<small>{num_predicted} predicted</small>" in page
    assert page.count("last-predicted") == 1 + sum(bool(read_predictions(path).predicted[0].any()) for path in runs)
    assert 'href="examples/1.html"' in (tmp_path / "report" / "index.html").read_text()


def test_a_column_that_is_empty_in_every_row_is_left_out():
    columns = [Column(key="a", label="A"), Column(key="b", label="B")]
    rows = [Row(label="x", cells=[Cell(), Cell(value=0)]), Row(label="y", cells=[Cell(), Cell()])]
    kept = without_empty_columns(Table(name="t", caption="", columns=columns, rows=rows))
    assert [column.key for column in kept.columns] == ["b"]
    assert [[cell.value for cell in row.cells] for row in kept.rows] == [[0], [None]]
