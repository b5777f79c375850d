"""Which coding rules do annotators' sets of codes break, and what does mending predicted sets do to micro F1?

python tests/benchmarks/bench_coding_rules.py --task prepared/codiesp-en [--split test] [--run runs/codiesp/bm25]

Prints, for the true sets of the split and the predicted sets of each run, by kind: the examples that break a rule and
the pairs of an example and a rule; the rules broken most often; and each run's micro F1 before and after `mend`.
"""

import argparse
from collections import Counter

import numpy as np

from data.task import Task, load_task
from mera.evaluation import metrics
from mera.evaluation.coding_rules import KINDS, CodingRules, Violations, mend, violations
from mera.runs.predictions import code_matrix, read_predictions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--run", action="append", default=[], help="scored on the test split; may be given again")
    parser.add_argument("--top", type=int, default=8, help="rules to name of those broken most often (default: 8)")
    options = parser.parse_args()
    task = load_task(options.task)
    rules = CodingRules.of(task.rules.iter_rows(), task.codes)
    print(
        f"{task.path.name}: {len(task.codes):,} candidates, {len(rules):,} rules: {dict(Counter(rules.kinds.tolist()))}"
    )
    show_true_sets(task, options.split, rules, options.top)
    for path in options.run:
        show_run(path, options.top)


def show_true_sets(task: Task, split: str, rules: CodingRules, top: int) -> None:
    rows = task.splits[split]
    candidates = set(task.codes)
    targets = code_matrix([[code for code in row if code in candidates] for row in rows["targets"]], task.column)
    ages = np.array([np.nan if age is None else age for age in rows["age"]], dtype=np.float32)
    show(f"true sets of {split}", targets, violations(targets, rules, rows["sex"], ages), rules, top)


def show_run(path: str, top: int) -> None:
    run = read_predictions(path)
    assert run.rules is not None, "the run's task has no rules"
    rules = CodingRules.of(run.rules.iter_rows(), run.codes["code"].to_list())
    predicted = run.predicted
    mended = mend(run.scores, predicted, rules, run.sexes, run.ages)
    show(f"{run.name}", predicted, violations(predicted, rules, run.sexes, run.ages), rules, top)
    show(f"{run.name}, mended", mended, violations(mended, rules, run.sexes, run.ages), rules, 0)
    before, after = (metrics.f1(sets, run.targets, "micro") for sets in (predicted, mended))
    removed = predicted & ~mended
    print(
        f"  {removed.sum():,} codes taken away, {(removed & run.targets).sum():,} of them true; "
        f"micro F1 {before:.4f} -> {after:.4f}"
    )


def show(name: str, sets: np.ndarray, broken: Violations, rules: CodingRules, top: int) -> None:
    print(f"{name}: {len(sets):,} sets of {sets.sum():,} codes, {len(np.unique(broken.rows)):,} break a rule")
    counts = broken.counts(rules)
    for kind in KINDS:
        if kind in counts and counts[kind][1]:
            print(f"  {kind:18} {counts[kind][0]:5,} sets {counts[kind][1]:6,} pairs")
    for rule, count in Counter(broken.rules.tolist()).most_common(top):
        print(f"    {count:4} x {rules.kinds[rule]} at {rules.nodes[rule]}: {rules.texts[rule][:90]}")


if __name__ == "__main__":
    main()
