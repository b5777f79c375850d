"""How long a report takes, and how macro ROC-AUC compares with scikit-learn's.

python tests/benchmarks/bench_report.py

10 runs x 1,000 examples x 8,000 candidates with all metrics, 1,000 resamples, figures and pages: below 60 s and 4 GB on
2 cores. Macro ROC-AUC: equal to scikit-learn's and at least 5 times as fast.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import sklearn.metrics

from mera.evaluation import metrics
from mera.report import write_report
from mera.runs.predictions import Predictions, write_predictions

TARGETS_PER_EXAMPLE = 12.0


def make_case(examples: int, candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """logits (N, C) of made-up patients, targets drawn from them, and how often each code is in train."""
    generator = np.random.default_rng(0)
    frequency = generator.gamma(0.3, 1.0, candidates)
    frequency *= TARGETS_PER_EXAMPLE / frequency.sum()
    logits = np.log(frequency + 1e-6)[None, :] + generator.standard_normal((examples, candidates), dtype=np.float32)
    targets = generator.random(logits.shape, dtype=np.float32) < 1 / (1 + np.exp(-logits))
    return logits.astype(np.float32), targets, (20_000 * frequency).astype(np.int64)


def write_runs(folder: Path, runs: int, logits: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> list[Path]:
    generator = np.random.default_rng(1)
    examples, candidates = logits.shape
    numbers = np.arange(candidates)
    codes = pl.DataFrame({"code": [f"C{number:05d}" for number in numbers], "train_count": counts}).with_columns(
        pl.Series(level, [f"{level}-{number // size}" for number in numbers])
        for level, size in {"all": candidates, "chapter": 400, "block": 40, "category": 8}.items()
    )
    seen = targets & (generator.random(targets.shape, dtype=np.float32) < 0.4)
    paths = []
    for number in range(runs):
        noise = generator.standard_normal(logits.shape, dtype=np.float32)
        predictions = Predictions(
            scores=logits + np.float32(0.3 + 0.1 * number) * noise,
            targets=targets,
            seen=seen,
            thresholds=np.full(examples, -1.0, dtype=np.float32),
            example_ids=[f"e{row}" for row in range(examples)],
            patient_ids=[f"p{row}" for row in range(examples)],
            codes=codes,
            manifest={
                "run": f"run-{number}",
                "model": f"model {number}",
                "kind": "rank",
                "config": {"orders": number},
                "calibration": {"slope": 1.0, "intercept": 0.0},
                "task": {"name": "benchmark", "fingerprint": "0" * 64, "split": "test"},
            },
            previous_visits=np.arange(examples) % 7,
            ages=np.arange(examples) % 90,
            sexes=["F" if row % 2 else "M" for row in range(examples)],
        )
        write_predictions(folder / f"run-{number}" / "predictions", predictions)
        paths.append(folder / f"run-{number}")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=8000)
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()
    logits, targets, counts = make_case(arguments.examples, arguments.candidates)

    with tempfile.TemporaryDirectory() as folder:
        paths = write_runs(Path(folder), arguments.runs, logits, targets, counts)
        start = time.perf_counter()
        write_report(paths, Path(folder) / "report", bootstrap_samples=arguments.samples)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"report: {arguments.runs} runs x {arguments.examples:,} x {arguments.candidates:,}, {int(targets.sum()):,} "
        f"targets, {arguments.samples:,} resamples: {seconds:.1f} s, {peak:.2f} GB (wanted: 60 s, 4 GB)"
    )

    start = time.perf_counter()
    ours = metrics.roc_auc(logits, targets, "macro")
    our_seconds = time.perf_counter() - start
    usable = (targets.any(axis=0)) & (~targets.all(axis=0))
    start = time.perf_counter()
    theirs = sklearn.metrics.roc_auc_score(targets[:, usable], logits[:, usable], average="macro")
    their_seconds = time.perf_counter() - start
    assert abs(ours - theirs) < 1e-9, (ours, theirs)
    print(
        f"macro ROC-AUC over {int(usable.sum()):,} codes: ours {our_seconds:.2f} s, scikit-learn {their_seconds:.2f} "
        f"s: {their_seconds / our_seconds:.1f} times as fast (wanted: 5)"
    )


if __name__ == "__main__":
    main()
