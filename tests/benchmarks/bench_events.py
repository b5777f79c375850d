"""What procedures, drugs and labs of past visits bring: the same models of one task with and without them.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_events.py runs/eicu-events/with runs/eicu-events/without

Both folders hold the folds of one task, FOLDER/fold0/MODEL ..., the second made with `--events false` (mera baselines)
or `--prompt.max_events 0` (mera rank). Recall@20 of all codes and of those new to the patient, micro F1, in percent,
and the paired difference with its 95% interval over patients.
"""

import argparse
from pathlib import Path

import numpy as np

from mera.evaluation.bootstrap import patient_weights
from mera.runs.predictions import Predictions, read_predictions

SAMPLES = 10_000


def folds_of(folder: Path, model: str) -> list[Predictions]:
    return [read_predictions(path / model) for path in sorted(folder.glob("fold*"))]


def recalls(folds: list[Predictions], new: bool) -> np.ndarray:
    """(N,) recall@20 of each patient, NaN without a true code; of `new` ones among the codes that the history lacks."""
    parts = []
    for fold in folds:
        targets = fold.targets & ~fold.seen if new else fold.targets
        scores = np.where(fold.seen, -np.inf, fold.scores) if new else fold.scores
        first = np.argsort(-scores, axis=1, kind="stable")[:, :20]
        number = targets.sum(axis=1)
        hits = np.take_along_axis(targets, first, axis=1).sum(axis=1)
        parts.append(np.where(number > 0, hits / np.maximum(number, 1), np.nan))
    return np.concatenate(parts)


def f1_counts(folds: list[Predictions]) -> np.ndarray:
    """(N, 2): hits, and predicted and true codes together."""
    predicted = [fold.scores > fold.thresholds[:, None] for fold in folds]
    hits = [(each & fold.targets).sum(axis=1) for each, fold in zip(predicted, folds, strict=True)]
    sizes = [each.sum(axis=1) + fold.targets.sum(axis=1) for each, fold in zip(predicted, folds, strict=True)]
    return np.stack([np.concatenate(hits), np.concatenate(sizes)], axis=1).astype(float)


def mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return weights[:, known] @ values[known] / weights[:, known].sum(axis=1)


def micro_f1(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    hits, sizes = (weights @ counts).T
    return 2 * hits / sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("with_events", type=Path)
    parser.add_argument("without", type=Path)
    arguments = parser.parse_args()
    present = [{path.name for path in (folder / "fold0").iterdir()} for folder in vars(arguments).values()]
    for model in sorted(set.intersection(*present)):
        both = [folds_of(folder, model) for folder in (arguments.with_events, arguments.without)]
        ids = [[name for fold in folds for name in fold.example_ids] for folds in both]
        assert ids[0] == ids[1], f"{model}: other patients"
        patients = [name for fold in both[0] for name in fold.patient_ids]
        whole, drawn = np.ones((1, len(patients))), patient_weights(patients, SAMPLES, 0)
        cells = []
        for measure, values in (
            (mean, [recalls(folds, new=False) for folds in both]),
            (mean, [recalls(folds, new=True) for folds in both]),
            (micro_f1, [f1_counts(folds) for folds in both]),
        ):
            first, second = (100 * float(measure(whole, part)[0]) for part in values)
            difference = 100 * (measure(drawn, values[0]) - measure(drawn, values[1]))
            low, high = np.quantile(difference, (0.025, 0.975))
            cells.append(f"{first:.1f}, {second:.1f}: {first - second:+.1f} ({low:.1f} to {high:.1f})")
        print(f"| {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
