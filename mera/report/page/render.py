"""The report as HTML and as Markdown."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
import yaml
from markupsafe import Markup

from mera.report import text
from mera.report.comparison.words.summary import TaskReport
from mera.report.json_form import JsonObject
from mera.report.measures.measure import METRICS, NEW_CODE_METRICS, Metric
from mera.report.page import tables
from mera.report.page.contents import METHOD, TITLES, Question
from mera.report.page.drawing.figure import Figure, inline_svg
from mera.report.page.first_screen import FirstScreen
from mera.report.page.markdown_rows import markdown_cell, markdown_rows

SCRIPTS = ("sort.js", "chart.js", "codes.js", "page.js")
METHOD_TEXTS = (
    (
        "Ties",
        "Equal scores are ranked by the order of the candidate codes. Examples without a true code are left out of "
        "means over examples; in the numbers of codes that are predicted they count.",
    ),
    (
        "Intervals",
        "Patients are drawn with replacement, with all their examples; the interval spans the middle 95% of the "
        "resampled values, centred on the observed one. All models share the resamples. Macro F1 and macro ROC-AUC "
        "rest on rare codes, which a resample of patients varies too little: their standard error, in intervals and "
        "tests, is never taken below the standard error of the mean over codes. Where all resamples "
        "have the same value there is no interval, as of one patient; but a share that all patients reach, or none, "
        "has the exact one (Clopper and Pearson).",
    ),
    (
        "Paired test",
        "The observed difference over its bootstrap standard error, against Student's t; two-sided. Where all patients "
        "differ by the same, it is the exact test that turns their signs. Holm's correction runs over all pairs of "
        "models and all metrics of a section. A difference is supported where the corrected p-value is below 0.05 and "
        "the interval leaves 0 out.",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamplePage:
    name: str
    """Path inside the report."""
    title: str
    html: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """How the intervals were made."""

    unit: str
    """What is drawn with replacement."""
    samples: int
    seed: int
    level: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What report.json holds."""

    format: int
    bootstrap: Bootstrap
    metrics: tuple[Metric, ...]
    tasks: tuple[TaskReport, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One task's part of the report, ready to be printed."""

    task_report: TaskReport
    screen: FirstScreen
    questions: Sequence[Question]
    codes: str
    """JSON of every code's figures, for the table of all codes."""
    pages: Sequence[ExamplePage] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading:
    """What stands above everything; None is left out, or made from the tasks where it must not be missing."""

    title: str | None = None
    subtitle: str | None = None
    author: str | None = None
    date: str | None = None


def render_html(report: Report, sections: Sequence[Section], heading: Heading, *, with_method: bool) -> str:
    """One page with everything inside: styles, drawings, tables, script. Texts from the manifests are escaped."""
    folder = resources.files("mera.report.page").joinpath("templates")
    script = "".join("\n" + folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The browser itself refuses any other script and any request.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    template = environment().get_template("report.html.j2")
    context = _context(report, sections, heading, with_method)
    return template.render(**context, script=Markup(script), security_policy=policy)


def render_markdown(report: Report, sections: Sequence[Section], heading: Heading, *, with_method: bool) -> str:
    """The same for a repository; figures are links to `figures/<name>.svg`. At the end a line for each model."""
    page = environment().get_template("report.md.j2").render(**_context(report, sections, heading, with_method))
    rows = [f"\n{markdown_rows(section.task_report.comparison)}\n" for section in sections]
    return "".join([f"{page.rstrip()}\n\n## One line a model\n", *rows])


def environment() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("mera.report.page"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "yaml": _as_yaml,
        "cell": markdown_cell,
        "inline_svg": _inline_figure,
        "script_json": _script_json,
    }
    templates.globals |= {
        "DASH": text.DASH,
        "printed": tables.printed,
        "printed_interval": tables.printed_interval,
        "zip": lambda *lists: zip(*lists, strict=True),
    }
    return templates


def _context(report: Report, sections: Sequence[Section], heading: Heading, with_method: bool) -> dict[str, object]:
    runs = [run for section in sections for run in section.task_report.comparison.runs]
    method = [
        (metric.label, f"{metric.meaning[0].upper()}{metric.meaning[1:]}.")
        for metric in METRICS
        if metric not in NEW_CODE_METRICS or any(run.metrics[metric.key].value is not None for run in runs)
    ]
    names = ", ".join(dict.fromkeys(section.task_report.comparison.task.name or "unnamed task" for section in sections))
    num_models = sum(len(section.task_report.comparison.shown.runs) for section in sections)
    models = f"{num_models} model{'s' if num_models > 1 else ''}"
    if len(runs) > num_models:
        models = f"{models} ({len(runs)} runs)"
    return {
        "report": report,
        "sections": sections,
        "title": heading.title or "Which model ranks ICD codes best?",
        "subtitle": heading.subtitle or f"{models} on {names}",
        "heading": heading,
        "method": [*method, *METHOD_TEXTS] if with_method else [],
        "method_titles": TITLES[METHOD],
    }


def _inline_figure(figure: Figure) -> Markup:
    return Markup(inline_svg(figure))


def _script_json(text: str) -> Markup:
    """JSON inside a script element: no `<` may end it early."""
    return Markup(text.replace("<", "\\u003c"))


def _as_yaml(value: JsonObject) -> str:
    printed: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return printed.strip()
