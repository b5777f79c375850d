"""Searching all codes of ICD-10-CM: the funnel against one exact pass over all of them, in one process.

OMP_NUM_THREADS=2 python tests/benchmarks/bench_search.py --index INDEX --model CHECKPOINT [--widen 768]

`mera search --codes all --index INDEX --model CHECKPOINT` makes the index. Queries are names that the ontology lists
beside the codes' titles (inclusion terms), which the index does not hold. `--widen W`: real vectors made W wide by
appending a random projection of themselves at half weight, for the speed at a width that no model here has; the
prefixes stay the model's own. The exact pass is measured with the top-k used here and with NumPy's argpartition.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bi_encoder.index import CodeIndex
from bi_encoder.predict import embed_texts
from bi_encoder.search_index import open_model
from data.ontology import load_ontology

K = 100
BATCH = 32
FUNNELS = [
    ("prefix", 64, 1000),
    ("prefix", 128, 1000),
    ("prefix", 128, 2000),
    ("principal", 64, 1000),
    ("principal", 64, 2000),
    ("principal", 128, 400),
    ("principal", 128, 500),
    ("principal", 128, 1000),
]
"""Kind and width of the first pass, and the candidates it keeps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--widen", type=int)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU seconds, with OMP_NUM_THREADS=1: for a machine that is busy"
    )
    options = parser.parse_args()
    queries = embed_queries(options.model, options.queries)
    before = resident_mib()
    start = time.perf_counter()
    index = CodeIndex.load(options.index)
    opened = time.perf_counter() - start
    print(
        f"opened {options.index.stat().st_size / 2**20:.0f} MiB in {opened:.2f} s, +{resident_mib() - before:.0f} MiB"
    )
    if options.widen:
        generator = np.random.default_rng(0)
        width = index.embeddings.shape[1]
        extra = generator.standard_normal((width, options.widen - width), dtype=np.float32) * 0.5 / width**0.5
        index = CodeIndex.build(np.hstack([index.embeddings, index.embeddings @ extra]), index.codes)
        queries = np.hstack([queries, queries @ extra])
    report(index, queries, time.process_time if options.cpu_time else time.perf_counter)
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def embed_queries(source: str, count: int) -> np.ndarray:
    """(Q, D) of inclusion terms, drawn at random but the same each time."""
    ontology = load_ontology("icd10cm")
    terms = sorted({term for code in ontology.nodes(leaves_only=True) for term in ontology.synonyms(code)})
    chosen = np.random.default_rng(0).permutation(len(terms))[:count]
    model, record = open_model(source)
    return embed_texts(model, [terms[place] for place in chosen], record.max_query_tokens).numpy()


def report(index: CodeIndex, queries: np.ndarray, clock: Callable[[], float]) -> None:
    width = index.embeddings.shape[1]
    exact = np.vstack([index.search_columns(batch, K, width)[0] for batch in batches(queries)])
    print(f"{len(index.codes):,} codes, {width} wide, {len(queries)} queries in batches of {BATCH}, k = {K}")
    by_argpartition = speed(lambda batch: argpartition_search(index.embeddings, batch), queries, clock)
    ours = speed(lambda batch: index.search_columns(batch, K, width), queries, clock)
    print(f"exact, argpartition   {by_argpartition:7,.0f} queries/s")
    print(f"exact, our top-k      {ours:7,.0f} queries/s   {ours / by_argpartition:4.2f} x")
    one = speed(lambda query: index.search_columns(query, K, width), queries[:32], clock, 1)
    print(f"exact, one query at a time {1000 / one:.1f} ms")
    for kind, dim, candidates in FUNNELS:
        settings = {"first_pass_dim": dim, "candidates": candidates, "first_pass": kind}
        found = np.vstack([index.search_columns(batch, K, **settings)[0] for batch in batches(queries)])
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
        reached = speed(lambda batch, settings=settings: index.search_columns(batch, K, **settings), queries, clock)
        print(
            f"{kind:9} {dim:3} -> {width}, {candidates:5,} candidates: {reached:7,.0f} queries/s, recall@{K} "
            f"{recall:.4f}, {reached / by_argpartition:5.2f} x exact by argpartition, {reached / ours:5.2f} x exact, "
            f"+{index.first_pass(kind, dim).num_bytes / 2**20:.0f} MiB"
        )
    print(f"embeddings {index.embeddings.nbytes / 2**20:.0f} MiB")


def argpartition_search(embeddings: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The usual way: all cosines, argpartition, then the k in order."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    scores = queries @ embeddings.T
    columns = np.argpartition(-scores, K - 1, axis=1)[:, :K]
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def batches(queries: np.ndarray, size: int = BATCH) -> list[np.ndarray]:
    return [queries[start : start + size] for start in range(0, len(queries), size)]


def speed(
    search: Callable, queries: np.ndarray, clock: Callable[[], float], size: int = BATCH, repeats: int = 7
) -> float:
    """Queries per second in the fastest of `repeats` passes: other work on the machine only ever slows one down."""
    parts = batches(queries, size)
    search(parts[0])
    seconds = []
    for _ in range(repeats):
        start = clock()
        for batch in parts:
            search(batch)
        seconds.append(clock() - start)
    return len(queries) / min(seconds)


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
