"""How much is there to find? What followed for other patients with the very same history, in hindsight, beside models.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_identical_histories.py --task prepared/diabetes130 RUN RUN ...

Of the test examples whose last visit (and, second, whose whole history) at least `--least` examples of other patients
share to the last code, two rankings: a run's own probability of each code, and that probability mixed with what
followed for those others, `(count + weight * probability) / (others + weight)`. The others come from train, validation
and *test*: no model may know their answers. Where the mixture gains nothing at any weight, what is left is chance, or
stands in something that no history of codes holds.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from data.task import Task, load_task
from mera.evaluation.calibration import fit_platt
from mera.evaluation.metrics import mean_over_rows, rank_targets, row_recall
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import Predictions, read_predictions

WEIGHTS = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

History = tuple[tuple[str, ...], ...]


def last_visit(row: Mapping) -> History:
    return tuple(tuple(sorted(visit["codes"])) for visit in row["history"][-1:])


def whole_history(row: Mapping) -> History:
    """All codes of the history, whatever visit they stand in."""
    return (tuple(sorted({code for visit in row["history"] for code in visit["codes"]})),)


def followers(task: Task, key: object) -> tuple[np.ndarray, np.ndarray]:
    """For each test example how often each candidate followed the same history in another patient, (N, C), and how many
    examples of other patients share it, (N,).
    """
    columns, groups = task.column, defaultdict(list)
    for split in task.splits.values():
        for row in split:
            if row["history"]:
                groups[key(row)].append((row["patient_id"], row["targets"]))
    counts, others = [], []
    for row in task.splits["test"]:
        rest = [targets for patient, targets in groups[key(row)] if patient != row["patient_id"]]
        number = Counter(code for targets in rest for code in targets)
        counts.append([number[code] for code in columns])
        others.append(len(rest))
    return np.array(counts, dtype=float), np.array(others)


def margins(predictions: Predictions) -> np.ndarray:
    return predictions.scores - np.nan_to_num(predictions.thresholds)[:, None]


def probabilities(run: str) -> np.ndarray:
    """(N, C) of the test examples, calibrated on the run's validation scores."""
    validation, test = read_validation(run), read_predictions(run)
    sigmoid = fit_platt(margins(validation), validation.targets)
    return 1 / (1 + np.exp(-(sigmoid["slope"] * margins(test) + sigmoid["intercept"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="the prepared task of the runs")
    parser.add_argument("--least", type=int, default=10, help="examples of other patients with the same history")
    parser.add_argument("runs", nargs="+", help="finished runs of stage two or baselines")
    arguments = parser.parse_args()
    task = load_task(arguments.task)
    known = {run: probabilities(run) for run in arguments.runs}
    targets = task.targets("test")
    for name, key in (("last visit", last_visit), ("whole history", whole_history)):
        counts, others = followers(task, key)
        chosen = others >= arguments.least
        print(f"same {name}: {chosen.sum()} of {len(chosen)} examples, {np.median(others[chosen]):.0f} others (median)")
        for run, probability in known.items():
            own = probability[chosen, : targets.shape[1]]
            print(f"  {run}")
            for weight in (*WEIGHTS, np.inf):
                mixed = own if weight == np.inf else counts[chosen] + weight * own
                # What follows is often a tie of nothing at weight 0: the run's own order decides there.
                ranking = rank_targets(mixed + 1e-9 * own, targets[chosen])
                recalls = [100 * mean_over_rows(row_recall(ranking, k)) for k in (10, 20)]
                label = "the run alone" if weight == np.inf else f"weight {weight:,.0f}"
                print(f"    {label:14} recall@10 {recalls[0]:.1f}  recall@20 {recalls[1]:.1f}")


if __name__ == "__main__":
    main()
