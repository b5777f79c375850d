"""What words learnt of names in two languages bring to a search by words, and how much the two settings matter.

python tests/benchmarks/bench_word_translation.py --task prepared/codiesp-es        two minutes of one core

Of a task whose code book has names in two languages: all notes of train and validation (test is not read), each code
scored by the best of its names for the best sentence, without a prior. Nothing is fitted on the notes.
"""

import argparse
import itertools
from unittest.mock import patch

import numpy as np

from bi_encoder.baselines.name_models import best_sentence_scores
from bi_encoder.index import word_translation
from bi_encoder.index.term_index import TermIndex
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import query_texts
from data.task import load_task
from mera.evaluation.metrics import mean_average_precision, recall_at_k

SPLITS = ("train", "validation")
ROUNDS, PROBABILITIES = (5, 10), (0.2, 0.3, 0.4, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="folder of a prepared task of notes")
    task = load_task(parser.parse_args().task)
    if not task.translations.height:
        raise SystemExit("the task's code book has no names in two languages (docs/code-book.md)")
    names = all_names(task)
    texts = [query.text for split in SPLITS for query in query_texts(task, split)]
    targets = np.concatenate([task.targets(split) for split in SPLITS])

    def say(label: str, meanings: dict[str, str]) -> None:
        scores = best_sentence_scores(TermIndex.build(names, meanings).scores, texts)
        quality = mean_average_precision(scores, targets), recall_at_k(scores, targets, 20)
        print(f"| {label} | {len(meanings):,} | {100 * quality[0]:.1f} | {100 * quality[1]:.1f} |", flush=True)

    print("| rounds, least probability | words | MAP | recall@20 |\n|---|---|---|---|")
    say("nothing learnt", {})
    for rounds, least in itertools.product(ROUNDS, PROBABILITIES):
        with patch.multiple(word_translation, ROUNDS=rounds, LEAST_PROBABILITY=least):
            say(f"{rounds}, {least}", word_translation.learn_meanings(task.translations))


if __name__ == "__main__":
    main()
