"""Pages of single patients (`--with-examples`): history, notes with their evidence, all models' rankings side by side.

The first examples of the split are shown, not chosen ones. These pages are the only part of a report that holds
patients' data.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from mera.report.measures.load import Comparable
from mera.report.page.render import ExamplePage, environment
from mera.runs.predictions import Predictions, read_predictions

SHOWN_CODES = 20
"""Codes listed for each model; more where more are predicted."""
MOST_CODES = 60


def make_pages(group: Comparable, section: dict[str, Any], count: int, prefix: str) -> list[ExamplePage]:
    """A page for each of the first `count` examples; fewer where the prediction folders know of fewer."""
    known = len(group.example_ids) if group.context is None else group.context.height
    count = min(count, known)
    rankings: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    labels = {run["run"]: run["label"] for run in section["runs"]}
    runs = {run.name: run for run in map(read_predictions, group.paths)}
    for name, label in labels.items():
        for row in range(count):
            rankings[row].append(_ranking(runs[name], label, row))
    template = environment().get_template("example.html.j2")
    found = []
    for row in range(count):
        title = f"Example {row + 1}"
        context = {
            "title": title,
            "task": section["task"],
            "facts": _facts(group, row),
            "visits": _visits(group, row),
            "note": _note(group, row, rankings[row]),
            "rankings": rankings[row],
            "depth": max(len(ranking["codes"]) for ranking in rankings[row]),
            "truths": _truths(group, row, rankings[row]),
        }
        found.append(ExamplePage(name=f"examples/{prefix}{row + 1}.html", title=title, html=template.render(**context)))
    return found


def _ranking(run: Predictions, label: str, row: int) -> dict[str, Any]:
    order = np.argsort(-run.scores[row], kind="stable")
    num_retrievable = int(np.count_nonzero(~np.isneginf(run.scores[row])))
    predicted = int(run.predicted[row].sum())
    shown = order[: min(max(SHOWN_CODES, predicted), MOST_CODES, num_retrievable)]
    codes = run.codes["code"].to_list()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return {
        "label": label,
        "run": run.name,
        "has_threshold": bool(math.isfinite(run.thresholds[row])),
        "num_predicted": predicted,
        "places": {
            codes[column]: None if np.isneginf(run.scores[row, column]) else int(places[column]) + 1
            for column in np.flatnonzero(run.targets[row])
        },
        "evidence": run.records.get("evidence", {}).get(str(row), {}),
        "codes": [
            {
                "code": codes[column],
                "definition": run.codes["definition"][int(column)] if "definition" in run.codes.columns else "",
                "predicted": place < predicted,
                "last_predicted": place + 1 == predicted,
                "true": bool(run.targets[row, column]),
                "seen": bool(run.seen[row, column]),
            }
            for place, column in enumerate(shown)
        ],
    }


def _facts(group: Comparable, row: int) -> str:
    facts = [f"example {group.example_ids[row]}"]
    if group.ages is not None and math.isfinite(group.ages[row]):
        facts.append(f"{group.ages[row]:.0f} years")
    if group.sexes is not None and group.sexes[row]:
        facts.append(f"sex {group.sexes[row]}")
    if group.previous_visits is not None and group.previous_visits[row]:
        count = int(group.previous_visits[row])
        facts.append(f"{count} previous visit{'s' if count > 1 else ''}")
    return ", ".join(facts)


def _visits(group: Comparable, row: int) -> list[dict[str, Any]]:
    """Oldest first; where the folders hold no history, the codes seen before as one entry."""
    definition = _definitions(group)
    if group.context is not None and "history" in group.context.columns:
        history = group.context["history"][row]
        visits = [] if history is None else history.to_list()
    else:
        seen = [group.codes["code"][int(column)] for column in np.flatnonzero(group.seen[row])]
        visits = [{"codes": seen, "days_before": None}] if seen else []
    return [
        {
            "days_before": visit["days_before"],
            "codes": [{"code": code, "definition": definition.get(code, "")} for code in visit["codes"]],
            "note": visit.get("text"),
        }
        for visit in visits
    ]


def _note(group: Comparable, row: int, rankings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The note cut where evidence begins or ends: pieces of text, each with what it is evidence for."""
    if group.context is None or "text" not in group.context.columns or not group.context["text"][row]:
        return []
    text = group.context["text"][row]
    spans = []
    if "evidence" in group.context.columns and group.context["evidence"][row] is not None:
        spans = [(span["start"], span["end"], f"{span['code']} (annotated)") for span in group.context["evidence"][row]]
    for ranking in rankings:
        for code, places in ranking["evidence"].items():
            spans += [(start, end, f"{code} ({ranking['label']})") for start, end in places]
    cuts = sorted({0, len(text), *(place for span in spans for place in span[:2] if 0 < place < len(text))})
    return [
        {
            "text": text[start:end],
            "evidence": [label for first, last, label in spans if first <= start and end <= last],
        }
        for start, end in pairwise(cuts)
    ]


def _truths(group: Comparable, row: int, rankings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    definition = _definitions(group)
    codes = [group.codes["code"][int(column)] for column in np.flatnonzero(group.targets[row])]
    return [
        {
            "code": code,
            "definition": definition.get(code, ""),
            "seen": bool(group.seen[row, group.codes["code"].index_of(code)]),
            "places": [ranking["places"][code] for ranking in rankings],
        }
        for code in codes
    ]


def _definitions(group: Comparable) -> dict[str, str]:
    if "definition" not in group.codes.columns:
        return {}
    return dict(zip(group.codes["code"], group.codes["definition"], strict=True))
