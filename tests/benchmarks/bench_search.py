"""Searching all codes of ICD-10-CM: the funnel against one exact pass over all of them, in one process.

OMP_NUM_THREADS=2 python tests/benchmarks/bench_search.py --index INDEX --model CHECKPOINT [--widen 768]

`mera search --codes all --index INDEX --model CHECKPOINT` makes the index. Queries are names that the ontology lists
beside the codes' titles (inclusion terms), which the index does not hold. `--widen W`: real vectors made W wide by
appending a random projection of themselves at half weight, for the speed at a width that no model here has; the
prefixes stay the model's own. The exact pass is measured with the top-k used here and with NumPy's argpartition.
`--faiss` adds FAISS (Douze et al. 2024, arXiv 2401.08281), where `faiss-cpu` is installed; nothing else here needs it.
Two exact searches may name different codes: where codes have one title their vectors are equal, and of equal codes at
the 100th place ours are the first columns, FAISS's any. So recall counts what scores as high as the 100th, within the
rounding of float32.
"""

import argparse
import importlib.util
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bi_encoder.index.code_index import CodeIndex
from bi_encoder.predict import embed_texts
from bi_encoder.search.search_index import open_model
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
FAISS_INDEXES = [
    ("Flat", None, [None]),
    ("HNSW32", "efSearch", [128, 256, 512]),
    ("IVF512,Flat", "nprobe", [8, 16, 32, 64]),
    ("PCA128,Flat,RFlat", "k_factor_rf", [4, 5]),
]
"""What FAISS's index_factory makes, and the values of its setting of recall against speed."""
ROUNDING = 1e-6
"""Cosines nearer than this are equal: float32 sums in another order differ by some 1e-7."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--widen", type=int)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count CPU seconds, with OMP_NUM_THREADS=1: for a machine that is busy"
    )
    parser.add_argument("--faiss", action="store_true", help="measure FAISS's indexes too")
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
    clock = time.process_time if options.cpu_time else time.perf_counter
    speed_of_exact = report(index, queries, clock)
    if options.faiss:
        report_faiss(index.embeddings, queries, speed_of_exact, clock)
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def embed_queries(source: str, count: int) -> np.ndarray:
    """(Q, D) of inclusion terms, drawn at random but the same each time."""
    ontology = load_ontology("icd10cm")
    terms = sorted({term for code in ontology.nodes(leaves_only=True) for term in ontology.synonyms(code)})
    chosen = np.random.default_rng(0).permutation(len(terms))[:count]
    model, record = open_model(source)
    return embed_texts(model, [terms[place] for place in chosen], record.max_query_tokens).numpy()


def report(index: CodeIndex, queries: np.ndarray, clock: Callable[[], float]) -> float:
    """Prints our searches; returns the queries/s of the exact pass."""
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
        recall = recall_of(found, exact)
        reached = speed(lambda batch, settings=settings: index.search_columns(batch, K, **settings), queries, clock)
        print(
            f"{kind:9} {dim:3} -> {width}, {candidates:5,} candidates: {reached:7,.0f} queries/s, recall@{K} "
            f"{recall:.4f}, {reached / by_argpartition:5.2f} x exact by argpartition, {reached / ours:5.2f} x exact, "
            f"+{index.first_pass(kind, dim).num_bytes / 2**20:.0f} MiB"
        )
    print(f"embeddings {index.embeddings.nbytes / 2**20:.0f} MiB")
    return ours


def report_faiss(embeddings: np.ndarray, queries: np.ndarray, ours: float, clock: Callable[[], float]) -> None:
    """Prints FAISS's indexes: what they cost to build, queries/s, recall of the K best codes.

    FAISS's PCA takes the mean of the codes off the queries too, after which scalar products no longer rank as before.
    So it gets codes whose mean is zero: what that takes off each product of a query is one number.
    """
    if importlib.util.find_spec("faiss") is None:
        print("FAISS is not installed, so it is not compared; `pip install faiss-cpu` adds it")
        return
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    centred = embeddings - embeddings.mean(axis=0)
    for name, setting, values in FAISS_INDEXES:
        start, before = clock(), resident_mib()
        index = faiss.index_factory(embeddings.shape[1], name, faiss.METRIC_INNER_PRODUCT)
        keys = centred if name.startswith("PCA") else embeddings
        index.train(keys)
        index.add(keys)
        built, grown = clock() - start, resident_mib() - before
        print(f"FAISS {name}: built in {built:.1f} s, +{grown:.0f} MiB")
        for value in values:
            if setting:
                # ParameterSpace reaches through what the factory wraps around an index.
                faiss.ParameterSpace().set_index_parameter(index, setting, value)
            found = np.vstack([index.search(batch, K)[1] for batch in batches(queries)])
            reached = speed(lambda batch, index=index: index.search(batch, K), queries, clock)
            print(
                f"  {setting or 'exact'} {value or '':4} {reached:7,.0f} queries/s, recall@{K} "
                f"{recall_by_score(found, embeddings, queries):.4f}, {reached / ours:5.2f} x exact"
            )


def recall_of(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def recall_by_score(found: np.ndarray, embeddings: np.ndarray, queries: np.ndarray) -> float:
    """Share of the columns `found` (Q, K), none of them twice, whose cosine reaches that of the query's K-th code."""
    reached = []
    for columns, query in zip(found, queries, strict=True):
        cosines = embeddings.astype(np.float64) @ query.astype(np.float64)
        lowest = np.partition(cosines, len(cosines) - K)[len(cosines) - K]
        reached.append((cosines[np.unique(columns[columns >= 0])] >= lowest - ROUNDING).sum() / K)
    return float(np.mean(reached))


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
