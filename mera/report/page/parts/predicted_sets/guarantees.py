"""Sets with a promise beside the models' own: how large they are, and what they miss, overall and by group."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.strata import StratifiedRecall
from mera.report.measures.sets.guarantees import NO_FOLDER, RISKS, PromisedSets, SetFigures
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Row, Table, cell
from mera.report.text import interval, number, percent

WIDE_STRATA = ("chapter",)
"""Too many groups for the table."""


def guarantee_parts(
    runs: Sequence[ComparedRun], strata: Sequence[StratifiedRecall], protocol: str | None
) -> list[Part]:
    """Nothing where no run holds its validation predictions."""
    with_promise = [run for run in runs if run.breakdown.guarantees.promised]
    if not with_promise:
        return []
    return [
        Part(
            key="guarantees",
            title="Sets with a promise",
            text=" ".join(guarantee_sentences(runs, protocol)),
            tables=[_overall(with_promise), *_by_group(with_promise, strata)],
        )
    ]


def guarantee_sentences(runs: Sequence[ComparedRun], protocol: str | None) -> list[str]:
    """What was promised, whether it held on the test split, and on what it rests."""
    with_promise = [run for run in runs if run.breakdown.guarantees.promised]
    shares = " or ".join(f"{risk:.0%}" for risk in RISKS)
    sentences = [
        f"Conformal risk control: a cut fitted on the validation split, so that on average over patients at most "
        f"{shares} of an example's true codes are missed (Angelopoulos et al., arXiv 2208.02814).",
    ]
    best = next((run for run in competitors(with_promise)), None)
    if best is not None:
        sentences += dict.fromkeys(_held(best, promise) for promise in best.breakdown.guarantees.promised)
    broken = [
        f"{run.label} ({promise.risk:.0%})"
        for run in with_promise
        for promise in run.breakdown.guarantees.promised
        if promise.overall is not None and _is_broken(promise.overall, promise.risk)
    ]
    if broken:
        sentences.append(
            f"On the test split the whole interval lies above the promise for {', '.join(broken)}: its patients are "
            "not like those of validation, or the model was fitted to validation."
        )
    elif any(promise.overall for run in with_promise for promise in run.breakdown.guarantees.promised):
        sentences.append("On the test split no model misses for certain more than it promised.")
    sentences.append(
        "The promise assumes that validation and test patients are exchangeable and that scores were not fitted to "
        "validation; a model that chose its epoch or its weights there has had a look. It holds on average over all "
        "patients, not in each group."
    )
    if protocol == "temporal":
        sentences.append("This split is by time, so the two are not exchangeable, and the promise is none.")
    return [*sentences, *_left_out(runs)]


def _held(run: ComparedRun, promise: PromisedSets) -> str:
    figures = promise.overall
    if figures is None:
        return (
            f"{run.label} cannot promise so little: with all candidates in the set {percent(promise.least_risk)}% "
            f"would have to be allowed for, true codes that are no candidates and the few validation patients counted."
        )
    own = run.breakdown.guarantees.own
    beside = ""
    if own is not None and own.size is not None:
        beside = f"; its own threshold takes {number(own.size.value, 1)} and misses {percent(own.miss_rate.value)}%"
    size = None if figures.size is None else figures.size.value
    return (
        f"Promised {promise.risk:.0%}, {run.label} takes {number(size, 1)} codes per example and misses "
        f"{percent(figures.miss_rate.value)}% ({interval(figures.miss_rate)}){beside}."
    )


def _is_broken(figures: SetFigures, risk: float) -> bool:
    return figures.miss_rate.low is not None and figures.miss_rate.low > risk


def _left_out(runs: Sequence[ComparedRun]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.breakdown.guarantees.reason is not None:
            reasons.setdefault(run.breakdown.guarantees.reason, []).append(run.label)
    return [
        f"Left out for {reason if reason == NO_FOLDER else f'having {reason}'}: {', '.join(labels)}."
        for reason, labels in reasons.items()
    ]


def _overall(runs: Sequence[ComparedRun]) -> Table:
    columns = [
        Column(key="own_size", label="Own threshold: codes", format="tenths"),
        Column(key="own_missed", label="missed, %", format="percent"),
    ]
    for risk in RISKS:
        columns.append(Column(key=f"size_{risk}", label=f"At most {risk:.0%}: codes", format="tenths"))
        columns.append(Column(key=f"missed_{risk}", label="missed, %", format="percent"))

    def cells(run: ComparedRun) -> list[Cell]:
        guarantees = run.breakdown.guarantees
        sets = [guarantees.own, *(promise.overall for promise in guarantees.promised)]
        return [entry for figures in sets for entry in _cells(figures)]

    return Table(
        name="guarantees",
        caption="Codes in an example's set and the share of its true codes that are not in it, on the test split; "
        "means over patients, as the promise is (the sizes of predicted sets above are means over examples). A dash: "
        "no cut can promise so much, since too many true codes are no candidates or there are too few validation "
        "patients; or the model sets no threshold.",
        columns=columns,
        rows=[run_row(run, cells(run)) for run in runs],
    )


def _by_group(runs: Sequence[ComparedRun], strata: Sequence[StratifiedRecall]) -> list[Table]:
    """Of the best model: where its sets miss more than they promise on average."""
    best = next(iter(competitors(runs)), None)
    shown = [stratum for stratum in strata if stratum.key not in WIDE_STRATA]
    if best is None or not shown:
        return []
    guarantees = best.breakdown.guarantees
    rows = []
    for stratum in shown:
        sets = [guarantees.own_strata.get(stratum.key), *(p.strata.get(stratum.key) for p in guarantees.promised)]
        for place, group in enumerate(stratum.groups):
            cells = [Cell(value=group.targets)]
            for figures in sets:
                cells += _cells(None if figures is None else figures[place])
            rows.append(Row(label=f"{stratum.title}: {group.label}", cells=cells))
    columns = [Column(key="targets", label="True codes", format="whole")]
    names = [("own", "Own threshold"), *((str(risk), f"At most {risk:.0%}") for risk in RISKS)]
    for key, label in names:
        columns.append(Column(key=f"size_{key}", label=f"{label}: codes", format="tenths"))
        columns.append(Column(key=f"missed_{key}", label="missed, %", format="percent"))
    return [
        Table(
            name="guarantees-groups",
            corner="Group",
            caption=f"The same of {best.label} by group: of an example's true codes in the group, the share that is "
            "missed. A set has a size only for a group of examples.",
            columns=columns,
            rows=rows,
        )
    ]


def _cells(figures: SetFigures | None) -> list[Cell]:
    return [Cell(), Cell()] if figures is None else [cell(figures.size), cell(figures.miss_rate)]
