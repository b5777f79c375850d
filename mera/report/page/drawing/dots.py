"""Rows of dots with their intervals: a row is its name, its number and its mark, so that no legend is needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.page.drawing.canvas import WIDTH, Canvas, shortened, text_width
from mera.report.page.drawing.colours import FADED, GRID, INK, SOFT, Style
from mera.report.page.drawing.figure import Figure
from mera.report.page.drawing.scales import Scale

LEFT, RIGHT = 8.0, WIDTH - 8.0
ROW_HEIGHT, HEADING_HEIGHT, AXIS_HEIGHT = 34.0, 24.0, 40.0
TRACK = 24.0
"""From a row's upper edge to its mark."""
LABEL_SIZE = 13.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DotRow:
    """`value`, `low` and `high` are in the units of the axis; None is not drawn."""

    key: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    printed: str
    """The number as it stands at the right."""
    style: Style
    note: str = ""
    """Said after the label, faintly."""
    strong: bool = False
    filled: bool = True
    heading: str = ""
    """Printed above the first of the rows that have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A vertical line through all rows."""

    value: float
    label: str = ""


def dot_figure(
    rows: Sequence[DotRow],
    scale: Scale,
    *,
    name: str,
    title: str,
    caption: str,
    alt: str,
    axis: str,
    reference: Reference | None = None,
) -> Figure:
    """One row below the other, in their order. A value outside `scale` is an arrow at the edge."""
    canvas = Canvas()
    headings = [row.heading and row.heading != before for row, before in _with_previous_heading(rows)]
    top = 6.0
    bottom = top + ROW_HEIGHT * len(rows) + HEADING_HEIGHT * sum(map(bool, headings))
    _axis(canvas, scale, axis, top, bottom, reference)
    y = top
    for row, has_heading in zip(rows, headings, strict=True):
        if has_heading:
            canvas.text((LEFT, y + 16), row.heading, size=12, colour=SOFT, bold=True, name="heading")
            y += HEADING_HEIGHT
        canvas.open_group("dot-row", row.key, y, f"{row.label}: {row.printed}")
        _row(canvas, row, scale)
        canvas.close_group()
        y += ROW_HEIGHT
    return Figure(name=name, title=title, caption=caption, alt=alt, svg=canvas.document(title, bottom + AXIS_HEIGHT))


def _with_previous_heading(rows: Sequence[DotRow]) -> list[tuple[DotRow, str]]:
    return list(zip(rows, ["", *(row.heading for row in rows)][: len(rows)], strict=True))


def _axis(canvas: Canvas, scale: Scale, label: str, top: float, bottom: float, reference: Reference | None) -> None:
    canvas.open_group("axis")
    for tick in scale.ticks:
        x = scale.place(tick, LEFT, RIGHT)
        canvas.line((x, top), (x, bottom), GRID)
        anchor = "start" if tick == scale.ticks[0] else "end" if tick == scale.ticks[-1] else "middle"
        canvas.text((x, bottom + 15), f"{tick:g}".replace("-", "−"), colour=SOFT, anchor=anchor)
    canvas.close_group()
    canvas.text((WIDTH / 2, bottom + 33), label, colour=SOFT, anchor="middle", name="axis-label")
    if reference is not None and scale.holds(reference.value):
        x = scale.place(reference.value, LEFT, RIGHT)
        canvas.line((x, top), (x, bottom), INK, 1.2, "" if reference.value == 0 else "3 3", "reference")
        if reference.label:
            canvas.text((x + 4, bottom - 4), reference.label, size=11, colour=SOFT, name="reference")


def _row(canvas: Canvas, row: DotRow, scale: Scale) -> None:
    room = RIGHT - LEFT - text_width(row.printed, LABEL_SIZE, row.strong) - 10
    label = shortened(row.label, room, LABEL_SIZE, row.strong)
    canvas.text((LEFT, 13), label, size=LABEL_SIZE, bold=row.strong)
    used = text_width(label, LABEL_SIZE, row.strong) + 4
    if row.note and used + text_width(row.note, 11.5) <= room:
        canvas.text((LEFT + used, 13), row.note, size=11.5, colour=SOFT, name="note")
    canvas.text((RIGHT, 13), row.printed, size=LABEL_SIZE, anchor="end", bold=row.strong, name="value")
    canvas.line((LEFT, TRACK), (RIGHT, TRACK), FADED, 0.6, "1 4")
    if row.value is None:
        return
    if row.low is not None and row.high is not None and row.low <= scale.high and row.high >= scale.low:
        ends = (scale.place(row.low, LEFT, RIGHT), TRACK), (scale.place(row.high, LEFT, RIGHT), TRACK)
        canvas.line(*ends, row.style.colour, 2.6, name="interval")
    if not scale.holds(row.value):
        at_right = row.value > scale.high
        x, path = (RIGHT - 4, "M-5-5L5 0L-5 5Z") if at_right else (LEFT + 4, "M5-5L-5 0L5 5Z")
        canvas.mark((x, TRACK), path, row.style.colour, filled=row.filled)
        return
    canvas.mark((scale.place(row.value, LEFT, RIGHT), TRACK), row.style.mark, row.style.colour, filled=row.filled)
