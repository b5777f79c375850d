"""The figures that compare models: recall curves, differences, strata, accuracy by level."""

from typing import TYPE_CHECKING, Any

from mera.report.comparison.pairs import LEADING_METRIC, competitors, find_pair, is_real
from mera.report.measures.hierarchy import LEVEL_NAMES
from mera.report.page.drawing import INK, SERIES, Figure, make_figure, styled_runs
from mera.report.page.figures_of_runs import draw_run_figures
from mera.report.text import interval, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_figures(section: dict[str, Any], prefix: str) -> list[Figure]:
    """Every figure that the section has numbers for. `prefix` makes the names unique over sections."""
    found = [_recall_curves(section, prefix)]
    if len(competitors(section)) > 1:
        found.append(_forest(section, prefix))
    found += [_strata(section, part, prefix) for part in section["strata"] if part["key"] != "chapter"]
    if any(run["hierarchy"] for run in section["runs"]):
        found.append(_levels(section, prefix))
    return [*found, *draw_run_figures(section, prefix)]


def _recall_curves(section: dict[str, Any], prefix: str) -> Figure:
    def draw(axes: "Axes") -> None:
        for style, run in styled_runs(section):
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
    return make_figure(
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
    return make_figure(
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
        styled = styled_runs(section)
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
    return make_figure(
        f"{prefix}strata-{part['key']}",
        f"Recall@20 by {part['title'][0].lower() + part['title'][1:]}",
        f"{part['definition']} Of all true codes in a group, the share among the first 20 of the full ranking, with "
        "95% bootstrap intervals. Groups without a true code are left out.",
        f"Recall at 20 in percent by group. {described}.",
        draw,
        legend=True,
    )


def _levels(section: dict[str, Any], prefix: str) -> Figure:
    drawn = [(style, run) for style, run in styled_runs(section) if run["hierarchy"]]
    levels = drawn[0][1]["hierarchy"]["levels"][1:]

    def draw(axes: "Axes") -> None:
        for number, (style, run) in enumerate(drawn):
            shift = 0.5 * ((number + 0.5) / len(drawn) - 0.5)
            found = [run["hierarchy"]["accuracy"][level] for level in levels]
            places = [place + shift for place in range(len(levels))]
            axes.plot(places, [100 * cell["value"] for cell in found], **style)
            for place, cell in zip(places, found, strict=True):
                if cell["low"] is not None:
                    axes.plot([place] * 2, [100 * cell["low"], 100 * cell["high"]], color=style["color"], linewidth=1.2)
        axes.set_xticks(range(len(levels)), [LEVEL_NAMES[level].replace(" (", "\n(") for level in levels])
        axes.set_ylim(0)
        axes.set_ylabel("right predictions, %")
        axes.grid(axis="x", visible=False)

    described = "; ".join(
        f"{run['label']}: "
        + ", ".join(f"{level} {percent(run['hierarchy']['accuracy'][level]['value'])}%" for level in levels)
        for _, run in drawn
    )
    return make_figure(
        f"{prefix}levels",
        "How close wrong predictions come",
        "Each example predicts as many codes as it truly has. A prediction is right at a level where a true code of "
        "the example lies in the same group; the drop between two levels is what goes wrong between them.",
        f"Line chart of accuracy by level of the ontology. {described}.",
        draw,
        legend=True,
    )
