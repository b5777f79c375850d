"""What EOV says of a patient: how many diagnoses come, and how severe they are (the paper's third experiment)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from data.task import Task
from data.task_folder.features import PatientRow
from mera.commands.programs import Step
from mera.evaluation import bootstrap
from mera.report.measures.estimates import Estimate, estimate
from mera.report.page.drawing.colours import INK, SERIES
from mera.report.page.tables import Column, Row, Table
from mera.report.page.tables import cell as number_cell
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError
from rank.predict import Ranker
from rank.studies.evidence import as_numbers, claim_sentence
from rank.studies.finished_runs.severity import severity_indices
from rank.studies.page import StudyReport
from rank.studies.plan import StudyPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EOV, PREDICTED, EXPECTED, LAST = "eov", "predicted", "expected", "last_visit"
SIGNALS = {
    EOV: "1 − EOV's probability",
    PREDICTED: "codes above the threshold",
    EXPECTED: "sum of the codes' probabilities",
    LAST: "codes of the last visit (no model)",
    "history_Charlson": "Charlson index of the history (no model)",
    "history_Elixhauser": "Elixhauser index of the history (no model)",
}
NUMBER = "number of codes"
NEARLY_ALL = 0.75
"""Where so many visits have one and the same number of codes, there is no number to follow."""
LEAST_CORRELATION = 0.1
"""The smallest rank correlation that would matter."""
MOST_SHOWN = 12
"""Numbers of codes from here on are one group of the figure."""


def eov_steps(plan: StudyPlan, task: Task) -> list[Step]:
    """Nothing is trained. Raises UserError where there is no finished run of stage two on the task."""
    if plan.run is None:
        raise UserError("give the finished run of stage two as --run")
    manifest = read_predictions(plan.run).manifest
    if manifest["task"]["fingerprint"] != task.fingerprint:
        raise UserError(f"{plan.run} was trained on another task than {plan.task}; give the one it was trained on")
    return []


def eov_signals(ranker: Ranker, rows: Sequence[PatientRow], ontology: str) -> dict[str, np.ndarray]:
    """(N,) by the keys of SIGNALS; `ontology`: of the codes, as in task.json."""
    scores, eov = ranker.score(rows)
    probability = np.exp(eov - logsumexp(np.column_stack([scores, eov]), axis=1))
    histories = [list(dict.fromkeys(code for visit in row["history"] for code in visit["codes"])) for row in rows]
    of_histories = severity_indices(histories, ontology)
    last = [len(row["history"][-1]["codes"]) if row["history"] else 0 for row in rows]
    return {
        EOV: 1 - probability,
        PREDICTED: (scores > ranker.rule.thresholds(scores, eov)[:, None]).sum(axis=1).astype(np.float64),
        EXPECTED: ranker.rule.probabilities(scores, eov).sum(axis=1),
        LAST: np.array(last, dtype=np.float64),
        **{f"history_{name}": values for name, values in of_histories.items()},
    }


def partial_correlation(first: np.ndarray, second: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(B,) rank correlation of x and y with z held fixed, from those of x with y (`both`), x with z (`first`) and y
    with z (`second`)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values: np.ndarray = (both - first * second) / np.sqrt((1 - first**2) * (1 - second**2))
    return values


def eov_report(plan: StudyPlan, task: Task) -> StudyReport:
    assert plan.run is not None, "eov_steps asked for it"
    rows = list(task.splits["test"])
    signals = eov_signals(Ranker.load(plan.run), rows, task.info["ontology"])
    targets = [list(row["targets"]) for row in rows]
    indices = severity_indices(targets, task.info["ontology"])
    outcomes = {NUMBER: np.array([len(codes) for codes in targets], dtype=np.float64), **indices}
    patients = [row["patient_id"] for row in rows]
    weights = bootstrap.patient_weights(patients, plan.resamples, seed=0)
    replicates = {
        (signal, outcome): bootstrap.spearman(weights, signals[signal], values)
        for signal in SIGNALS
        for outcome, values in outcomes.items()
    }
    with_number = {name: bootstrap.spearman(weights, outcomes[NUMBER], values) for name, values in indices.items()}
    partial = {
        (signal, name): partial_correlation(replicates[signal, NUMBER], with_number[name], replicates[signal, name])
        for signal in SIGNALS
        for name in indices
    }
    values = {key: _correlation(of_key) for key, of_key in replicates.items()}
    where = f"{len(set(patients)):,} test patients, one run"
    return StudyReport(
        name="eov",
        title="EOV, the number of diagnoses and their severity",
        question="EOV is the output that ends a visit. Does its probability at the first position, and the number of "
        "codes that it lets through, follow the number of diagnoses that come, and their severity?",
        setting=[
            f"Run {plan.run.name} on {plan.task.name}, {len(task.codes):,} candidates, {where}. EOV's probability is "
            "its share in the softmax over all candidates and EOV. Severity: Charlson index (weights of 1987, without "
            "age) and Elixhauser index (van Walraven's weights) of the true codes of the visit, by the lists of Quan "
            "et al. 2005; " + _covered(task) + " Rank correlations (Spearman) with 95% intervals over patients.",
        ],
        sentences=[*_number_claims(replicates, outcomes[NUMBER], where), *_severity_claims(replicates, partial, where)],
        tables=[
            _table("Rank correlation", "correlations", list(outcomes), values),
            _table(
                "Rank correlation with the index, the true number of codes held fixed",
                "at-equal-number",
                list(indices),
                {key: _correlation(of_key) for key, of_key in partial.items()},
            ),
        ],
        draw=lambda axes: _draw(axes, outcomes[NUMBER], signals[PREDICTED], signals[EXPECTED]),
        caption="Number of codes that are predicted and expected, by the true number: means with 95% intervals of the "
        "mean; the line is equality.",
        numbers={
            "run": plan.run.name,
            "test_patients": len(set(patients)),
            "spearman": _nested(values),
            "spearman_at_equal_number": _nested({key: _correlation(of_key) for key, of_key in partial.items()}),
            "mean": {name: float(of_name.mean()) for name, of_name in (outcomes | signals).items()},
        },
        commands=[],
    )


def _correlation(replicates: np.ndarray) -> Estimate:
    return estimate(replicates, bounds=(-1.0, 1.0))


def _covered(task: Task) -> str:
    each = severity_indices([[code] for code in task.codes], task.info["ontology"])
    counted = {name: int((values != 0).sum()) for name, values in each.items()}
    return (
        f"of the {len(task.codes):,} candidates {counted['Charlson']:,} and {counted['Elixhauser']:,} have a weight "
        "other than 0 in them (codes cut to a category miss entries that need more digits)."
    )


def most_common_number(numbers: np.ndarray) -> tuple[int, float]:
    """The most frequent of `numbers` (N,), and its share."""
    values, counts = np.unique(numbers.astype(int), return_counts=True)
    place = int(np.argmax(counts))
    return int(values[place]), float(counts[place] / len(numbers))


def _sentences(claims: Sequence[tuple[str, np.ndarray, str]], where: str) -> list[str]:
    """`claims`: the claim, the replicates of its correlation, and what the correlation is in words."""
    return [
        claim_sentence(claim, _correlation(values), LEAST_CORRELATION, what, where, unit="correlation")
        for claim, values, what in claims
    ]


def _number_claims(replicates: Mapping[tuple[str, str], np.ndarray], numbers: np.ndarray, where: str) -> list[str]:
    number, share = most_common_number(numbers)
    if share >= NEARLY_ALL:
        return [
            f"EOV follows the number of diagnoses: cannot be seen here. {share:.0%} of the visits have {number} codes, "
            f"so there is next to no number to follow ({where})."
        ]
    ahead = replicates[EXPECTED, NUMBER] - replicates[LAST, NUMBER]
    return _sentences(
        [
            (
                "EOV's probability falls as more diagnoses come",
                replicates[EOV, NUMBER],
                "the rank correlation of 1 − EOV's probability with the true number of codes",
            ),
            (
                "The predicted number follows the true one",
                replicates[PREDICTED, NUMBER],
                "the rank correlation of predicted and true number of codes",
            ),
            (
                "The model knows more of the number than the last visit says",
                ahead,
                "the rank correlation of the expected number with the true one, minus that of the number of codes of "
                "the last visit,",
            ),
        ],
        where,
    )


def _severity_claims(
    replicates: Mapping[tuple[str, str], np.ndarray], partial: Mapping[tuple[str, str], np.ndarray], where: str
) -> list[str]:
    claims = []
    for name in ("Charlson", "Elixhauser"):
        of_eov = f"the rank correlation of 1 − EOV's probability with the {name} index"
        ahead = replicates[EOV, name] - replicates[f"history_{name}", name]
        claims += [
            (f"EOV's probability falls with severity ({name})", replicates[EOV, name], of_eov),
            (
                f"EOV knows of severity beyond the number ({name})",
                partial[EOV, name],
                f"{of_eov}, the true number of codes held fixed,",
            ),
            (
                f"EOV knows more of severity than the history's own index ({name})",
                ahead,
                f"{of_eov}, minus that of the history's index with it,",
            ),
        ]
    return _sentences(claims, where)


def _table(caption: str, name: str, columns: Sequence[str], values: Mapping[tuple[str, str], Estimate]) -> Table:
    return Table(
        name=name,
        caption=caption,
        columns=[Column(key=column, label=column, format="hundredths") for column in columns],
        rows=[
            Row(label=label, cells=[number_cell(values[signal, column]) for column in columns])
            for signal, label in SIGNALS.items()
        ],
        corner="What the model says",
    )


def _nested(values: Mapping[tuple[str, str], Estimate]) -> dict[str, dict[str, dict[str, float | None]]]:
    nested: dict[str, dict[str, dict[str, float | None]]] = {}
    for (signal, outcome), value in values.items():
        nested.setdefault(signal, {})[outcome] = as_numbers(value)
    return nested


def _draw(axes: "Axes", true: np.ndarray, predicted: np.ndarray, expected: np.ndarray) -> None:
    groups = np.minimum(true, MOST_SHOWN).astype(int)
    shown = [group for group in np.unique(groups) if (groups == group).sum() > 1]
    for number, (label, values) in enumerate((("predicted", predicted), ("expected", expected))):
        means = [values[groups == group].mean() for group in shown]
        errors = [1.96 * values[groups == group].std(ddof=1) / np.sqrt((groups == group).sum()) for group in shown]
        places = np.array(shown) + 0.12 * (number - 0.5)
        axes.errorbar(places, means, yerr=errors, color=SERIES[number], marker="o", markersize=5, label=label)
    axes.plot([shown[0], shown[-1]], [shown[0], shown[-1]], color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.set_xticks(shown, [f"{MOST_SHOWN}+" if group == MOST_SHOWN else str(group) for group in shown])
    axes.set_xlabel("true number of codes")
    axes.set_ylabel("number of codes")
