"""Names that stage one never trains on, looked up by their likeness to those that it does, for comparison.

python tests/benchmarks/bench_names.py prepared/codiesp-en --num-codes 600
"""

import argparse

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from data.task import load_task
from memorize.code_sets.code_set import CodeSet, task_codes
from memorize.code_sets.name_split import NameSplit, split_names
from memorize.config import QuestionConfig

NEAREST = 10


def looked_up(codes: CodeSet, split: NameSplit, held_out: list[tuple[str, str]], *, with_terms: bool) -> list[float]:
    """Share of the names in `held_out` with a right code first, and among the first 10: codes by their nearest name, as
    TF-IDF of words and of letters within words has it."""
    definitions = list(zip(codes.codes, codes.definitions, strict=True))
    known = [*definitions, *split.trained_synonyms, *(split.trained_terms if with_terms else [])]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    names = [name for _, name in known]
    of_known = scipy.sparse.hstack([part.fit_transform(names) for part in (words, letters)]).tocsr()
    asked = scipy.sparse.hstack([part.transform([name for _, name in held_out]) for part in (words, letters)]).tocsr()
    column = {code: place for place, code in enumerate(codes.codes)}
    scores = np.full((len(held_out), len(codes.codes)), -np.inf)
    similar = (asked @ of_known.T).toarray()
    for place, (code, _) in enumerate(known):
        np.maximum(scores[:, column[code]], similar[:, place], out=scores[:, column[code]])
    called = codes.codes_called()
    order = np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]
    hits = np.array(
        [
            [codes.codes[found] in called[name.casefold()] for found in row]
            for (_, name), row in zip(held_out, order, strict=True)
        ]
    )
    return [float(hits[:, 0].mean()), float(hits.any(axis=1).mean())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    questions = QuestionConfig()
    parser.add_argument("--num-codes", type=int, default=600)
    parser.add_argument("--held-out", type=float, default=questions.held_out_synonyms)
    parser.add_argument("--terms-per-code", type=int, default=questions.terms_per_code)
    arguments = parser.parse_args()
    codes = task_codes(load_task(arguments.task)).spread(arguments.num_codes)
    split = split_names(codes, arguments.held_out, arguments.terms_per_code)
    for kind, held_out in (("inclusion terms", split.held_out_synonyms), ("index terms", split.held_out_terms)):
        for with_terms in (False, True):
            first, among = looked_up(codes, split, held_out, with_terms=with_terms)
            known = "with index terms" if with_terms else "without index terms"
            print(f"{kind} ({len(held_out)}), {known}: {first:.1%} at 1, {among:.1%} at {NEAREST}")


if __name__ == "__main__":
    main()
