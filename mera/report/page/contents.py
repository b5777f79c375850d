"""What the report contains: the parts in order, grouped by the question that they answer, the same for every form."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mera.report.comparison.words.summary import TaskReport
from mera.report.page.part import Part
from mera.report.page.parts.groups.coarse_levels import coarse_level_parts
from mera.report.page.parts.groups.codes import confusion_parts
from mera.report.page.parts.groups.hidden_codes import hidden_code_parts
from mera.report.page.parts.groups.hierarchy import hierarchy_parts
from mera.report.page.parts.groups.new_codes import new_code_parts
from mera.report.page.parts.groups.reliability import group_parts
from mera.report.page.parts.groups.strata import chapter_parts, stratum_part
from mera.report.page.parts.predicted_sets.coding_rules import coding_rule_parts
from mera.report.page.parts.predicted_sets.decisions import decision_part
from mera.report.page.parts.predicted_sets.guarantees import guarantee_parts
from mera.report.page.parts.predicted_sets.reliability import reliability_parts
from mera.report.page.parts.ranking.ablations import ablation_parts
from mera.report.page.parts.ranking.differences import difference_parts
from mera.report.page.parts.ranking.fusion import fusion_parts
from mera.report.page.parts.ranking.models import models_part, recall_part
from mera.report.page.parts.ranking.published import published_parts
from mera.report.page.parts.ranking.seeds import seed_parts
from mera.report.page.parts.ranking.widths import width_parts
from mera.report.page.parts.runs.cost import cost_part
from mera.report.page.parts.runs.data_card import data_card_part
from mera.report.page.parts.runs.signatures import signature_parts
from mera.report.page.parts.runs.stage_one import stage_one_parts
from mera.report.page.parts.runs.training import training_parts
from mera.system.errors import UserError

CORE, ALL = "core", "all"
METHOD, EVIDENCE = "method", "evidence"
TITLES = {
    "best": ("Best", "Which model ranks best?"),
    "new": ("New diagnoses", "On new diagnoses?"),
    "rare": ("Rare codes", "On rare and unseen codes?"),
    "whom": ("For whom", "For whom?"),
    "sets": ("How many", "How many codes?"),
    "limits": ("Limits", "What not to conclude"),
    "errors": ("Errors", "Where does it err?"),
    "parts": ("Parts", "What does each part bring?"),
    "stage-one": ("Stage one", "What does stage one know?"),
    "widths": ("Widths", "Widths and speed"),
    EVIDENCE: ("Patients", "Single patients, with evidence"),
    "cost": ("Cost", "What did it cost?"),
    "data": ("Data", "Data card"),
    "provenance": ("Provenance", "Provenance"),
    METHOD: ("Method", "How the numbers are made"),
}
"""Question -> what the contents call it and its heading, in order. `limits`, `evidence`, `provenance` and `method` hold
no parts: the page writes them itself, and `method` once for all tasks."""
CORE_KEYS = ("best", "new", "rare", "whom", "sets", "limits")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    key: str
    short_title: str
    """In the contents."""
    title: str
    answer: Sequence[str]
    """What the numbers say, in sentences."""
    parts: Sequence[Part]

    @property
    def is_core(self) -> bool:
        return self.key in CORE_KEYS


def chosen_sections(sections: str) -> frozenset[str]:
    """`core`, `all` or a list with commas -> keys of TITLES."""
    if sections in (CORE, ALL):
        return frozenset(CORE_KEYS if sections == CORE else TITLES)
    keys = [key.strip() for key in sections.split(",") if key.strip()]
    unknown = [key for key in keys if key not in TITLES]
    if unknown or not keys:
        wrong = f"no section is called {unknown[0]!r}" if unknown else "--sections names none"
        raise UserError(f"{wrong}; --sections takes core, all or some of {', '.join(TITLES)}, with commas between")
    return frozenset(keys)


def questions(report: TaskReport, prefix: str, sections: frozenset[str]) -> list[Question]:
    """The chosen ones that have something to show; `prefix` makes figures' names unique over tasks."""
    comparison, shown = report.comparison, report.comparison.shown
    runs, strata = shown.runs, {stratum.key: stratum for stratum in shown.strata}
    in_full = [run.first_seed for run in runs]

    def by_stratum(*keys: str, drawn: bool = False) -> list[Part]:
        return [stratum_part(strata[key], runs, prefix, drawn=drawn) for key in keys if key in strata]

    parts: dict[str, Callable[[], Sequence[Part]]] = {
        "best": lambda: [
            models_part(comparison),
            *difference_parts(runs, shown.pairs, prefix),
            recall_part(runs, prefix),
            *signature_parts(comparison.signatures),
            *published_parts(comparison.published, runs),
        ],
        "new": lambda: [*new_code_parts(runs, shown.pairs, prefix), *by_stratum("recurrence", drawn=True)],
        "rare": lambda: [*by_stratum("frequency", drawn=True), *hidden_code_parts(in_full)],
        "whom": lambda: [*group_parts(comparison, prefix), *by_stratum("age", "sex", "visits")],
        "sets": lambda: [
            decision_part(in_full, comparison.targets_per_example, prefix),
            *guarantee_parts(in_full, shown.strata, comparison.task.protocol),
            *reliability_parts(in_full, prefix),
            *coding_rule_parts(comparison.true_set_rules, in_full),
        ],
        "errors": lambda: [
            *hierarchy_parts(in_full, prefix),
            *confusion_parts(comparison),
            *coarse_level_parts(in_full),
            *chapter_parts(shown.strata, runs),
        ],
        "parts": lambda: [
            *seed_parts(comparison.seeds),
            *ablation_parts(comparison.ablations, comparison.runs),
            *fusion_parts(comparison.runs),
        ],
        "stage-one": lambda: stage_one_parts(comparison.runs),
        "widths": lambda: width_parts(in_full, prefix),
        "cost": lambda: [cost_part(comparison.runs), *training_parts(comparison.runs, prefix)],
        "data": lambda: [data_card_part(comparison)],
    }
    made = {key: make() for key, make in parts.items() if key in sections}
    return [
        Question(key=key, short_title=short, title=title, answer=report.answers.get(key, ()), parts=made.get(key, []))
        for key, (short, title) in TITLES.items()
        if key in sections and key != METHOD and (made.get(key) or key not in parts)
    ]
