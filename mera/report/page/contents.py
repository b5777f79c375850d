"""What the report contains, in order: the same parts for every form of the report."""

from mera.report.comparison.compare import Comparison
from mera.report.page.part import Part
from mera.report.page.parts.groups.coarse_levels import coarse_level_parts
from mera.report.page.parts.groups.codes import confusion_parts
from mera.report.page.parts.groups.hidden_codes import hidden_code_parts
from mera.report.page.parts.groups.hierarchy import hierarchy_parts
from mera.report.page.parts.groups.strata import stratum_part
from mera.report.page.parts.predicted_sets.coding_rules import coding_rule_parts
from mera.report.page.parts.predicted_sets.decisions import decision_part
from mera.report.page.parts.predicted_sets.guarantees import guarantee_parts
from mera.report.page.parts.predicted_sets.reliability import reliability_parts
from mera.report.page.parts.ranking.ablations import ablation_parts
from mera.report.page.parts.ranking.differences import difference_parts
from mera.report.page.parts.ranking.fusion import fusion_parts
from mera.report.page.parts.ranking.models import models_part
from mera.report.page.parts.ranking.published import published_parts
from mera.report.page.parts.ranking.seeds import seed_parts
from mera.report.page.parts.ranking.widths import width_parts
from mera.report.page.parts.runs.cost import cost_part
from mera.report.page.parts.runs.data_card import data_card_part
from mera.report.page.parts.runs.signatures import signature_parts
from mera.report.page.parts.runs.stage_one import stage_one_parts
from mera.report.page.parts.runs.training import training_parts


def section_parts(comparison: Comparison, prefix: str) -> list[Part]:
    """Every part of a task's section that has something to show; `prefix` makes figures' names unique over sections."""
    runs = comparison.runs
    return [
        models_part(comparison, prefix),
        *signature_parts(comparison.signatures),
        *published_parts(comparison.published, runs),
        *difference_parts(runs, comparison.pairs, prefix),
        *seed_parts(comparison.seeds),
        *fusion_parts(runs),
        *ablation_parts(comparison.ablations, runs),
        *(stratum_part(stratum, runs, prefix) for stratum in comparison.strata),
        *hidden_code_parts(runs),
        *coarse_level_parts(runs),
        *hierarchy_parts(runs, prefix),
        *confusion_parts(comparison),
        decision_part(runs, comparison.targets_per_example, prefix),
        *guarantee_parts(runs, comparison.strata, comparison.task.protocol),
        *coding_rule_parts(comparison.true_set_rules, runs),
        *reliability_parts(runs, prefix),
        *width_parts(runs, prefix),
        *stage_one_parts(runs),
        *training_parts(runs, prefix),
        cost_part(runs),
        data_card_part(comparison),
    ]
