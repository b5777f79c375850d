"""What the dictionary's two rules bring: phrases in one another, and names trusted as far as names were right.

python tests/benchmarks/bench_dictionary.py --task prepared/codiesp-es        two minutes of one core

Five folds of the notes of train and validation (test is not read): each fold is scored by a dictionary of the others.
Of each form, mean average precision and the micro F1 at the best threshold, both over all notes, with the smoothing
that has the best of the former.
"""

import argparse
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from bi_encoder.baselines.dictionary import Dictionary, PhraseCounts
from bi_encoder.baselines.notes import Notes
from bi_encoder.baselines.phrases.finder import ALL_PHRASES, MatchRule
from bi_encoder.baselines.phrases.known import USUAL_PRECISION, known_phrases
from bi_encoder.baselines.phrases_and_words import SMOOTHINGS
from bi_encoder.inputs.code_names import all_names
from data.task import load_task
from mera.evaluation.metrics import f1, mean_average_precision
from mera.evaluation.micro_f1_threshold import best_threshold

FOLDS = 5
LONGEST = MatchRule(longest_alone=True)
FORMS = {
    "the longest phrase alone, fixed precisions": (LONGEST, True),
    "phrases in one another too, fixed precisions": (ALL_PHRASES, True),
    "the longest phrase alone, names trusted as names were right": (LONGEST, False),
    "both": (ALL_PHRASES, False),
}


def folds(notes: Notes) -> Iterator[tuple[np.ndarray, Notes]]:
    """The rows of each fold, and the notes of the others."""
    fold = np.random.default_rng(0).permutation(len(notes.texts)) % FOLDS
    for number in range(FOLDS):
        yield np.flatnonzero(fold == number), notes.select(np.flatnonzero(fold != number))


def scores_of_form(notes: Notes, names: list[list[str]], rule: MatchRule, is_fixed: bool) -> dict[float, np.ndarray]:
    """Smoothing -> (N, C)."""
    scores = {smoothing: np.zeros((len(notes.texts), len(names)), dtype=np.float32) for smoothing in SMOOTHINGS}
    for rows, others in folds(notes):
        phrases = known_phrases(names, others.texts, others.targets, others.marked)
        counts = PhraseCounts.of(phrases, others.texts, others.targets, others.marked, len(names), rule)
        found = [counts.finder.phrases_in(notes.texts[row], rule) for row in rows]
        for smoothing, of_smoothing in scores.items():
            of_smoothing[rows] = dictionary_of(counts, smoothing, is_fixed).scores_of(found)
    return scores


def dictionary_of(counts: PhraseCounts, smoothing: float, is_fixed: bool) -> Dictionary:
    if not is_fixed:
        return counts.dictionary(smoothing)
    with patch.object(PhraseCounts, "usual_precisions", return_value=USUAL_PRECISION):
        return counts.dictionary(smoothing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="folder of a prepared task of notes")
    task = load_task(parser.parse_args().task)
    notes, names = Notes.of(task, ("train", "validation")), all_names(task)
    targets = np.concatenate([task.targets("train"), task.targets("validation")])[notes.rows]
    print("| dictionary | smoothing | MAP | micro F1 |\n|---|---|---|---|")
    for name, (rule, is_fixed) in FORMS.items():
        scores = scores_of_form(notes, names, rule, is_fixed)
        quality = {smoothing: mean_average_precision(each, targets) for smoothing, each in scores.items()}
        best = max(quality, key=lambda smoothing: quality[smoothing])
        micro_f1 = f1(scores[best] >= best_threshold(scores[best], targets), targets, "micro")
        print(f"| {name} | {best:g} | {100 * quality[best]:.1f} | {100 * micro_f1:.1f} |")


if __name__ == "__main__":
    main()
