"""Prediction folders in, report folder out."""

import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mera.report.compare import compare
from mera.report.figures import draw_figures
from mera.report.load import group_runs
from mera.report.measure import METRICS
from mera.report.page import render_html, render_markdown

FORMAT = 1


def write_report(
    run_paths: Sequence[str | Path],
    output: str | Path,
    *,
    by_task: bool = False,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    date_line: bool = True,
) -> Path:
    """Compare the runs and write `output`: index.html, report.md, report.json, figures/*.svg. Returns index.html.

    `run_paths`: run directories or prediction folders, all of one task unless `by_task`, which gives each task a
    section. `bootstrap_samples` and `seed` fix the resamples; the same inputs give the same bytes, but for the date
    line, which `date_line=False` leaves out. `output` is written beside and renamed: complete or as it was before.

    Raises FileNotFoundError where a run has no predictions; ValueError where runs cannot be compared, or where
    `output` holds something that is not a report.
    """
    output = Path(output) if Path(output).name else Path(output).resolve()
    _check_replaceable(output)
    groups = group_runs(run_paths, by_task)
    report = {
        "format": FORMAT,
        "bootstrap": {"unit": "patient", "samples": bootstrap_samples, "seed": seed, "level": 0.95},
        "metrics": [{"key": metric.key, "label": metric.label, "meaning": metric.meaning} for metric in METRICS],
        "tasks": [compare(group, bootstrap_samples, seed) for group in groups],
    }
    figures = [
        draw_figures(section, prefix=f"task-{number}-" if len(groups) > 1 else "")
        for number, section in enumerate(report["tasks"], start=1)
    ]
    date = datetime.now(UTC).date().isoformat() if date_line else None
    files = {
        "index.html": render_html(report, figures, date),
        "report.md": render_markdown(report, figures, date),
        "report.json": json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    } | {f"figures/{figure.name}.svg": figure.svg for drawn in figures for figure in drawn}
    return _write_folder(output, files) / "index.html"


def _check_replaceable(output: Path) -> None:
    if output.is_dir() and any(output.iterdir()) and not (output / "report.json").is_file():
        raise ValueError(f"{output} holds something that is not a report; choose another --output")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; --output must be a folder")


def _write_folder(output: Path, files: dict[str, str]) -> Path:
    partial, before = (output.with_name(f".{output.name}.{ending}") for ending in ("partial", "before"))
    for leftover in (partial, before):
        shutil.rmtree(leftover, ignore_errors=True)
    for name, content in files.items():
        path = partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
    if output.exists():
        os.replace(output, before)
    os.replace(partial, output)
    shutil.rmtree(before, ignore_errors=True)
    return output
