"""Pages of single patients (`--with-examples`): history, notes with their evidence, all models' rankings side by side.

The first examples of the split are shown, not chosen ones. These pages are the only part of a report that holds
patients' data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mera.report.comparison.compare import Comparison
from mera.report.measures.load import Comparable
from mera.report.page.render import ExamplePage, environment
from mera.runs.predictions import Predictions, read_predictions

LISTED_CODES = 20
"""Codes listed for each model; more where more are predicted."""
MOST_CODES = 60

Spans = Mapping[str, Sequence[tuple[int, int]]]
"""Code -> (start, end) of its evidence, in characters of the note."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotePiece:
    """A text in which the same evidence holds from its first character to its last."""

    text: str
    evidence: Sequence[str]
    """What it is evidence for, and by whom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedCode:
    code: str
    definition: str
    predicted: bool
    last_predicted: bool
    """The threshold lies below it."""
    true: bool
    seen: bool
    """It stands in the example's history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """One model's ranking of the candidates for one example."""

    label: str
    has_threshold: bool
    num_predicted: int
    codes: Sequence[RankedCode]
    """The first of them."""
    places: Mapping[str, int | None]
    """True code -> its place among all, 1 for the first; None where it is no candidate."""
    evidence: Spans


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinedCode:
    code: str
    definition: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PastVisit:
    days_before: int | None
    codes: Sequence[DefinedCode]
    note: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueCode:
    code: str
    definition: str
    seen: bool
    places: Sequence[int | None]
    """In the ranking of each model."""


def make_pages(group: Comparable, comparison: Comparison, count: int, prefix: str) -> list[ExamplePage]:
    """A page for each of the first `count` examples; fewer where the prediction folders know of fewer."""
    known = len(group.example_ids) if group.context is None else group.context.height
    count = min(count, known)
    runs = {run.name: run for run in map(read_predictions, group.paths)}
    rankings = [[_ranking(runs[run.name], run.label, row) for row in range(count)] for run in comparison.runs]
    template = environment().get_template("example.html.j2")
    pages = []
    for row in range(count):
        of_example = [ranking[row] for ranking in rankings]
        title = f"Example {row + 1}"
        html = template.render(
            title=title,
            task=comparison.task,
            facts=_facts(group, row),
            visits=_visits(group, row),
            note=note_pieces(group, row, [(ranking.label, ranking.evidence) for ranking in of_example]),
            rankings=of_example,
            depth=max(len(ranking.codes) for ranking in of_example),
            truths=_truths(group, row, of_example),
        )
        pages.append(ExamplePage(name=f"examples/{prefix}{row + 1}.html", title=title, html=html))
    return pages


def _ranking(run: Predictions, label: str, row: int) -> Ranking:
    order = np.argsort(-run.scores[row], kind="stable")
    num_retrievable = int(np.count_nonzero(~np.isneginf(run.scores[row])))
    predicted = int(run.predicted[row].sum())
    first = order[: min(max(LISTED_CODES, predicted), MOST_CODES, num_retrievable)]
    codes = run.codes["code"].to_list()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return Ranking(
        label=label,
        has_threshold=math.isfinite(run.thresholds[row]),
        num_predicted=predicted,
        places={
            codes[column]: None if np.isneginf(run.scores[row, column]) else int(places[column]) + 1
            for column in np.flatnonzero(run.targets[row])
        },
        evidence=run.records.get("evidence", {}).get(str(row), {}),
        codes=[
            RankedCode(
                code=codes[column],
                definition=run.codes["definition"][int(column)] if "definition" in run.codes.columns else "",
                predicted=place < predicted,
                last_predicted=place + 1 == predicted,
                true=bool(run.targets[row, column]),
                seen=bool(run.seen[row, column]),
            )
            for place, column in enumerate(first)
        ],
    )


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


def _visits(group: Comparable, row: int) -> list[PastVisit]:
    """Oldest first; where the folders hold no history, the codes seen before as one entry."""
    definition = _definitions(group)
    if group.context is not None and "history" in group.context.columns:
        history = group.context["history"][row]
        visits = [] if history is None else history.to_list()
    else:
        seen = [group.codes["code"][int(column)] for column in np.flatnonzero(group.seen[row])]
        visits = [{"codes": seen, "days_before": None}] if seen else []
    return [
        PastVisit(
            days_before=visit["days_before"],
            codes=[DefinedCode(code=code, definition=definition.get(code, "")) for code in visit["codes"]],
            note=visit.get("text"),
        )
        for visit in visits
    ]


def _truths(group: Comparable, row: int, rankings: Sequence[Ranking]) -> list[TrueCode]:
    definition = _definitions(group)
    codes = [group.codes["code"][int(column)] for column in np.flatnonzero(group.targets[row])]
    return [
        TrueCode(
            code=code,
            definition=definition.get(code, ""),
            seen=bool(group.seen[row, group.codes["code"].index_of(code)]),
            places=[ranking.places[code] for ranking in rankings],
        )
        for code in codes
    ]


def _definitions(group: Comparable) -> dict[str, str]:
    if "definition" not in group.codes.columns:
        return {}
    return dict(zip(group.codes["code"], group.codes["definition"], strict=True))


def note_pieces(group: Comparable, row: int, spans_by_model: Sequence[tuple[str, Spans]]) -> list[NotePiece]:
    """The note of an example cut where evidence begins or ends; `spans_by_model`: with what tables call each run."""
    context = group.context
    if context is None or "text" not in context.columns or not context["text"][row]:
        return []
    text = context["text"][row]
    spans = []
    if "evidence" in context.columns and context["evidence"][row] is not None:
        spans = [(span["start"], span["end"], f"{span['code']} (annotated)") for span in context["evidence"][row]]
    for label, by_code in spans_by_model:
        for code, places in by_code.items():
            spans += [(start, end, f"{code} ({label})") for start, end in places]
    cuts = sorted({0, len(text), *(place for span in spans for place in span[:2] if 0 < place < len(text))})
    return [
        NotePiece(
            text=text[start:end], evidence=[label for first, last, label in spans if first <= start and end <= last]
        )
        for start, end in pairwise(cuts)
    ]
