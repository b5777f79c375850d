"""Code by code: the table as a file and for the page, and which codes the best model predicts in whose place."""

import csv
import io
import json

import numpy as np

from mera.report.comparison.codes import CodeFigures, CodeTable
from mera.report.comparison.compare import Comparison
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.measures.sets.code_counts import NO_CODE
from mera.report.page.part import Part
from mera.report.page.tables import Cell, CellValue, Column, Row, Table, plain_cell

EMBEDDED_MODELS = 10
"""Models whose figures the page holds: with 10,000 codes they take some 100 kB each."""
CONFUSED_PAIRS = 15


def confusion_parts(comparison: Comparison) -> list[Part]:
    """Of the best model that sets a threshold; nothing where it predicts no named code in another's place."""
    table = comparison.codes
    best = next((run for run in competitors(comparison.runs) if run.name in table.runs), None)
    if best is None:
        return []
    counts = table.runs[best.name]
    confusions = np.where(_with_named_confusion(table, best), counts.confusions[: len(table.codes)], 0)
    order = np.lexsort((np.arange(len(confusions)), -confusions))[:CONFUSED_PAIRS]
    rows = []
    for place in order[confusions[order] > 0].tolist():
        instead, figures = int(counts.confused[place]), table.figures(best.name, place)
        values: list[CellValue] = [table.definitions[place], table.codes[instead], table.definitions[instead]]
        values += [int(confusions[place]), figures.examples - figures.hits, figures.examples]
        rows.append(Row(label=table.codes[place], cells=[Cell(value=value) for value in values]))
    if not rows:
        return []
    return [
        Part(
            key="confusions",
            title=f"Codes that {best.label} confuses",
            text="Where a true code is not predicted, the wrongly predicted code of the same example that is nearest "
            f"to it in the ontology stands in its place, unless not even the chapter is the same.{_unnamed(table)}",
            tables=[
                Table(
                    name="confusions",
                    corner="True code",
                    caption=f"The {len(rows)} most frequent confusions, each true code with the code that most often "
                    "stands in its place. tables/codes.csv has every code and every model.",
                    columns=[
                        Column(key="definition", label="Definition"),
                        Column(key="predicted", label="Predicted instead"),
                        Column(key="predicted_definition", label="Its definition"),
                        Column(key="confusions", label="Times", format="whole"),
                        Column(key="missed", label="Missed", format="whole"),
                        Column(key="examples", label="True", format="whole"),
                    ],
                    rows=rows,
                )
            ],
        )
    ]


def codes_csv(comparison: Comparison) -> str:
    """Every candidate that may be named, in their order, and each run's figures on it; those that may not be named in
    the last line, together. A cell is empty where there is no number or it may not be given."""
    table = comparison.codes
    runs = [run for run in comparison.runs if run.name in table.runs]
    figures = ("predicted", "recall", "precision", "f1", "confused_with", "confused_definition", "confusions")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = [f"{run.name}_{figure}" for run in runs for figure in figures]
    lines: list[list[CellValue]] = [["code", "definition", "train_examples", "test_examples", *header]]
    counted, confused = table.is_counted, {run.name: _with_named_confusion(table, run) for run in runs}
    for place in np.flatnonzero(table.is_named).tolist():
        line: list[CellValue] = [table.codes[place], table.definitions[place], int(table.train_examples[place])]
        line.append(int(table.test_examples[place]) if counted[place] else None)
        for run in runs:
            line += _figures(table.figures(run.name, place)) if counted[place] else [None] * 4
            line += _confusion(table, run, place) if confused[run.name][place] else [None] * 3
        lines.append(line)
    unnamed = ~table.is_named
    if unnamed.any():
        words = f"{int(unnamed.sum())} codes of fewer than {table.least_patients} patients"
        line = [None, words, int(table.train_examples[unnamed].sum()), int(table.test_examples[unnamed].sum())]
        for run in runs:
            line += [*_figures(table.together(run.name, unnamed)), None, None, None]
        lines.append(line)
    for line in lines:
        writer.writerow(["" if value is None else plain_cell(value) for value in line])
    return buffer.getvalue()


def codes_json(comparison: Comparison) -> str:
    """The same for a script of the page, of at most EMBEDDED_MODELS models, without spaces and without `<`.

    `codes`, `definitions`, `train`, `test`: a list each, of the codes that may be named; -1 in `test` where the number
    may not be given, and then every figure of that code is 0. `models`: `label`, `run`, `predicted` and `hits` (a list
    each), and `confused`: place in the lists -> [place of the code in its stead, times]. Recall is hits / test,
    precision hits / predicted, F1 2 hits / (predicted + test). `unnamed`: codes left out, of fewer than
    `least_patients` patients. `models_left_out`: models with such figures beyond the first so many.
    """
    table = comparison.codes
    places = np.flatnonzero(table.is_named)
    place_on_page = np.full(len(table.codes), NO_CODE)
    place_on_page[places] = np.arange(len(places))
    counted = table.is_counted[places]
    runs = [run for run in _one_of_each_model(comparison) if run.name in table.runs]
    models = []
    for run in runs[:EMBEDDED_MODELS]:
        counts = table.runs[run.name]
        confused = places[_with_named_confusion(table, run)[places]]
        instead = place_on_page[counts.confused[confused]].tolist()
        times = counts.confusions[confused].tolist()
        models.append(
            {
                "label": run.label,
                "run": run.name,
                "predicted": np.where(counted, counts.predicted[places], 0).tolist(),
                "hits": np.where(counted, counts.hits[places], 0).tolist(),
                "confused": {
                    str(place): [other, count]
                    for place, other, count in zip(place_on_page[confused].tolist(), instead, times, strict=True)
                },
            }
        )
    content = {
        "least_patients": table.least_patients,
        "unnamed": len(table.codes) - len(places),
        "models_left_out": max(0, len(runs) - EMBEDDED_MODELS),
        "codes": [table.codes[place] for place in places.tolist()],
        "definitions": [table.definitions[place] for place in places.tolist()],
        "train": table.train_examples[places].tolist(),
        "test": np.where(counted, table.test_examples[places], -1).tolist(),
        "models": models,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _one_of_each_model(comparison: Comparison) -> list[ComparedRun]:
    """The runs without those that are a further seed of one before."""
    further = {name for group in comparison.seeds for name in group.runs[1:]}
    return [run for run in comparison.runs if run.name not in further]


def _with_named_confusion(table: CodeTable, run: ComparedRun) -> np.ndarray:
    """(C,) bool: codes whose confusion may be given, with that of a code that may be named."""
    counts = table.runs[run.name]
    confused = counts.confused[: len(table.codes)]
    known = confused != NO_CODE
    known[known] = table.is_named[confused[known]]
    usable: np.ndarray = known & table.is_counted
    return usable


def _figures(figures: CodeFigures) -> list[CellValue]:
    return [figures.predicted, figures.recall, figures.precision, figures.f1]


def _confusion(table: CodeTable, run: ComparedRun, place: int) -> list[CellValue]:
    counts = table.runs[run.name]
    instead = int(counts.confused[place])
    return [table.codes[instead], table.definitions[instead], int(counts.confusions[place])]


def _unnamed(table: CodeTable) -> str:
    unnamed = int((~table.is_counted).sum())
    if not unnamed:
        return ""
    return (
        f" {unnamed:,} of the {len(table.codes):,} candidates are left out here: fewer than {table.least_patients} "
        "patients have them, and a rare code can name a patient."
    )
