"""The page: one template, one style sheet, one script, all of this package."""

import functools
from importlib import resources

import jinja2

from mera.commands.serve.messages import About

ASSETS = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(
    ("base.js", "page.js", "ranking.js", "visits.js"), "text/javascript"
)


def rendered_page(patients: About | None, notes: About | None) -> str:
    """`patients`, `notes`: what is ranked with, for the forms that the page has."""
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            patients=patients,
            notes=notes,
            reads_note=notes is not None or (patients is not None and patients.reads_notes),
            reads_visits=patients is not None and patients.reads_history,
        )
    )


def asset(name: str) -> bytes:
    """A file of ASSETS."""
    return (resources.files("mera.commands.serve") / "templates" / name).read_bytes()


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("mera.commands.serve"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
