"""A figure of the report, and its two forms: inside the page and as a file beside it."""

import html
import re
from dataclasses import dataclass

from mera.report.page.drawing.colours import DARK, VARIABLES

COLOUR = re.compile("|".join(map(re.escape, VARIABLES)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    name: str
    """File name without its ending; unique in the report."""
    title: str
    caption: str
    alt: str
    """What it shows, with the numbers."""
    svg: str
    """A whole SVG document, in the light colours."""


def inline_svg(figure: Figure) -> str:
    """The drawing for use inside HTML: as wide as its place, named by its text alternative, colours as the page's
    variables."""
    label = html.escape(figure.alt, quote=True)
    view_box = re.search(r'viewBox="[^"]*"', figure.svg)
    assert view_box is not None, "every drawing has a view box"
    body = figure.svg[figure.svg.index("</title>") + len("</title>") :]
    opening = f'<svg {view_box[0]} role="img" aria-label="{label}">'
    return opening + COLOUR.sub(lambda match: f"var({VARIABLES[match[0]]})", body)


def svg_file(figure: Figure) -> str:
    """The drawing as a file: a reader whose screen is dark sees it in colours for dark paper."""
    rules = "".join(
        f'[fill="{light}"]{{fill:{dark}}}[stroke="{light}"]{{stroke:{dark}}}' for light, dark in DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return figure.svg.replace("</title>", f"</title>\n{style}", 1)
