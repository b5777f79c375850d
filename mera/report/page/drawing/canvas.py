"""An SVG document under construction: lines, marks and texts in units of which a figure is 480 wide."""

import html
from collections.abc import Sequence

from mera.report.page.drawing.colours import INK

WIDTH = 480
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WIDTHS = dict.fromkeys("ijl.,:;|!'", 0.34) | dict.fromkeys("ftrI()[]- ", 0.42) | dict.fromkeys("mwMW@%", 0.97)
"""Widths of characters in ems, of a wide font, since none is at hand."""
Point = tuple[float, float]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how wide a text is at most."""
    ems = sum(WIDTHS.get(character, 0.74 if character.isupper() else 0.64) for character in text)
    return size * ems * (1.1 if bold else 1.0)


def shortened(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, or its beginning with an ellipsis."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(f"{text}…", size, bold) > width:
        text = text[:-1]
    return f"{text.rstrip(' ,(')}…"


def wrapped(text: str, width: float, size: float, most: int, bold: bool = False) -> list[str]:
    """At most so many lines; the last one is shortened."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most - 1:
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}", size, bold) <= width:
            line = f"{line} {words.pop(0)}"
        lines.append(shortened(line, width, size, bold))
    return [*lines, shortened(" ".join(words), width, size, bold)] if words else lines


def coordinate(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


class Canvas:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def line(self, start: Point, end: Point, colour: str, width: float = 1.0, dash: str = "", name: str = "") -> None:
        """`name`: a class, by which the page's script knows it."""
        x1, y1, x2, y2 = map(coordinate, (*start, *end))
        self._parts.append(
            f'<line{_class(name)} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" '
            f'stroke-width="{width:g}"{_dash(dash)}/>'
        )

    def curve(self, points: Sequence[Point], colour: str, width: float, dash: str = "") -> None:
        """Through all points; nothing where there is none."""
        if points:
            places = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
            self._parts.append(
                f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
                f'{_dash(dash)} stroke-linejoin="round"/>'
            )

    def mark(self, place: Point, path: str, colour: str, *, filled: bool = True, size: float = 1.0) -> None:
        x, y = map(coordinate, place)
        fill, stroke = (colour, "none") if filled else ("none", colour)
        scaled = "" if size == 1.0 else f" scale({size:g})"
        self._parts.append(
            f'<path class="mark" transform="translate({x} {y}){scaled}" d="{path}" fill="{fill}" stroke="{stroke}" '
            'stroke-width="1.6"/>'
        )

    def text(
        self,
        place: Point,
        text: str,
        *,
        size: float = 12,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
        name: str = "",
    ) -> None:
        x, y = place
        weight = ' font-weight="600"' if bold else ""
        anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(
            f'<text{_class(name)} x="{coordinate(x)}" y="{coordinate(y)}" font-size="{size:g}" fill="{colour}"'
            f"{anchored}{weight}>{html.escape(text, quote=False)}</text>"
        )

    def open_group(self, name: str = "", key: str | None = None, y: float = 0.0, title: str = "") -> None:
        """Everything up to `close_group` belongs together and is shifted down by `y`; `title` is read on hovering."""
        keyed = "" if key is None else f' data-run="{html.escape(key)}"'
        shift = f' transform="translate(0 {coordinate(y)})"' if y else ""
        self._parts.append(f"<g{_class(name)}{keyed}{shift}>")
        if title:
            self._parts.append(f"<title>{html.escape(title, quote=False)}</title>")

    def open_window(self, x: float, y: float, width: float, height: float) -> None:
        """Everything up to `close_window` is cut off at this rectangle; its coordinates start at the upper left."""
        self._parts.append(
            f'<svg x="{coordinate(x)}" y="{coordinate(y)}" width="{coordinate(width)}" height="{coordinate(height)}" '
            'overflow="hidden">'
        )

    def close_group(self) -> None:
        self._parts.append("</g>")

    def close_window(self) -> None:
        self._parts.append("</svg>")

    def document(self, title: str, height: float) -> str:
        size = f"{WIDTH} {coordinate(height)}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{WIDTH}" '
            f'height="{coordinate(height)}" font-style="{FONT}">\n<title>{html.escape(title, quote=False)}</title>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _dash(pattern: str) -> str:
    return f' stroke-dasharray="{pattern}"' if pattern else ""
