"""How figures are drawn: SVG with the same bytes for the same numbers, recoloured by the page in light and dark.

Matplotlib draws in the light colours below. `inline_svg` turns them into CSS variables, so that one drawing serves
both schemes; the files beside the page keep the light ones.
"""

import html
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from mera.report.comparison.runs import ComparedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

INK, GRID = "#1b1f24", "#d4d9df"
SERIES = ("#0b62a8", "#c2410c", "#0f7b5f", "#a6337f", "#8a6500", "#3f7fb8", "#6b4fb3", "#5c6670")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MARKER_SIZE = 5
COLOUR_VARIABLES = {INK: "--ink", GRID: "--line"} | {colour: f"--series-{i + 1}" for i, colour in enumerate(SERIES)}
SETTINGS: "dict[RcKeyType, Any]" = {
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


def inline_svg(figure: Figure) -> str:
    """The drawing for use inside HTML: no prolog, ids of its own, scalable, titled, colours as CSS variables."""
    body = figure.svg[figure.svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{figure.name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{figure.name}-", body)
    for colour, variable in COLOUR_VARIABLES.items():
        body = re.sub(re.escape(colour), f"var({variable}, {colour})", body, flags=re.IGNORECASE)
    view_box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)
    assert view_box is not None, "matplotlib gives every drawing a view box"
    width, height = view_box.groups()
    label = html.escape(figure.alt, quote=True)
    opening = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" style="aspect-ratio: {width} / {height}">'
    )
    return opening + body[body.index(">") + 1 :]


DashPattern = tuple[int, tuple[int, int]]
"""(offset, (on, off)) in points."""


class LineArguments(TypedDict):
    """Keyword arguments of `Axes.plot`."""

    color: str
    linestyle: str | DashPattern
    linewidth: float
    marker: str
    label: str
    markersize: NotRequired[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class LineStyle:
    """How a run is drawn, the same in every figure."""

    color: str
    linestyle: str | DashPattern
    """A pattern, or matplotlib's name of one."""
    linewidth: float
    marker: str
    label: str

    def line(self) -> LineArguments:
        arguments = LineArguments(
            color=self.color, linestyle=self.linestyle, linewidth=self.linewidth, marker=self.marker, label=self.label
        )
        if self.marker != "none":
            arguments["markersize"] = MARKER_SIZE
        return arguments


def styled_runs(runs: Sequence[ComparedRun]) -> list[tuple[LineStyle, ComparedRun]]:
    """Each run with its style; the oracle is a dashed line in the colour of the text."""
    styled, number = [], 0
    for run in runs:
        if run.is_oracle:
            style = LineStyle(color=INK, linestyle=(0, (4, 2)), linewidth=1.4, marker="none", label=run.label)
        else:
            style = LineStyle(
                color=SERIES[number % len(SERIES)],
                linestyle="-" if number < len(SERIES) else (0, (6, 2)),
                linewidth=1.7,
                marker=MARKERS[number % len(MARKERS)],
                label=run.label,
            )
            number += 1
        styled.append((style, run))
    return styled


def in_percent(share: float | None) -> float:
    """NaN, which is not drawn, where there is no number."""
    return math.nan if share is None else 100 * share


def make_figure(
    *,
    name: str,
    title: str,
    caption: str,
    alt: str,
    draw: Callable[["Axes"], None],
    legend: bool = False,
    height: float = 3.9,
) -> Figure:
    """`draw` puts everything on the axes; `height` in inches."""
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
