"""Prediction folders in, report folder out."""

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from mera.report.comparison.compare import compare
from mera.report.comparison.words.summary import TaskReport, task_report
from mera.report.json_form import as_json, json_text
from mera.report.measures.load import Comparable, group_runs
from mera.report.measures.measure import METRICS
from mera.report.page.contents import ALL, EVIDENCE, METHOD, chosen_sections, questions
from mera.report.page.drawing.figure import svg_file
from mera.report.page.example_pages import make_pages
from mera.report.page.first_screen import first_screen
from mera.report.page.parts.groups.codes import codes_csv, codes_json
from mera.report.page.render import Bootstrap, Heading, Report, Section, render_html, render_markdown
from mera.report.page.tables import to_csv, to_latex
from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock
from mera.system.folder_replacement import replace_folder, restore_folder
from mera.system.private_files import private_files

FORMAT = 3
"""Of report.json: `mera/report/report_schema.py`."""


def write_report(
    run_paths: Sequence[str | Path],
    output: str | Path,
    *,
    by_task: bool = False,
    bootstrap_samples: int = 1000,
    seed: int = 0,
    date_line: bool = True,
    reference: str | None = None,
    with_examples: int = 0,
    title: str | None = None,
    subtitle: str | None = None,
    author: str | None = None,
    sections: str = ALL,
    rare_codes: bool = False,
) -> Path:
    """Compare the runs and write `output`: index.html, report.md, report.json, figures/*.svg, tables/*.csv and *.tex.

    `run_paths`: run directories or prediction folders, all of one task unless `by_task`, which gives each task a
    section. `bootstrap_samples` and `seed` fix the resamples; the same inputs give the same bytes, but for the date
    line, which `date_line=False` leaves out. `reference`: the run that the ablations are compared with, by its name.
    `with_examples`: pages of the first so many patients, with history and note: the only part of a report that holds
    patients' data. `rare_codes`: codes of few patients are named too (`comparison/codes.py`). `title`, `subtitle` and
    `author` stand above it. `sections`: `core`, `all` or the questions of the page that are answered, with commas
    between; report.json holds every number whatever is chosen. `output` is written beside and renamed: complete or as
    it was before. Returns index.html.

    Raises FileNotFoundError where a run has no predictions; UserError where runs cannot be compared, where no run is
    called `reference` and no section as `sections` says, where `output` holds something that is not a report, or
    another process writes it.
    """
    chosen = chosen_sections(sections)
    date = datetime.now(UTC).date().isoformat() if date_line else None
    heading = Heading(title=title, subtitle=subtitle, author=author, date=date)
    # A link stays a link: what it points to is replaced.
    output = Path(output).resolve() if Path(output).is_symlink() or not Path(output).name else Path(output)
    lock = FolderLock(output.with_name(f".{output.name}.partial"))
    try:
        restore_folder(output)
        _check_replaceable(output)
        lock.clear()
        files, private = _contents(
            run_paths,
            by_task=by_task,
            bootstrap_samples=bootstrap_samples,
            seed=seed,
            reference=reference,
            with_examples=with_examples,
            heading=heading,
            chosen=chosen,
            rare_codes=rare_codes,
        )
        _write_files(lock.folder, files, private)
        replace_folder(lock.folder, output)
        lock.release(output)
    except BaseException:
        shutil.rmtree(lock.folder, ignore_errors=True)
        lock.release()
        raise
    return output / "index.html"


def _contents(
    run_paths: Sequence[str | Path],
    *,
    by_task: bool,
    bootstrap_samples: int,
    seed: int,
    reference: str | None,
    with_examples: int,
    heading: Heading,
    chosen: frozenset[str],
    rare_codes: bool,
) -> tuple[dict[str, str], set[str]]:
    """File name -> content, and the names of those that hold patients' data."""
    groups = group_runs(run_paths, by_task)
    report = Report(
        format=FORMAT,
        bootstrap=Bootstrap(unit="patient", samples=bootstrap_samples, seed=seed, level=0.95),
        metrics=METRICS,
        tasks=tuple(task_report(compare(group, bootstrap_samples, seed, reference, rare_codes)) for group in groups),
    )
    _check_reference(report, reference)
    prefixes = [f"task-{number}-" if len(groups) > 1 else "" for number in range(1, len(groups) + 1)]
    sections = [
        _section(group, task, prefix, with_examples, chosen)
        for group, task, prefix in zip(groups, report.tasks, prefixes, strict=True)
    ]
    private = {page.name for section in sections for page in section.pages}
    files = {
        "index.html": render_html(report, sections, heading, with_method=METHOD in chosen),
        "report.md": render_markdown(report, sections, heading, with_method=METHOD in chosen),
        "report.json": json_text(as_json(report)) + "\n",
    }
    for section, prefix in zip(sections, prefixes, strict=True):
        files[f"tables/{prefix}codes.csv"] = codes_csv(section.task_report.comparison)
        parts = [part for question in section.questions for part in question.parts]
        figures = [section.screen.figure, *(figure for part in parts for figure in part.figures)]
        files |= {f"figures/{figure.name}.svg": svg_file(figure) for figure in figures}
        files |= {page.name: page.html for page in section.pages}
        for table in [section.screen.table, *(table for part in parts for table in part.tables)]:
            files[f"tables/{prefix}{table.name}.csv"] = to_csv(table)
            files[f"tables/{prefix}{table.name}.tex"] = to_latex(table)
    return files, private


def _section(group: Comparable, task: TaskReport, prefix: str, with_examples: int, chosen: frozenset[str]) -> Section:
    pages = make_pages(group, task.comparison, with_examples, prefix) if with_examples else []
    return Section(
        task_report=task,
        screen=first_screen(task.comparison, prefix),
        codes=codes_json(task.comparison),
        questions=[question for question in questions(task, prefix, chosen) if pages or question.key != EVIDENCE],
        pages=pages,
    )


def _check_reference(report: Report, reference: str | None) -> None:
    names = [run.name for task in report.tasks for run in task.comparison.runs]
    if reference is not None and reference not in names:
        raise UserError(f"no run is called {reference!r}; the runs are {', '.join(names)}")


def _check_replaceable(output: Path) -> None:
    if output.is_dir() and any(output.iterdir()) and not (output / "report.json").is_file():
        raise UserError(f"{output} holds something that is not a report; choose another --output")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; --output must be a folder")


def _write_files(folder: Path, files: dict[str, str], private: set[str]) -> None:
    """`private` names the files that hold patients' data, which have folders of their own."""
    for name, content in files.items():
        path = folder / name
        with private_files() if name in private else nullcontext():
            path.parent.mkdir(exist_ok=True)
            try:
                path.write_text(content, encoding="utf-8", newline="\n")
            except OSError as error:
                cause = error.strerror or type(error).__name__
                raise OSError(f"cannot write {path}: {cause}; what was there before is as it was") from None
