"""What trees bring to a fusion, and what their settings do: cross-fitted over the notes of train and validation.

python tests/benchmarks/bench_fusion_trees.py runs/codiesp/refit/* runs/codiesp/bm25        four minutes of one core

The runs need training scores out of fold (`mera retrieval-baselines --candidate_folds 5`); test is not read. Five folds
of patients: each row is scored by a fusion of the others. Mean average precision and the micro F1 at the best threshold
over all rows.
"""

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np

from mera.commands.fusion.parts import Splits, has_thresholds_of_rows
from mera.commands.fusion.trees import FitRows, code_families, rows_to_fit
from mera.evaluation import fusion_trees
from mera.evaluation.fusion import patient_folds
from mera.evaluation.fusion_trees import PARAMETERS, ROUNDS, fit_tree_fusion, weighted_sum
from mera.evaluation.metrics import f1, mean_average_precision
from mera.evaluation.micro_f1_threshold import best_threshold
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions

SETTINGS: dict[str, dict[str, object]] = {
    "trees": {"ROUNDS": ROUNDS},
    "150 trees": {"ROUNDS": 150},
    "600 trees": {"ROUNDS": 600},
    "60 codes corrected": {"NUM_CORRECTED": 60},
    "400 codes corrected": {"NUM_CORRECTED": 400},
    "7 leaves": {"PARAMETERS": {**PARAMETERS, "num_leaves": 7}},
    "31 leaves": {"PARAMETERS": {**PARAMETERS, "num_leaves": 31}},
    "20 pairs in a leaf": {"PARAMETERS": {**PARAMETERS, "min_data_in_leaf": 20}},
    "200 pairs in a leaf": {"PARAMETERS": {**PARAMETERS, "min_data_in_leaf": 200}},
}


def cross_fitted(known: FitRows, families: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) of the sum, and of the trees on top of it."""
    fold = patient_folds(known.patients, np.asarray(known.targets.any(axis=1)))
    summed, corrected = np.empty((2, *known.targets.shape), dtype=np.float32)
    for number in range(fold.max() + 1):
        others, in_fold = fold != number, known.rows.select(fold == number)
        fitted = fit_tree_fusion(known.rows.select(others), known.targets[others], known.fair[others], families)
        summed[fold == number] = weighted_sum(fitted.fusion, in_fold)
        corrected[fold == number] = fitted.scores(in_fold)
    return summed, corrected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="with training scores out of fold")
    folders = parser.parse_args().runs
    first = Splits(folders[0], read_validation(folders[0]), read_predictions(folders[0]))
    over_threshold = [has_thresholds_of_rows(read_validation(folder)) for folder in folders]
    known, families = rows_to_fit(folders, first, over_threshold), code_families(first)
    print("| fusion | MAP | micro F1 |\n|---|---|---|")
    for name, changed in SETTINGS.items():
        with patch.multiple(fusion_trees, **changed):
            scores = dict(zip(("sum", name), cross_fitted(known, families), strict=True))
        for label, of_form in scores.items() if name == "trees" else [(name, scores[name])]:
            predicted = of_form >= best_threshold(of_form, known.targets)
            quality = mean_average_precision(of_form, known.targets), f1(predicted, known.targets, "micro")
            print(f"| {label} | {100 * quality[0]:.1f} | {100 * quality[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
