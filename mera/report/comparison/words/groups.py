"""For which patients the best model is ahead of its rival, and for which nothing can be said."""

from collections.abc import Sequence
from dataclasses import dataclass

from mera.report.comparison.compare import Comparison
from mera.report.comparison.pairs import is_supported, is_tested
from mera.report.comparison.runs import ComparedRun, competitors
from mera.report.comparison.strata import Group, GroupDifference, StratifiedRecall
from mera.report.text import first_capital

PATIENT_STRATA = ("age", "sex", "visits")
WIDE = 0.1
"""Width of an interval from which on a group's difference says too little: 10 points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupComparison:
    """The best model against its rival in one group of patients."""

    stratum: str
    title: str
    group: Group
    recall: float | None
    """Recall@20 of the best model."""
    rival_recall: float | None
    difference: float | None
    low: float | None
    """None where the group is too small to be tested, or all its patients differ alike."""
    high: float | None
    tested: bool
    supported: bool

    @property
    def label(self) -> str:
        return f"{self.stratum} {self.group.label}"

    @property
    def is_unreliable(self) -> bool:
        """There is no test, or an interval too wide for a statement where it supports none."""
        too_wide = self.low is not None and self.high is not None and self.high - self.low > WIDE
        return not self.tested or (not self.supported and too_wide)

    @property
    def statement(self) -> str:
        if self.difference is None:
            return "no number"
        if not self.tested:
            return "too few patients"
        if self.supported:
            return "ahead for certain" if self.difference > 0 else "behind for certain"
        return "interval too wide" if self.is_unreliable else "not told apart"


def rival_of_best(runs: Sequence[ComparedRun]) -> ComparedRun | None:
    """What the best model has to beat: the best simple model, or the second where there is none or it is the best."""
    best, *others = competitors(runs)
    if not others:
        return None
    simple = [run for run in others if run.is_baseline]
    return others[0] if best.is_baseline or not simple else simple[0]


def compare_groups(comparison: Comparison) -> list[GroupComparison]:
    """Every group of patients that has a true code; empty without a rival."""
    runs = competitors(comparison.shown.runs)
    rival = rival_of_best(runs) if runs else None
    if rival is None:
        return []
    return [
        _in_group(stratum, place, runs[0], rival)
        for stratum in comparison.shown.strata
        if stratum.key in PATIENT_STRATA
        for place, group in enumerate(stratum.groups)
        if group.targets
    ]


def group_statements(comparison: Comparison) -> list[str]:
    """Where the best model is ahead or behind for certain, and which groups allow no statement."""
    groups = compare_groups(comparison)
    if not groups:
        return []
    best = competitors(comparison.shown.runs)[0].label
    rival = rival_of_best(competitors(comparison.shown.runs))
    assert rival is not None, "groups are compared with it"
    ahead, behind = ([g for g in groups if g.statement == f"{way} for certain"] for way in ("ahead", "behind"))
    lower = [group for group in groups if group.statement == "not told apart" and (group.difference or 0.0) < 0]
    sentences = [
        f"{first_capital(best)} is ahead of {rival.label} for certain in {len(ahead) or 'none'} of {len(groups)} "
        "groups of patients."
    ]
    if behind:
        sentences.append(f"It is behind for certain in: {_named(behind)}.")
    if lower:
        sentences.append(f"It is lower, but not for certain, in: {_named(lower)}.")
    unreliable = [group for group in groups if group.is_unreliable]
    if unreliable:
        sentences.append(
            f"Nothing can be said, for too few patients or an interval wider than {100 * WIDE:.0f} points, of: "
            f"{_named(unreliable)}."
        )
    return sentences


def _named(groups: Sequence[GroupComparison]) -> str:
    return ", ".join(f"{group.label} ({group.group.patients:,} patients)" for group in groups)


def _in_group(stratum: StratifiedRecall, place: int, best: ComparedRun, rival: ComparedRun) -> GroupComparison:
    recall, other = stratum.values[best.name][place].value, stratum.values[rival.name][place].value
    pair = _pair(stratum.pairs, place, best.name, rival.name)
    turned = pair is not None and pair.first != best.name
    low, high = (None, None) if pair is None else (pair.low, pair.high)
    if turned and low is not None and high is not None:
        low, high = -high, -low
    return GroupComparison(
        stratum=stratum.key,
        title=stratum.title,
        group=stratum.groups[place],
        recall=recall,
        rival_recall=other,
        difference=None if recall is None or other is None else recall - other,
        low=low,
        high=high,
        tested=pair is not None and is_tested(pair),
        supported=pair is not None and is_supported(pair),
    )


def _pair(pairs: Sequence[GroupDifference], place: int, first: str, second: str) -> GroupDifference | None:
    return next((pair for pair in pairs if pair.group == place and {pair.first, pair.second} == {first, second}), None)
