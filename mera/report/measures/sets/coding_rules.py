"""The edition's coding rules: which of them sets of codes break, and what mending the predicted sets does to them."""

from dataclasses import dataclass

import numpy as np

from mera.evaluation import bootstrap
from mera.evaluation.coding_rules import KINDS, CodingRules, Violations, mend, violations
from mera.report.measures.estimates import Estimate, estimate
from mera.report.measures.load import Comparable
from mera.runs.predictions import Predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class KindCount:
    """Broken rules of one kind."""

    kind: str
    examples: int
    """Examples that break a rule of the kind."""
    violations: int
    """Pairs of an example and a rule that it breaks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueSetRules:
    """What the true sets break, in order of KINDS; a kind without rules among the candidates is left out."""

    rules: int
    kinds: tuple[KindCount, ...]
    examples: int
    """Examples that break any rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleCheck:
    """What a run's predicted sets break, before and after `mera.evaluation.coding_rules.mend`."""

    kinds: tuple[KindCount, ...]
    examples: int
    """Examples that break any rule."""
    kinds_mended: tuple[KindCount, ...]
    codes_removed: int
    true_codes_removed: int
    """Of these, true ones."""
    micro_f1: Estimate
    micro_f1_mended: Estimate
    micro_f1_change: Estimate
    """On the same resamples."""


def shared_rules(shared: Comparable) -> CodingRules | None:
    """The rules of the runs' task; None where no run brought any."""
    return None if shared.rules is None else CodingRules.of(shared.rules.iter_rows(), shared.codes["code"].to_list())


def true_set_rules(shared: Comparable, rules: CodingRules | None) -> TrueSetRules | None:
    """What the true sets break; None without rules."""
    if rules is None:
        return None
    broken = violations(shared.targets, rules, shared.sexes, shared.ages)
    return TrueSetRules(rules=len(rules), kinds=_counts(broken, rules), examples=len(np.unique(broken.rows)))


def rule_check(
    run: Predictions, shared: Comparable, rules: CodingRules | None, weights: np.ndarray
) -> RuleCheck | None:
    """None without rules, or where the run sets no threshold; weights (B, N)."""
    if rules is None or not np.isfinite(run.thresholds).all():
        return None
    predicted = run.predicted
    mended = mend(run.scores, predicted, rules, shared.sexes, shared.ages)
    broken, left = (violations(sets, rules, shared.sexes, shared.ages) for sets in (predicted, mended))
    before, after = (bootstrap.micro_f1(weights, sets, shared.targets) for sets in (predicted, mended))
    removed = predicted & ~mended
    return RuleCheck(
        kinds=_counts(broken, rules),
        examples=len(np.unique(broken.rows)),
        kinds_mended=_counts(left, rules),
        codes_removed=int(removed.sum()),
        true_codes_removed=int((removed & shared.targets).sum()),
        micro_f1=estimate(before),
        micro_f1_mended=estimate(after),
        micro_f1_change=estimate(after - before, bounds=(-1.0, 1.0)),
    )


def _counts(broken: Violations, rules: CodingRules) -> tuple[KindCount, ...]:
    counts = broken.counts(rules)
    return tuple(
        KindCount(kind=kind, examples=counts[kind][0], violations=counts[kind][1]) for kind in KINDS if kind in counts
    )
