"""Small multiples of dots: a panel for each group, all on one axis, a row for each model, whose name stands once."""

from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.page.drawing.canvas import WIDTH, Canvas, shortened, wrapped
from mera.report.page.drawing.colours import GRID, SOFT, Style
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale

GAP, INSET = 8.0, 6.0
ROW_HEIGHT, AXIS_HEIGHT = 32.0, 38.0
TRACK = 22.0
LABEL_SIZE = 12.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """In the units of the axis; None is not drawn."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PanelRow:
    key: str
    label: str
    style: Style
    dots: Sequence[Dot]
    """One for each panel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    title: str
    note: str


def panel_figure(
    panels: Sequence[Panel],
    rows: Sequence[PanelRow],
    scale: Scale,
    *,
    name: str,
    title: str,
    caption: str,
    alt: str,
    axis: str,
) -> Figure:
    """Panels side by side; `scale` holds every value."""
    canvas = Canvas()
    width = (WIDTH - 4 - GAP * (len(panels) - 1)) / max(1, len(panels))
    starts = [2 + place * (width + GAP) for place in range(len(panels))]
    titles = [wrapped(panel.title, width, 12.5, 2, bold=True) for panel in panels]
    notes = [wrapped(panel.note, width, 11, 2) for panel in panels]
    title_height, note_height = 15.0 * max(map(len, titles), default=0), 14.0 * max(map(len, notes), default=0)
    top = title_height + note_height + 8
    bottom = top + ROW_HEIGHT * len(rows)
    for start, lines, note in zip(starts, titles, notes, strict=True):
        for place, line in enumerate(lines):
            canvas.text((start, 12 + 15 * place), line, size=12.5, bold=True)
        for place, line in enumerate(note):
            canvas.text((start, title_height + 11 + 14 * place), line, size=11, colour=SOFT)
        _panel_axis(canvas, scale, start, start + width, top, bottom)
    canvas.text((WIDTH / 2, bottom + 32), axis, size=12, colour=SOFT, anchor="middle")
    for number, row in enumerate(rows):
        canvas.open_group("panel-row", row.key, top + number * ROW_HEIGHT)
        canvas.text((2, 12), shortened(row.label, WIDTH - 4, LABEL_SIZE), size=LABEL_SIZE)
        for start, dot in zip(starts, row.dots, strict=True):
            _dot(canvas, row, dot, scale, start + INSET, start + width - INSET)
        canvas.close_group()
    return Figure(name=name, title=title, caption=caption, alt=alt, svg=canvas.document(title, bottom + AXIS_HEIGHT))


def _panel_axis(canvas: Canvas, scale: Scale, start: float, end: float, top: float, bottom: float) -> None:
    """A line at each tick, a number at both ends."""
    for tick in scale.ticks:
        x = scale.place(tick, start + INSET, end - INSET)
        canvas.line((x, top), (x, bottom), GRID)
        if tick in (scale.low, scale.high):
            anchor = "start" if tick == scale.low else "end"
            canvas.text(
                (start if tick == scale.low else end, bottom + 14), f"{tick:g}", size=11, colour=SOFT, anchor=anchor
            )
    canvas.line((start, bottom), (end, bottom), GRID)


def _dot(canvas: Canvas, row: PanelRow, dot: Dot, scale: Scale, start: float, end: float) -> None:
    if dot.value is None:
        return
    if dot.low is not None and dot.high is not None:
        ends = (scale.place(dot.low, start, end), TRACK), (scale.place(dot.high, start, end), TRACK)
        canvas.line(*ends, row.style.colour, 2.2)
    canvas.mark((scale.place(dot.value, start, end), TRACK), row.style.mark, row.style.colour, size=0.8)
