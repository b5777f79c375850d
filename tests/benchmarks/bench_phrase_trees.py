"""What the phrase trees' settings do: five folds of the notes of train and validation (test is not read).

python tests/benchmarks/bench_phrase_trees.py --task prepared/codiesp-es        ten minutes of one core

Each fold is scored by phrase trees of the others, the dictionary's and words' figures beside them are of
bench_dictionary.py. Mean average precision and the micro F1 at the best threshold, both over all notes.
"""

import argparse
import time
from collections.abc import Mapping
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
from bench_dictionary import folds

from bi_encoder.baselines import phrase_trees
from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrase_trees import PhraseTrees
from bi_encoder.baselines.phrases import near, sequences
from bi_encoder.index.word_translation import learn_meanings
from bi_encoder.inputs.code_names import all_names
from data.task import load_task
from mera.evaluation.metrics import f1, mean_average_precision
from mera.evaluation.micro_f1_threshold import best_threshold

ALONE = "words of the notes' own language alone"
SETTINGS = {
    "as built": {},
    ALONE: {},
    "words as they are, in any order": {near: {"LEAST_LIKENESS": 0.999}},
    "windows of 5 words": {near: {"WINDOW": 5, "STRIDE": 2}},
    "windows of 12 words": {near: {"WINDOW": 12}},
    "windows of 20 words": {near: {"WINDOW": 20}},
    "steepness 3": {phrase_trees: {"STEEPNESS": 3}},
    "10 folds": {phrase_trees: {"FOLDS": 10}},
    "50 codes weighed": {phrase_trees: {"NUM_WEIGHED": 50}},
    "100 sequences of a code": {sequences: {"OF_CODE": 100}},
}


def scores(notes: Notes, names: list[list[str]], meanings: Mapping[str, str]) -> np.ndarray:
    """(N, C)."""
    all_scores = np.zeros((len(notes.texts), len(names)), dtype=np.float32)
    for rows, read in folds(notes):
        fitted = PhraseTrees.fit(names, read, meanings)
        all_scores[rows] = fitted.scores([notes.texts[row] for row in rows])
    return all_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="folder of a prepared task of notes")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="default: all")
    options = parser.parse_args()
    task = load_task(options.task)
    notes, names = Notes.of(task, ("train", "validation"), joined=True), all_names(task)
    targets = np.concatenate([task.targets("train"), task.targets("validation")])[notes.rows]
    print("| phrase trees | MAP | micro F1 | seconds |\n|---|---|---|---|")
    for name in options.settings:
        with ExitStack() as stack:
            for module, changed in SETTINGS[name].items():
                stack.enter_context(patch.multiple(module, **changed))
            begun = time.process_time()
            of_setting = scores(notes, names, {} if name == ALONE else learn_meanings(task.translations))
        micro_f1 = f1(of_setting >= best_threshold(of_setting, targets), targets, "micro")
        seconds = time.process_time() - begun
        quality = mean_average_precision(of_setting, targets)
        print(f"| {name} | {100 * quality:.1f} | {100 * micro_f1:.1f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
