"""How long a report takes and how much memory, and how macro ROC-AUC compares with scikit-learn's.

python tests/benchmarks/bench_report.py                 10 runs x 1,000 examples x 8,000 candidates: 60 s, 4 GB
python tests/benchmarks/bench_report.py --many          40 models of 3 seeds each, 300 x 500: 120 s
python tests/benchmarks/bench_report.py --large         2 runs x 20,000 x 8,000: 3 x the size of one run's scores

All metrics, 1,000 resamples (--large: 100), figures and pages, on 2 cores. The report is made in a process of its own,
whose peak memory is measured. Macro ROC-AUC: equal to scikit-learn's and at least 5 times as fast.
"""

import argparse
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
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


def write_runs(
    folder: Path, runs: int, logits: np.ndarray, targets: np.ndarray, counts: np.ndarray, seeds: int = 1
) -> list[Path]:
    """`seeds` runs of each of `runs` models."""
    generator = np.random.default_rng(1)
    examples, candidates = logits.shape
    numbers = np.arange(candidates)
    codes = pl.DataFrame({"code": [f"C{number:05d}" for number in numbers], "train_count": counts}).with_columns(
        pl.Series(level, [f"{level}-{number // size}" for number in numbers])
        for level, size in {"all": candidates, "chapter": 400, "block": 40, "category": 8}.items()
    )
    seen = targets & (generator.random(targets.shape, dtype=np.float32) < 0.4)
    paths = []
    for number, seed in np.ndindex(runs, seeds):
        name = f"run-{number}" if seeds == 1 else f"run-{number}-seed-{seed}"
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
                "run": name,
                "model": f"model {number}",
                "kind": ("rank", "bi_encoder")[number % 2],
                "config": {"orders": number, "training": {"seed": seed}},
                "calibration": {"slope": 1.0, "intercept": 0.0},
                "task": {"name": "benchmark", "fingerprint": "0" * 64, "split": "test"},
            },
            previous_visits=np.arange(examples) % 7,
            ages=np.arange(examples) % 90,
            sexes=["F" if row % 2 else "M" for row in range(examples)],
        )
        write_predictions(folder / name / "predictions", predictions)
        paths.append(folder / name)
    return paths


def report_in_this_process(paths: list[Path], output: Path, samples: int, result: Connection) -> None:
    """Sends the report's seconds, by the clock and of the CPU, and the most memory of this process in bytes."""
    start, cpu_start = time.perf_counter(), time.process_time()
    write_report(paths, output, bootstrap_samples=samples)
    result.send((time.perf_counter() - start, time.process_time() - cpu_start, peak_memory()))


def peak_memory() -> int:
    """The most memory of this process, in bytes. Not `ru_maxrss`, which a new process inherits from its parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def measure_report(paths: list[Path], output: Path, samples: int) -> tuple[float, float, int]:
    """The same, in a new process."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=report_in_this_process, args=(paths, output, samples, sender))
    process.start()
    sender.close()
    seconds, cpu_seconds, peak = receiver.recv()
    process.join()
    return seconds, cpu_seconds, peak


def compare_roc_auc(logits: np.ndarray, targets: np.ndarray) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each model")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=8000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--many", action="store_true", help="40 models of 3 seeds each, 300 x 500")
    parser.add_argument("--large", action="store_true", help="2 runs x 20,000 x 8,000, 100 resamples")
    arguments = parser.parse_args()
    if arguments.many:
        parser.set_defaults(runs=40, seeds=3, examples=300, candidates=500)
    if arguments.large:
        parser.set_defaults(runs=2, examples=20_000, candidates=8000, samples=100)
    arguments = parser.parse_args()
    logits, targets, counts = make_case(arguments.examples, arguments.candidates)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_runs(Path(folder), arguments.runs, logits, targets, counts, arguments.seeds)
        seconds, cpu_seconds, peak = measure_report(paths, Path(folder) / "report", arguments.samples)
        sizes = {path.name: path.stat().st_size / 1e6 for path in (Path(folder) / "report").glob("[ir]*.*")}
    wanted = "120 s" if arguments.many else "3 x the scores" if arguments.large else "60 s, 4 GB"
    print(
        f"report: {len(paths)} runs x {arguments.examples:,} x {arguments.candidates:,}, {int(targets.sum()):,} "
        f"targets, {arguments.samples:,} resamples: {seconds:.1f} s ({cpu_seconds:.1f} s of CPU), {peak / 1e9:.2f} GB, "
        f"{peak / logits.nbytes:.2f} x the size of one run's scores (wanted: {wanted}); "
        + ", ".join(f"{name} {size:.1f} MB" for name, size in sorted(sizes.items()))
    )
    if not (arguments.many or arguments.large):
        compare_roc_auc(logits, targets)


if __name__ == "__main__":
    main()
