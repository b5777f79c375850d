"""The parts about each run by itself: its set sizes, calibration, widths, memorisation, training, cost, data card."""

from collections.abc import Callable
from typing import Any

from mera.report.measures.candidates import rule_in_words
from mera.report.measures.records import WIDTH_METRICS
from mera.report.page.drawing import Figure
from mera.report.page.parts import Part, run_row
from mera.report.page.tables import Cell, Column, Row, Table, cell, without_empty_columns
from mera.report.text import hardware, number, percent

FigureFinder = Callable[..., list[Figure]]


def run_parts(section: dict[str, Any], figures: FigureFinder) -> list[Part]:
    """Every part that some run has the numbers for."""
    return [
        _decisions(section, figures),
        *_calibration(section, figures),
        *_widths(section, figures),
        *_memorization(section),
        *_training(section, figures),
        _cost(section),
        _data_card(section),
    ]


def _decisions(section: dict[str, Any], figures: FigureFinder) -> Part:
    columns = [
        Column(key="mean_predicted", label="Predicted, mean", format="tenths"),
        Column(key="mean_absolute_error", label="Absolute error, mean", format="tenths"),
        Column(key="spearman", label="Spearman", format="hundredths"),
        Column(key="micro_precision", label="Precision, %", format="percent"),
        Column(key="micro_recall", label="Recall, %", format="percent"),
        Column(key="rows_without_prediction", label="Empty sets, %", format="percent"),
    ]
    table = Table(
        name="set-size",
        caption="Codes above the model's own threshold against the true number "
        f"({number(section['targets_per_example'], 1)} per example). Spearman: rank correlation of predicted and true "
        "number over examples.",
        columns=columns,
        rows=[
            run_row(run, [cell((run["set_size"] or {}).get(column.key)) for column in columns])
            for run in section["runs"]
        ],
    )
    drawn = figures("set-size", "precision-recall")
    tables = [table, *_thresholds(section)]
    return Part(key="set-size", title="How many codes are predicted", tables=tables, figures=drawn)


def _thresholds(section: dict[str, Any]) -> list[Table]:
    runs = [run for run in section["runs"] if run["manifest"].get("threshold")]
    if not runs:
        return []
    columns = [
        Column(key="eov_share", label="EOV's share of the threshold", format="hundredths"),
        Column(key="validation_micro_f1_eov", label="EOV as trained: micro F1, validation", format="percent"),
        Column(key="validation_micro_f1", label="Fitted: micro F1, validation", format="percent"),
        Column(key="validation_micro_f1_fixed", label="Best fixed threshold: micro F1, validation", format="percent"),
    ]
    return [
        Table(
            name="thresholds",
            caption="On the validation split, where the threshold was fitted: the EOV token's score as it was trained; "
            "the threshold that is used, EOV's share and the rest from the scores' log-sum-exp, plus a constant; and "
            "for comparison the best of all fixed thresholds on log-probabilities.",
            columns=columns,
            rows=[
                run_row(run, [Cell(value=run["manifest"]["threshold"].get(column.key)) for column in columns])
                for run in runs
            ],
        )
    ]


def _calibration(section: dict[str, Any], figures: FigureFinder) -> list[Part]:
    runs = [run for run in section["runs"] if run["reliability"]]
    if not runs:
        return []
    columns = [
        Column(key="ece_first", label="Calibration error, first 20 codes, points", format="percent"),
        Column(key="ece", label="Calibration error, all codes", format="ten-thousandths"),
        Column(key="brier", label="Brier score, all codes", format="ten-thousandths"),
    ]
    table = Table(
        name="calibration",
        caption="Expected calibration error: mean distance between probability and share that is true, over 10 groups. "
        "Over all codes nearly every pair is a certain negative, so those two numbers are small for every model; the "
        "first compares only what a reader would look at. Lower is better.",
        columns=columns,
        rows=[run_row(run, [cell(run["reliability"][column.key]) for column in columns]) for run in runs],
    )
    return [Part(key="calibration", title="Calibration", tables=[table], figures=figures("calibration"))]


def _widths(section: dict[str, Any], figures: FigureFinder) -> list[Part]:
    rows = []
    for run in section["runs"]:
        for width in run["widths"]:
            cells = [Cell(value=width["metrics"].get(key)) for key in WIDTH_METRICS]
            rows.append(
                run_row(
                    run,
                    [
                        Cell(value=width["width"]),
                        *cells,
                        Cell(value=width.get("queries_per_second")),
                        Cell(value=width.get("bytes_per_code")),
                    ],
                )
            )
    if not rows:
        return []
    table = Table(
        name="widths",
        caption="On the validation split, without a prior. Speed: exact search among all candidates with embeddings of "
        "this width, embedding of the query not counted, on the hardware of the run.",
        columns=[
            Column(key="width", label="Width", format="whole"),
            *(Column(key=key, label=f"{label}, validation", format="percent") for key, label in WIDTH_METRICS.items()),
            Column(key="queries_per_second", label="Queries per second", format="whole"),
            Column(key="bytes_per_code", label="Index, per code", format="bytes"),
        ],
        rows=rows,
    )
    return [
        Part(
            key="widths",
            title="Matryoshka: quality and speed over width",
            tables=[table],
            figures=figures("widths", "widths-speed"),
        )
    ]


def _memorization(section: dict[str, Any]) -> list[Part]:
    rows = []
    for run in section["runs"]:
        rows += [
            run_row(run, [Cell(value=kind["kind"]), Cell(value=kind["before"]), Cell(value=kind["after"])])
            for kind in run["memorization"]
        ]
    if not rows:
        return []
    table = Table(
        name="memorization",
        caption="Exact match of the model that stage two started from, before and after stage one, in percent of the "
        "questions. Held-out synonyms were never trained on.",
        columns=[
            Column(key="question", label="Question"),
            Column(key="before", label="Before", format="percent"),
            Column(key="after", label="After", format="percent"),
        ],
        rows=rows,
    )
    return [Part(key="memorization", title="What stage one memorized", tables=[table])]


def _training(section: dict[str, Any], figures: FigureFinder) -> list[Part]:
    rows = []
    for run in section["runs"]:
        if not run["training"]:
            continue
        curve = run["training"]["validation"].get("recall_at_20") or []
        best = max(curve, key=lambda point: point[1]) if curve else (None, None)
        loss = run["training"]["loss"]
        cells = [
            Cell(value=loss[0][1] if loss else None),
            Cell(value=loss[-1][1] if loss else None),
            Cell(value=best[0]),
            Cell(value=best[1]),
            Cell(value=curve[-1][0] if curve else None),
        ]
        rows.append(run_row(run, cells))
    if not rows:
        return []
    table = Table(
        name="training",
        caption="Training loss as first and last logged, and the epoch with the best validation recall@20. A best "
        "epoch that is the last one says that training longer might help.",
        columns=[
            Column(key="first_loss", label="Loss, first", format="hundredths"),
            Column(key="last_loss", label="Loss, last", format="hundredths"),
            Column(key="best_epoch", label="Best epoch", format="tenths"),
            Column(key="best_recall@20", label="Recall@20 there, validation", format="percent"),
            Column(key="epochs", label="Epochs", format="tenths"),
        ],
        rows=rows,
    )
    return [Part(key="training", title="Training", tables=[table], figures=figures("training"))]


def _cost(section: dict[str, Any]) -> Part:
    def row(run: dict[str, Any]) -> Row:
        manifest = run["manifest"]
        memory = manifest.get("peak_memory") or {}
        energy = manifest.get("energy_joules")
        cells = [
            manifest.get("seconds"),
            run["stage_one_seconds"],
            memory.get("host_bytes"),
            memory.get("gpu_bytes"),
            manifest.get("tokens"),
            None if energy is None else energy / 3.6e6,
            hardware(manifest.get("hardware")),
            manifest.get("started_at"),
        ]
        return run_row(run, [Cell(value=value) for value in cells])

    table = Table(
        name="cost",
        caption="The run that wrote the predictions, on the hardware it ran on; peaks are of one process. Times on "
        "different hardware do not compare. What no run has recorded is left out.",
        columns=[
            Column(key="seconds", label="Time", format="duration"),
            Column(key="stage_one_seconds", label="Stage one before it", format="duration"),
            Column(key="host_bytes", label="Peak memory", format="bytes"),
            Column(key="gpu_bytes", label="Peak GPU memory", format="bytes"),
            Column(key="tokens", label="Tokens trained on", format="whole"),
            Column(key="kilowatt_hours", label="Energy, kWh", format="hundredths"),
            Column(key="hardware", label="Hardware"),
            Column(key="started_at", label="Started"),
        ],
        rows=[row(run) for run in section["runs"]],
    )
    return Part(key="cost", title="Cost", tables=[without_empty_columns(table)])


def _data_card(section: dict[str, Any]) -> Part:
    task = section["task"]
    counts = task.get("counts") or {
        task["split"]: {
            "examples": section["examples"],
            "patients": section["patients"],
            "targets": section["targets"],
        }
    }
    known = {
        "source": "Source",
        "edition": "Codes",
        "kind": "Task",
        "protocol": "Split",
    }
    facts = [f"{label}: {task[key]}" for key, label in known.items() if task.get(key)]
    facts.append(f"Candidates: {section['candidates']:,} codes ({rule_in_words(section)})")
    outside = section["outside_candidates"]
    if outside["targets"]:
        facts.append(
            f"True codes outside the candidates, counted as missed: {outside['targets']:,} of {section['targets']:,} "
            f"({percent(outside['share'])}%)"
        )
    dropped = [f"{count:,} x {reason}" for reason, count in _counts(task.get("dropped")).items()]
    unknown = _counts(task.get("unknown_code_counts"))
    if dropped:
        facts.append(f"Dropped rows: {'; '.join(dropped)}")
    if unknown.get("distinct"):
        facts.append(
            f"Codes that the ontology does not know: {unknown['distinct']:,} in {unknown.get('rows', 0):,} rows"
        )
    table = Table(
        name="data",
        corner="Split",
        caption="The prepared task. No patient is in two splits; where a prediction folder names the patients its "
        "model was trained on, the report checks it again. Input files and their sha256 are in the task record below.",
        columns=[
            Column(key="examples", label="Examples", format="whole"),
            Column(key="patients", label="Patients", format="whole"),
            Column(key="targets", label="True codes", format="whole"),
            Column(key="outside", label="Outside the candidates", format="whole"),
            Column(key="outside_share", label="Share of the true codes, %", format="percent"),
        ],
        rows=[
            Row(label=name, cells=[Cell(value=value) for value in _split_values(section, name, split)])
            for name, split in counts.items()
        ],
    )
    return Part(key="data", title="Data card", text=". ".join(facts) + ".", tables=[table])


def _split_values(section: dict[str, Any], name: str, split: dict[str, Any]) -> list[float | None]:
    """Examples, patients, true codes, those outside the candidates, and their share."""
    recorded = (section["task"].get("outside_candidates") or {}).get(name) or {}
    outside = section["outside_candidates"] if name == section["task"]["split"] else recorded
    targets, missed = split.get("targets"), outside.get("targets")
    share = missed / targets if targets and missed is not None else None
    return [split.get("examples"), split.get("patients"), targets, missed, share]


def _counts(found: Any) -> dict[str, int]:
    """The whole numbers of a mapping; what else a task record may hold has its place in the record itself."""
    return {key: count for key, count in found.items() if isinstance(count, int)} if isinstance(found, dict) else {}
