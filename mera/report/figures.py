"""The report's figures as SVG: the same bytes for the same numbers, recoloured by the page in light and dark.

Matplotlib draws in the light colours below. `inline_svg` turns them into CSS variables, so that one drawing serves
both schemes; the files beside the page keep the light ones.
"""

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mera.report.pairs import LEADING_METRIC, competitors, find_pair, is_real
from mera.report.text import interval, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GRID = "#1b1f24", "#d4d9df"
SERIES = ("#0b62a8", "#c2410c", "#0f7b5f", "#a6337f", "#8a6500", "#3f7fb8", "#6b4fb3", "#5c6670")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLOUR_VARIABLES = {INK: "--ink", GRID: "--line"} | {colour: f"--series-{i + 1}" for i, colour in enumerate(SERIES)}
SETTINGS = {
    "svg.hashsalt": "mera",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    name: str
    """File name without its ending; unique in the report."""
    title: str
    caption: str
    alt: str
    svg: str
    """A whole SVG document, in the light colours."""


def draw_figures(section: dict[str, Any], prefix: str) -> list[Figure]:
    """Every figure that the section has numbers for. `prefix` makes the names unique over sections."""
    found = [_recall_curves(section, prefix)]
    if len(competitors(section)) > 1:
        found.append(_forest(section, prefix))
    found += [_strata(section, part, prefix) for part in section["strata"] if part["key"] != "chapter"]
    if any(run["set_size"] for run in section["runs"]):
        found.append(_set_sizes(section, prefix))
    return found


def inline_svg(figure: Figure) -> str:
    """The drawing for use inside HTML: no prolog, ids of its own, scalable, titled, colours as CSS variables."""
    body = figure.svg[figure.svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{figure.name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{figure.name}-", body)
    for colour, variable in COLOUR_VARIABLES.items():
        body = re.sub(re.escape(colour), f"var({variable}, {colour})", body, flags=re.IGNORECASE)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body).groups()
    label = html.escape(figure.alt, quote=True)
    opening = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" style="aspect-ratio: {width} / {height}">'
    )
    return opening + body[body.index(">") + 1 :]


def _recall_curves(section: dict[str, Any], prefix: str) -> Figure:
    def draw(axes: "Axes") -> None:
        for style, run in _styled(section):
            curve = run["recall_curve"]
            places = range(1, len(curve) + 1)
            axes.plot(places, [100 * value for value in curve], **style, markevery=[0, 4, 9, 19, 49, 99])
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        axes.minorticks_off()
        axes.set_xlim(1, 100)
        axes.set_ylim(0, 1.04 * axes.dataLim.y1)
        axes.set_xlabel("codes looked at (k)")
        axes.set_ylabel("recall@k, %")

    at_20 = ", ".join(f"{run['label']} {percent(run['metrics'][LEADING_METRIC]['value'])}%" for run in section["runs"])
    return _figure(
        f"{prefix}recall-curves",
        "How many of a patient's codes are found among the first k",
        "Recall@k, the mean over examples of the share of true codes among the first k. The horizontal axis is "
        "logarithmic.",
        f"Line chart of recall at k from 1 to 100. At k = 20: {at_20}.",
        draw,
        legend=True,
    )


def _forest(section: dict[str, Any], prefix: str) -> Figure:
    best, *others = competitors(section)
    pairs = [find_pair(section, LEADING_METRIC, run["run"], best["run"]) for run in others]
    drawn = [(run, pair) for run, pair in zip(others, pairs, strict=True) if pair is not None]

    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=INK, linewidth=1)
        for place, (_, pair) in enumerate(drawn):
            low, high = (pair[end] if pair[end] is not None else pair["difference"] for end in ("low", "high"))
            filled = SERIES[0] if is_real(pair) else "none"
            axes.plot([100 * low, 100 * high], [place, place], color=SERIES[0], linewidth=1.6)
            axes.plot(
                100 * pair["difference"], place, "o", markerfacecolor=filled, markeredgecolor=SERIES[0], markersize=7
            )
        axes.set_yticks(range(len(drawn)), [run["label"] for run, _ in drawn])
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"recall@20, points from {best['label']}")

    differences = "; ".join(
        f"{run['label']} {percent(pair['difference'], signed=True)} ({interval(pair, signed=True)})"
        for run, pair in drawn
    )
    return _figure(
        f"{prefix}differences",
        f"Difference in recall@20 from {best['label']}",
        "Paired differences on the same patients, with 95% bootstrap intervals (not corrected for the number of "
        "comparisons). A filled point: the Holm-corrected paired test supports the difference; an open one: it does "
        "not.",
        f"Forest plot of differences in points from {best['label']}: {differences}.",
        draw,
        height=1.1 + 0.36 * len(drawn),
    )


def _strata(section: dict[str, Any], part: dict[str, Any], prefix: str) -> Figure:
    groups = [index for index, group in enumerate(part["groups"]) if group["targets"]]

    def draw(axes: "Axes") -> None:
        styled = _styled(section)
        for number, (style, run) in enumerate(styled):
            shift = 0.7 * ((number + 0.5) / len(styled) - 0.5)
            for place, index in enumerate(groups):
                estimate = part["values"][run["run"]][index]
                if estimate["value"] is None:
                    continue
                if estimate["low"] is not None:
                    ends = [100 * estimate["low"], 100 * estimate["high"]]
                    axes.plot([place + shift] * 2, ends, color=style["color"], linewidth=1.4)
                label = style["label"] if place == 0 else None
                axes.plot(
                    place + shift,
                    100 * estimate["value"],
                    linestyle="none",
                    color=style["color"],
                    marker="_" if style["marker"] == "none" else style["marker"],
                    markersize=6,
                    label=label,
                    clip_on=False,
                )
        names = [f"{part['groups'][i]['label']}\n{part['groups'][i]['targets']:,} targets" for i in groups]
        axes.set_xticks(range(len(groups)), names)
        axes.set_xlim(-0.5, len(groups) - 0.5)
        axes.set_ylim(0)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("recall@20, %")

    described = "; ".join(
        f"{part['groups'][index]['label']}: "
        + ", ".join(f"{run['label']} {percent(part['values'][run['run']][index]['value'])}%" for run in section["runs"])
        for index in groups
    )
    return _figure(
        f"{prefix}strata-{part['key']}",
        f"Recall@20 by {part['title'][0].lower() + part['title'][1:]}",
        f"{part['definition']} Of all true codes in a group, the share among the first 20 of the full ranking, with "
        "95% bootstrap intervals. Groups without a true code are left out.",
        f"Recall at 20 in percent by group. {described}.",
        draw,
        legend=True,
    )


def _set_sizes(section: dict[str, Any], prefix: str) -> Figure:
    def draw(axes: "Axes") -> None:
        largest = 0.0
        for style, run in _styled(section):
            if run["set_size"]:
                true, predicted = zip(*run["set_size"]["curve"], strict=True)
                axes.plot(true, predicted, **style)
                largest = max(largest, *true, *predicted)
        axes.plot([0, largest], [0, largest], color=INK, linewidth=1, linestyle=":", label="as many as true")
        axes.set_xlim(0)
        axes.set_ylim(0)
        axes.set_xlabel("true codes of the example (group mean)")
        axes.set_ylabel("predicted codes (mean)")

    means = ", ".join(
        f"{run['label']} {run['set_size']['mean_predicted']:.1f}" for run in section["runs"] if run["set_size"]
    )
    return _figure(
        f"{prefix}set-size",
        "How many codes are predicted",
        "Mean number of codes above the model's threshold, for groups of examples with a similar true number.",
        f"Line chart of predicted against true set size. Mean predicted size: {means}; mean true size "
        f"{section['targets_per_example']:.1f}.",
        draw,
        legend=True,
    )


def _styled(section: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each run with its line style; the oracle is a dashed line in the colour of the text."""
    found, number = [], 0
    for run in section["runs"]:
        if run["kind"] == "oracle":
            style = {"color": INK, "linestyle": (0, (4, 2)), "marker": "none", "linewidth": 1.4}
        else:
            dash = "-" if number < len(SERIES) else (0, (6, 2))
            style = {"color": SERIES[number % len(SERIES)], "linestyle": dash, "linewidth": 1.7}
            style |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 5}
            number += 1
        found.append((style | {"label": run["label"]}, run))
    return found


def _figure(
    name: str,
    title: str,
    caption: str,
    alt: str,
    draw: Callable[["Axes"], None],
    legend: bool = False,
    height: float = 3.9,
) -> Figure:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(SETTINGS):
        canvas = Canvas(figsize=(7.0, height), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        draw(axes)
        if legend:
            canvas.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Title": title})
    return Figure(name=name, title=title, caption=caption, alt=alt, svg=buffer.getvalue())
