"""The report's dictionary and figures as HTML and as Markdown."""

import re
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from mera.report import text
from mera.report.figures import Figure, inline_svg
from mera.report.measure import METRICS
from mera.report.pairs import competitors, find_pair, is_real


def render_html(report: dict[str, Any], figures: list[list[Figure]], date: str | None) -> str:
    """One page with everything inside: styles, drawings, tables. Texts from the manifests are escaped."""
    return _environment().get_template("report.html.j2").render(**_context(report, figures, date))


def render_markdown(report: dict[str, Any], figures: list[list[Figure]], date: str | None) -> str:
    """The same for a repository; figures are links to `figures/<name>.svg`."""
    return _environment().get_template("report.md.j2").render(**_context(report, figures, date))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mera.report"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": text.percent,
        "interval": text.interval,
        "number": text.number,
        "p_value": text.p_value,
        "duration": text.duration,
        "hardware": text.hardware,
        "yaml": _as_yaml,
        "cell": _markdown_cell,
        "inline_svg": lambda figure: Markup(inline_svg(figure)),
    }
    environment.globals |= {
        "METRICS": METRICS,
        "DASH": text.DASH,
        "competitors": competitors,
        "find_pair": find_pair,
        "is_real": is_real,
    }
    return environment


def _context(report: dict[str, Any], figures: list[list[Figure]], date: str | None) -> dict[str, Any]:
    return {"report": report, "sections": list(zip(report["tasks"], figures, strict=True)), "date": date}


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).strip()


def _markdown_cell(value: Any) -> str:
    """A text that cannot break out of its table cell or become markup."""
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", " ".join(str(value).split()))
