"""One line of Markdown a model, to be pasted beside others': what was scored, how many, and the main metrics.

Each line stands alone, as those of lm-evaluation-harness do: it names the task by its fingerprint, so that lines of two
reports can be told to be of the same task, and a published row its protocol and source.
"""

import re
from collections.abc import Sequence

from mera.report.comparison.compare import Comparison
from mera.report.comparison.published import PublishedRow
from mera.report.comparison.runs import ComparedRun
from mera.report.measures.measure import METRICS
from mera.report.text import DASH, interval, percent

ROW_METRICS = ("recall@10", "recall@20", "weighted_f1_at_label_count", "micro_f1", "macro_f1", "map")
LEADING_COLUMNS = ("Model", "Task", "Split", "Examples", "Candidates", "Seeds")


def markdown_rows(comparison: Comparison) -> str:
    """A table with its header: the models that are shown, oracles first, then the published rows. Percent, with 95%
    intervals over patients in brackets."""
    labels = {metric.key: metric.label for metric in METRICS}
    seeds = {group.runs[0]: len(group.runs) for group in comparison.seeds}
    lines = [
        _line([*LEADING_COLUMNS, *(labels[key] for key in ROW_METRICS)]),
        _line(["---"] * 3 + ["---:"] * (len(LEADING_COLUMNS) - 3 + len(ROW_METRICS))),
        *(_line(_of_run(comparison, run, seeds.get(run.name, 1))) for run in comparison.shown.runs),
        *(_line(_of_paper(row)) for row in comparison.published),
    ]
    return "\n".join(lines)


def _of_run(comparison: Comparison, run: ComparedRun, num_seeds: int) -> list[str]:
    task = comparison.task
    values = [run.metrics[key] for key in ROW_METRICS]
    return [
        run.label,
        f"{task.name or 'unnamed'}@{task.fingerprint[:8]}",
        task.split,
        f"{comparison.examples}",
        f"{comparison.candidates.number}",
        f"{num_seeds}",
        *(percent(value.value) + (f" ({interval(value)})" if value.low is not None else "") for value in values),
    ]


def _of_paper(row: PublishedRow) -> list[str]:
    model = f"{row.model} (published: {row.source})"
    differs = f"; differs in {'; '.join(row.differs)}" if row.differs else ""
    values = [percent(row.metrics.get(key)) for key in ROW_METRICS]
    return [model, f"{row.protocol}{differs}", "published", DASH, DASH, DASH, *values]


def markdown_cell(value: object) -> str:
    """A text that cannot break out of its table cell or become markup, of Markdown or of the HTML it may hold."""
    text = re.sub(r"([\\|`*_\[\]])", r"\\\1", " ".join(str(value).split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(entries: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown_cell, entries))} |"
