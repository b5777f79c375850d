"""The wide part of stage two alone, as training starts with it, beside popularity, own history and ridge.

OMP_NUM_THREADS=1 python tests/benchmarks/bench_wide.py prepared/demo-fold0 prepared/demo-fold1 ...

Several tasks are the folds of one: their test patients are put together. Recall@20 of all codes, of those new to the
patient and of those in the history, and the paired difference of the wide part with a 95% interval over examples.
"""

import argparse

import numpy as np

from data.task import load_task
from mera.config import load_config
from mera.root import ROOT
from rank.baselines.linear import linear
from rank.baselines.simple import own_history, popularity
from rank.config import RankConfig
from rank.start import fitted_wide_part

BASELINES = {"popularity": popularity, "own history": own_history, "linear": linear}
RESAMPLES = 2000


def recalls(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) recall@20 of each example, NaN where it has no target."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    hits = np.take_along_axis(targets, first, axis=1).sum(axis=1)
    number = targets.sum(axis=1)
    return np.where(number > 0, hits / np.maximum(number, 1), np.nan)


def interval(differences: np.ndarray) -> str:
    known = differences[~np.isnan(differences)]
    generator = np.random.default_rng(0)
    means = [known[generator.integers(0, len(known), len(known))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{100 * known.mean():+.1f} ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", help="prepared task, or the folds of one")
    parser.add_argument("--config", default=str(ROOT / "configs" / "rank" / "tiny.yaml"), help="recipe of stage two")
    arguments = parser.parse_args()
    scores: dict[str, list[np.ndarray]] = {name: [] for name in ("wide part", *BASELINES)}
    targets, seen = [], []
    for path in arguments.tasks:
        task = load_task(path)
        config = load_config(RankConfig, arguments.config, {"task": path, "output": "none"})
        scorer = fitted_wide_part(config, task).scorer
        rows = [scorer.tables.patient(row, task.column) for row in task.splits["test"]]
        scores["wide part"].append(scorer.bonus(rows)[:, :-1])
        for name, baseline in BASELINES.items():
            scores[name].append(baseline(task).test)
        targets.append(task.targets("test"))
        seen.append(task.seen("test"))
    true, known = np.concatenate(targets), np.concatenate(seen)
    groups = {"all": true, "new": true & ~known, "recurring": true & known}
    of_wide = {group: recalls(np.concatenate(scores["wide part"]), part) for group, part in groups.items()}
    print(f"{len(true)} examples, recall@20 in percent; in brackets the wide part's difference")
    print(f"{'wide part':14}", *(f"{group} {100 * np.nanmean(values):.1f}" for group, values in of_wide.items()))
    for name in BASELINES:
        parts = []
        for group, part in groups.items():
            own = recalls(np.concatenate(scores[name]), part)
            parts.append(f"{group} {100 * np.nanmean(own):.1f} [{interval(of_wide[group] - own)}]")
        print(f"{name:14}", *parts)


if __name__ == "__main__":
    main()
