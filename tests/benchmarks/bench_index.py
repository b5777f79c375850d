"""Searching codes by the words of their names, and codes of several vectors: what each costs beside the simple way.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_index.py [--book FOLDER] [--vectors 4]

Processor seconds of this process, the smallest of several passes, so that a busy machine changes little; compare the
ratios. Words: the index of all names (`bi_encoder.index.term_index`) beside BM25 over all words of a code, built and
asked with the phrases of the tests, and a first search beside one whose names were kept. Vectors: random ones, the
same codes with one vector each and with as many as `--vectors`, exactly and through the funnel.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bi_encoder.baselines.bm25 import Bm25
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.index.term_index import TermIndex
from bi_encoder.search.code_names import names_of_codes
from bi_encoder.search.word_search import open_word_search
from data.codes.book.book import CodeBook
from data.codes.book.store import choose_book
from data.ontology import load_ontology

PHRASES = Path(__file__).resolve().parents[1] / "bi_encoder" / "search" / "phrases.tsv"
CODES, WIDTH, QUERIES, K = 20_000, 384, 32, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", default="none", help="auto, none or a folder (default: %(default)s)")
    parser.add_argument("--vectors", type=int, default=4, help="vectors of a code (default: %(default)s)")
    options = parser.parse_args()
    report_words(choose_book(options.book, "icd10cm"))
    report_vectors(options.vectors)


def report_words(book: CodeBook | None) -> None:
    phrases = [row["phrase"] for row in csv.DictReader(PHRASES.open(encoding="utf-8"), delimiter="\t")]
    load_ontology("icd10cm")
    names = names_of_codes("icd10cm", "leaves", book)
    print(f"{len(names.codes):,} codes, {sum(map(len, names.names)):,} names")
    documents = [" ".join(row) for row in names.names]
    simple, ours = smallest(lambda: Bm25(documents), 2), smallest(lambda: TermIndex.build(names.names), 2)
    print(f"build: BM25 over all words {simple:.2f} s, best name {ours:.2f} s, {simple / ours:.1f} x as fast")
    all_words, index = Bm25(documents), TermIndex.build(names.names)
    simple = smallest(lambda: [all_words.scores([phrase]) for phrase in phrases]) / len(phrases)
    ours = smallest(lambda: [index.scores([phrase]) for phrase in phrases]) / len(phrases)
    print(f"phrase: BM25 over all words {1000 * simple:.1f} ms, best name {1000 * ours:.1f} ms, {ours / simple:.1f} x")
    with tempfile.TemporaryDirectory() as folder:
        first = smallest(lambda: open_word_search("icd10cm", "leaves", book, Path(folder)), 1)
        kept = smallest(lambda: open_word_search("icd10cm", "leaves", book, Path(folder)), 3)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    print(f"open: first {first:.2f} s, kept {kept:.2f} s ({first / kept:.0f} x as fast), {size / 2**20:.0f} MiB")


def report_vectors(most: int) -> None:
    generator = np.random.default_rng(0)
    owner = np.repeat(np.arange(CODES), most)
    codes = [str(number) for number in range(CODES)]
    vectors = generator.standard_normal((len(owner), WIDTH)).astype(np.float32)
    one = CodeIndex.build(vectors[::most], codes)
    several = CodeIndex.build(vectors, codes, owner=owner)
    queries = generator.standard_normal((QUERIES, WIDTH)).astype(np.float32)
    print(f"{CODES:,} codes, {WIDTH} wide, {QUERIES} queries, 1 and {most} vectors a code")
    for name, settings in (
        ("exact", {"first_pass_dim": WIDTH}),
        ("prefix 64", {"first_pass_dim": 64, "candidates": 1000}),
        ("principal 64", {"first_pass_dim": 64, "candidates": 1000, "first_pass": "principal"}),
    ):
        seconds = [
            smallest(lambda index=index, settings=settings: index.search_columns(queries, K, **settings))
            for index in (one, several)
        ]
        per_query = [1000 * value / QUERIES for value in seconds]
        print(f"  {name:13} {per_query[0]:6.2f} ms and {per_query[1]:6.2f} ms a query, {seconds[1] / seconds[0]:.1f} x")


def smallest(work: Callable[[], object], passes: int = 5) -> float:
    """Processor seconds of the fastest pass."""
    seconds = []
    for _ in range(passes):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
