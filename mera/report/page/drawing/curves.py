"""Curves as small multiples: each panel shows one model in colour before all others in grey; with many models, one
kind."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.page.drawing.canvas import WIDTH, Canvas, Point, text_width, wrapped
from mera.report.page.drawing.colours import FADED, GRID, INK, SOFT, Style
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale

MOST_PANELS = 8
"""With more curves than this a panel holds a whole kind."""
COLUMNS = 2
GAP = 16.0
TICK_SIZE = 11.0
PANEL_HEIGHT, TITLE_HEIGHT, TICKS_HEIGHT = 104.0, 34.0, 18.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """An interval of y at x."""

    x: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    label: str
    style: Style
    points: Sequence[Point]
    marks: Sequence[Point] = ()
    """Points that get the style's mark."""
    bars: Sequence[Bar] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What all panels share."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    reference: Sequence[Point] = ()
    """A dotted line in every panel, e.g. the diagonal."""
    tick_names: Sequence[str] = ()
    """What stands at the ticks of x, where it is not their number, e.g. because x is a logarithm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    title: str
    curves: Sequence[Curve]


def curve_figure(curves: Sequence[Curve], axes: Axes, *, name: str, title: str, caption: str, alt: str) -> Figure:
    """A panel for each curve, or for each kind where there are more than MOST_PANELS."""
    panels = _panels(curves)
    columns = min(COLUMNS, max(1, len(panels)))
    y_names = [_number(tick) for tick in axes.y.ticks]
    left = 10 + max(text_width(name, TICK_SIZE) for name in y_names)
    width = (WIDTH - left - 6 - GAP * (columns - 1)) / columns
    row_height = TITLE_HEIGHT + PANEL_HEIGHT + TICKS_HEIGHT
    num_rows = math.ceil(len(panels) / columns)
    canvas = Canvas()
    canvas.text((2, 12), axes.y_label, size=11.5, colour=SOFT)
    for number, panel in enumerate(panels):
        x = left + (number % columns) * (width + GAP)
        y = 16 + (number // columns) * row_height
        _draw_title(canvas, panel, x, y, width)
        _draw_ticks(canvas, axes, x, y + TITLE_HEIGHT, width, with_y=number % columns == 0)
        canvas.open_window(x, y + TITLE_HEIGHT, width, PANEL_HEIGHT)
        canvas.curve(_placed(axes.reference, axes, width), INK, 1, "2 3")
        for curve in curves:
            if curve not in panel.curves:
                canvas.curve(_placed(curve.points, axes, width), FADED, 1)
        for curve in panel.curves:
            _draw_curve(canvas, curve, axes, width)
            _say_where(canvas, curve, axes, width)
        canvas.close_window()
    height = 16 + num_rows * row_height + 18
    canvas.text((left + (WIDTH - left) / 2, height - 5), axes.x_label, size=11.5, colour=SOFT, anchor="middle")
    return Figure(name=name, title=title, caption=caption, alt=alt, svg=canvas.document(title, height))


def _panels(curves: Sequence[Curve]) -> list[_Panel]:
    if len(curves) <= MOST_PANELS:
        return [_Panel(title=curve.label, curves=[curve]) for curve in curves]
    kinds = dict.fromkeys(curve.style.name for curve in curves)
    members = {name: [curve for curve in curves if curve.style.name == name] for name in kinds}
    return [
        _Panel(title=group[0].label if len(group) == 1 else f"{len(group)} {name}", curves=group)
        for name, group in members.items()
    ]


def _inside(point: Point, axes: Axes, width: float) -> Point:
    """Without clamping: the window cuts off what lies beyond."""
    x, y = point
    return (
        width * (x - axes.x.low) / (axes.x.high - axes.x.low),
        PANEL_HEIGHT * (1 - (y - axes.y.low) / (axes.y.high - axes.y.low)),
    )


def _placed(points: Sequence[Point], axes: Axes, width: float) -> list[Point]:
    return [_inside(point, axes, width) for point in points]


def _draw_title(canvas: Canvas, panel: _Panel, x: float, y: float, width: float) -> None:
    style = panel.curves[0].style
    lines = wrapped(panel.title, width - 14, 12, 2, bold=True)
    first = y + TITLE_HEIGHT - 5 - 14 * (len(lines) - 1)
    canvas.mark((x + 5, first - 4), style.mark, style.colour, size=0.8)
    for place, line in enumerate(lines):
        canvas.text((x + 14, first + 14 * place), line, size=12, bold=True)


def _draw_ticks(canvas: Canvas, axes: Axes, x: float, y: float, width: float, *, with_y: bool) -> None:
    names = axes.tick_names or [_number(tick) for tick in axes.x.ticks]
    for place, (tick, name) in enumerate(zip(axes.x.ticks, names, strict=True)):
        left = axes.x.place(tick, x, x + width)
        anchor = "end" if place == len(names) - 1 else "start" if place == 0 else "middle"
        canvas.line((left, y), (left, y + PANEL_HEIGHT), GRID, 0.7)
        canvas.text((left, y + PANEL_HEIGHT + 13), name, size=TICK_SIZE, colour=SOFT, anchor=anchor)
    for tick in axes.y.ticks:
        height = axes.y.place(tick, y + PANEL_HEIGHT, y)
        canvas.line((x, height), (x + width, height), INK if tick == 0 and axes.y.low < 0 else GRID, 0.7)
        if with_y:
            canvas.text((x - 4, height + 4), _number(tick), size=TICK_SIZE, colour=SOFT, anchor="end")


def _number(tick: float) -> str:
    return f"{tick:,g}".replace("-", "−")


def _draw_curve(canvas: Canvas, curve: Curve, axes: Axes, width: float) -> None:
    canvas.curve(_placed(curve.points, axes, width), curve.style.colour, 2)
    for bar in curve.bars:
        low, high = (_inside((bar.x, end), axes, width) for end in (bar.low, bar.high))
        canvas.line(low, high, curve.style.colour, 1.3)
    for mark in curve.marks:
        canvas.mark(_inside(mark, axes, width), curve.style.mark, curve.style.colour, size=0.8)


def _say_where(canvas: Canvas, curve: Curve, axes: Axes, width: float) -> None:
    """In words, where a curve's marks lie outside the panel."""
    outside = [y for _, y in curve.marks if not axes.y.holds(y)]
    if outside:
        height = 14 if outside[0] > axes.y.high else PANEL_HEIGHT - 6
        words = f"{outside[0]:+.1f} at the mark".replace("-", "−")
        canvas.text((width - 4, height), words, size=11.5, colour=SOFT, anchor="end")
