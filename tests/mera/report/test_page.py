"""The page's pieces, each from a comparison whose numbers are set by hand: first screen, questions, drawings."""

import json
import math
import re
from dataclasses import replace

import pytest
from made_up_comparison import compared, stratum, with_pairs, with_recall
from made_up_runs import make_runs

from mera.report import write_report
from mera.report.comparison.words.summary import task_report
from mera.report.page.contents import CORE_KEYS, TITLES, chosen_sections, questions
from mera.report.page.drawing.canvas import shortened, text_width, wrapped
from mera.report.page.drawing.colours import INK, OTHER, STYLES, style_of
from mera.report.page.drawing.curves import Axes, Curve, curve_figure
from mera.report.page.drawing.dots import DotRow, dot_figure
from mera.report.page.drawing.figure import inline_svg, svg_file
from mera.report.page.drawing.panels import Dot, Panel, PanelRow, panel_figure
from mera.report.page.drawing.scales import difference_scale, scale, share_scale
from mera.report.page.first_screen import first_screen, shown_runs
from mera.report.page.parts.groups.reliability import group_parts
from mera.report.page.parts.groups.strata import stratum_part

WORDS = {"name": "figure", "title": "Title", "caption": "Caption", "alt": 'Alt "text" & <more>'}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def two(comparison):
    values = {"rank-tiny": (0.65, 0.64, 0.66), "history": (0.6, 0.59, 0.61)}
    pairs = {("history", "rank-tiny"): ((-0.05, -0.06, -0.04), 0.0001)}
    return with_pairs(with_recall(comparison, values), pairs)


def rows_of(table):
    return {row.label: [cell.value for cell in row.cells] for row in table.rows}


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_small_table_has_five_columns_and_the_tested_difference(two):
    table = first_screen(two, "").table
    assert [table.corner, *(column.label for column in table.columns)] == [
        *("Model", "Recall@20", "From best, points", "MAP", "Micro F1")
    ]
    best, other = table.rows
    assert [cell.value for cell in best.cells][:2] == [0.65, None]
    assert [cell.value for cell in other.cells][:2] == [0.6, -0.05]
    assert (other.cells[1].strong, best.run, other.run) == (True, "rank-tiny", "history")


def test_the_chart_has_every_model_and_its_numbers_in_words(two):
    screen = first_screen(two, "task-2-")
    assert screen.figure.name == "task-2-overview"
    assert screen.figure.alt == (
        "Recall at 20 in percent, with 95% intervals. MERA tiny 65.0 (64.0 to 66.0); Own history 60.0 (59.0 to 61.0)."
    )
    assert "Circle: ranking language models, square: simple models." in screen.figure.caption
    assert "The axis starts at 58%." in screen.figure.caption
    assert {"MERA tiny", "65.0 (64.0 to 66.0)", "Own history"} <= set(texts(screen.figure.svg))
    data = json.loads(screen.data)
    assert data["runs"]["history"]["recall@20"] == [60.0, 59.0, 61.0]
    assert data["labels"] == {"rank-tiny": "MERA tiny", "history": "Own history"}


def test_an_equal_of_the_best_is_marked(two):
    tied = with_pairs(two, {("history", "rank-tiny"): ((-0.05, -0.12, 0.02), 0.3)})
    assert texts(first_screen(tied, "").figure.svg).count("not told apart") == 1
    assert "not told apart" not in texts(first_screen(two, "").figure.svg)


def test_many_models_are_grouped_and_the_small_table_has_the_first_and_the_best_of_each_kind(comparison):
    runs = {run.name: run for run in comparison.runs}
    ranked = [replace(runs["rank-tiny"], name=f"run-{number}", label=f"Model {number}") for number in range(11)]
    assert [run.name for run in shown_runs([*ranked, runs["popularity"], runs["history"]])] == [
        *(f"run-{number}" for number in range(8)),
        "popularity",
    ]


def test_questions_come_in_order_and_core_is_what_a_board_reads(comparison):
    report = task_report(comparison)
    made = questions(report, "", chosen_sections("all"))
    keys = [question.key for question in made]
    assert keys == [key for key in TITLES if key in keys]
    assert {"best", "new", "rare", "sets", "limits", "errors", "cost", "data", "provenance"} <= set(keys)
    assert "widths" not in keys, "no run was scored at several widths"
    assert "method" not in keys, "the page writes it once for all tasks"
    core = questions(report, "", chosen_sections("core"))
    assert all(question.is_core for question in core)
    assert [question.key for question in core] == [key for key in keys if key in CORE_KEYS]
    names = [table.name for question in made for part in question.parts for table in part.tables]
    assert len(names) == len(set(names))
    figures = [figure.name for question in made for part in question.parts for figure in part.figures]
    assert len(figures) == len(set(figures))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("bset", r"no section is called 'bset'; --sections takes core, all or some of best, new, .*, method"),
        ("best,", None),
        (" best , rare", None),
        (",", "--sections names none"),
    ],
)
def test_sections_by_name(sections, message):
    if message is None:
        assert chosen_sections(sections) <= set(TITLES)
        return
    with pytest.raises(ValueError, match=message):
        chosen_sections(sections)


def test_heading_and_sections_of_a_report(tmp_path):
    page = write_report(
        make_runs(tmp_path)[1:4],
        tmp_path / "report",
        bootstrap_samples=5,
        title="Codes <at> the board",
        subtitle="Third quarter",
        author="A. Author",
        sections="rare,data",
        date_line=False,
    )
    html, markdown = page.read_text(), (page.parent / "report.md").read_text()
    assert "<h1>Codes &lt;at&gt; the board</h1>" in html
    assert '<p class="subtitle">Third quarter</p>\n<p class="signed">A. Author</p>' in html
    assert markdown.startswith("# Codes &lt;at&gt; the board\n\nThird quarter\n\nA. Author\n")
    assert re.findall(r'<section class="question" id="task-1-([a-z-]+)">', html) == ["rare", "data"]
    assert sorted(path.stem for path in (page.parent / "figures").iterdir()) == ["overview", "strata-frequency"]
    full = json.loads((page.parent / "report.json").read_text())["tasks"][0]
    assert len(full["pairs"]) > 10, "report.json holds every number whatever is shown"
    with pytest.raises(ValueError, match="no section is called 'x'"):
        write_report([], tmp_path / "other", sections="x")


def test_the_groups_of_patients_stand_in_a_figure_and_a_table(two):
    sex = stratum(
        "sex",
        [("female", 300), ("unknown", 12)],
        {"rank-tiny": [0.7, 0.5], "history": [0.65, 0.3]},
        [(0, "rank-tiny", "history", (0.05, 0.03, 0.07), 0.001)],
    )
    (part,) = group_parts(replace(two, strata=(sex,)), "")
    assert rows_of(part.tables[0]) == {
        "sex female": [300, 0.7, 0.65, pytest.approx(0.05), "ahead for certain"],
        "sex unknown": [12, 0.5, 0.3, pytest.approx(0.2), "too few patients"],
    }
    drawn = texts(part.figures[0].svg)
    assert {"Sex", "female", "(300 patients)", "+5.0 (+3.0 to +7.0)", "(12 patients, too few to say)"} <= set(drawn)
    assert group_parts(with_recall(two, {"rank-tiny": (0.6, 0.5, 0.7)}), "") == []


def test_a_stratum_has_a_row_for_each_model_and_a_panel_for_each_group_with_codes(two):
    frequency = stratum("frequency", [("unseen", 0), ("1-10", 40)], {"rank-tiny": [0.0, 0.25], "history": [0.0, 0.125]})
    part = stratum_part(frequency, two.runs, "", drawn=True)
    assert rows_of(part.tables[0]) == {"MERA tiny": [0.0, 0.25], "Own history": [0.0, 0.125]}
    assert [column.label for column in part.tables[0].columns] == ["unseen (0 true codes)", "1-10 (80 true codes)"]
    drawn = texts(part.figures[0].svg)
    assert "1-10" in drawn
    assert "unseen" not in drawn, "no model can find what is not there"


def test_scales_begin_where_they_should():
    assert scale(0, 83).ticks == (0, 20, 40, 60, 80, 100)
    assert scale(0, 0.9).ticks == (0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert share_scale([10.0, 66.0]).low == 0, "a value far below the others needs the whole axis"
    assert share_scale([62.0, 66.0]).ticks == (62, 63, 64, 65, 66)
    near = difference_scale([-0.5, -1.0, -40.0], [-2.0, 0.5, -42.0])
    assert near.holds(0)
    assert near.holds(-2.0)
    assert not near.holds(-40.0)
    assert difference_scale([-3.0], [-4.0, -2.0]).high == 0
    level = difference_scale([0.0, 0.0, 0.0], [])
    assert (level.low, level.high) == (-0.5, 0.5), "no axis of billionths where nothing differs"
    assert difference_scale([0.0, 0.0, 0.0, -12.0], []).holds(-12.0), "models that are level leave the other on it"
    assert scale(0, 100).place(25, 8, 408) == 108
    assert scale(0, 100).place(300, 8, 408) == 408


def test_texts_stay_within_their_width():
    long = "fusion of dictionary, words and letters, BM25, bi-encoder laa_mrl"
    cut = shortened(long, 200, 13)
    assert cut.endswith("…")
    assert text_width(cut, 13) <= 200
    lines = wrapped(long, 150, 12, 2, bold=True)
    assert len(lines) == 2
    assert all(text_width(line, 12, bold=True) <= 150 for line in lines)
    assert wrapped("short", 150, 12, 2) == ["short"]


def dot_row(value, **changes):
    row = {"key": "a", "label": "A & <b>", "value": value, "low": None, "high": None, "printed": "1.0"}
    return DotRow(**row | {"style": style_of("rank")} | changes)


def test_a_dot_beyond_the_axis_is_an_arrow_and_a_missing_one_is_not_drawn():
    axis = scale(-2, 0)
    inside, outside, missing = (
        dot_figure([dot_row(value)], axis, axis="points", **WORDS).svg.count('class="mark"')
        for value in (-1.0, -9.0, None)
    )
    assert (inside, outside, missing) == (1, 1, 0)
    assert STYLES["rank"].mark not in dot_figure([dot_row(-9.0)], axis, axis="points", **WORDS).svg
    far = dot_figure([dot_row(-9.0, low=-17.0, high=-1.0, filled=False)], axis, axis="points", **WORDS).svg
    assert f'fill="none" stroke="{STYLES["rank"].colour}"' in far, "an arrow is open too where no test supports it"
    assert far.count('class="interval"') == 1, "of its interval the part on the axis is drawn"
    hollow = dot_figure([dot_row(-1.0, filled=False)], axis, axis="points", **WORDS).svg
    assert f'fill="none" stroke="{STYLES["rank"].colour}"' in hollow


def test_a_heading_stands_once_above_its_rows():
    rows = [dot_row(-1.0, heading="Age"), dot_row(-1.0, heading="Age"), dot_row(-1.0, heading="Sex")]
    drawn = texts(dot_figure(rows, scale(-2, 0), axis="points", **WORDS).svg)
    assert (drawn.count("Age"), drawn.count("Sex")) == (1, 1)
    assert "A &amp; &lt;b&gt;" in drawn


def curves(count, kinds=("rank",)):
    return [
        Curve(
            label=f"model {number}",
            style=style_of(kinds[number % len(kinds)]),
            points=[(0, number), (1, number)],
            marks=[(1, number)],
        )
        for number in range(count)
    ]


def test_a_panel_for_each_curve_or_for_each_kind_of_many():
    axes = Axes(x=scale(0, 1), y=scale(0, 20), x_label="x", y_label="y")
    few = curve_figure(curves(3), axes, **WORDS).svg
    assert few.count("<svg x=") == 3
    assert len(re.findall("<polyline", few)) == 9, "each panel shows the other curves in grey"
    many = curve_figure(curves(12, ("rank", "baseline")), axes, **WORDS).svg
    assert many.count("<svg x=") == 2
    assert {"6 ranking language models", "6 simple models"} <= set(texts(many))


def test_large_numbers_of_the_vertical_axis_have_room():
    def first_panel(highest):
        axes = Axes(x=scale(0, 1), y=scale(0, highest), x_label="x", y_label="y")
        drawing = curve_figure(curves(1), axes, **WORDS).svg
        return float(re.search(r'<svg x="([\d.]+)"', drawing)[1]), texts(drawing)

    (small, _), (large, drawn) = first_panel(8), first_panel(20_000)
    assert "20,000" in drawn
    assert small < text_width("20,000", 11) < large


def test_a_curve_that_leaves_its_panel_says_where_it_is():
    axes = Axes(x=scale(0, 1), y=scale(-4, 1), x_label="x", y_label="y")
    far = Curve(label="far", style=OTHER, points=[(0, -14), (1, -14)], marks=[(1, -14.04)])
    assert "−14.0 at the mark" in texts(curve_figure([far], axes, **WORDS).svg)


def test_panels_leave_out_what_has_no_number():
    dots = [Dot(value=30.0, low=20.0, high=40.0), Dot(value=None, low=None, high=None)]
    rows = [PanelRow(key="a", label="A", style=OTHER, dots=dots)]
    panels = [Panel(title="one", note="5 true codes"), Panel(title="two", note="")]
    drawing = panel_figure(panels, rows, scale(0, 40), axis="recall@20, %", **WORDS).svg
    assert drawing.count('class="mark"') == 1
    assert {"one", "two", "5 true codes", "A"} <= set(texts(drawing))


def test_a_drawing_inside_the_page_and_as_a_file():
    figure = dot_figure([dot_row(-1.0)], scale(-2, 0), axis="points", **WORDS)
    inside = inline_svg(figure)
    assert inside.startswith(
        '<svg viewBox="0 0 480 80" role="img" aria-label="Alt &quot;text&quot; &amp; &lt;more&gt;">'
    )
    assert INK not in inside
    assert 'fill="var(--ink)"' in inside
    file = svg_file(figure)
    assert f'[fill="{INK}"]' in file
    assert file.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert math.isclose(float(re.search(r'width="([\d.]+)"', file)[1]), 480)


def test_there_are_at_most_eight_styles():
    styles = [*STYLES.values(), OTHER]
    assert len(styles) <= 8
    assert len({style.mark for style in styles}) == len({style.colour for style in styles}) == len(styles)
