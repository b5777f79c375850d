"""Coding rules: how many sets of codes break them, the true ones included, and what mending does to micro F1."""

from collections.abc import Sequence

from mera.evaluation.coding_rules import MENDED
from mera.report.comparison.runs import ComparedRun
from mera.report.measures.sets.coding_rules import KindCount, TrueSetRules
from mera.report.page.part import Part, run_row
from mera.report.page.tables import Cell, Column, Row, Table, cell

KIND_LABELS = {
    "excludes1": "Excludes1",
    "code_first": "Code first",
    "use_additional": "Use additional code",
    "seventh_character": "Characters missing",
    "female_only": "Female only",
    "male_only": "Male only",
    "newborn_only": "Newborn only",
    "pediatric_only": "Child only",
    "maternity_age": "Age of pregnancy",
    "adult_only": "Adult only",
}


def coding_rule_parts(true_sets: TrueSetRules | None, runs: Sequence[ComparedRun]) -> list[Part]:
    """Nothing where the task has no rules."""
    if true_sets is None:
        return []
    return [
        Part(
            key="coding-rules",
            title="Coding rules",
            text=f"The task's candidates stand under {true_sets.rules:,} rules of their edition. Annotators break them "
            "too: two conditions that have nothing to do with each other may be coded in spite of an Excludes1 note, "
            "and a note's cause may be documented elsewhere.",
            tables=[_violations(true_sets, runs), *_mended(runs)],
        )
    ]


def _violations(true_sets: TrueSetRules, runs: Sequence[ComparedRun]) -> Table:
    kinds = [count.kind for count in true_sets.kinds]

    def cells(counts: Sequence[KindCount], examples: int) -> list[Cell]:
        by_kind = {count.kind: count for count in counts}
        return [Cell(value=examples), *(Cell(value=by_kind[kind].violations) for kind in kinds)]

    checked = [(run, run.breakdown.coding_rules) for run in runs]
    return Table(
        name="coding-rules",
        caption="Broken rules: examples with any, and pairs of an example and a rule, by kind. Sex and age count where "
        "they are known. A run without a threshold predicts no sets.",
        columns=[
            Column(key="examples", label="Examples", format="whole"),
            *(Column(key=kind, label=KIND_LABELS[kind], format="whole") for kind in kinds),
        ],
        rows=[
            Row(label="True codes", note="as annotated", cells=cells(true_sets.kinds, true_sets.examples)),
            *(
                run_row(run, [Cell()] * (1 + len(kinds)) if check is None else cells(check.kinds, check.examples))
                for run, check in checked
            ),
        ],
    )


def _mended(runs: Sequence[ComparedRun]) -> list[Table]:
    checked = [(run, check) for run in runs if (check := run.breakdown.coding_rules) is not None]
    if not checked:
        return []
    return [
        Table(
            name="coding-rules-mended",
            caption="Predictions mended (--rules apply): of codes that exclude each other the lower-scored goes, an "
            "incomplete code where a complete one below it is predicted, and what the patient's sex or age rules out. "
            "No code is added, so what asks for a further code stays. Micro F1 before and after on the same resamples.",
            columns=[
                Column(key="violations", label="Broken rules that can be mended", format="whole"),
                Column(key="violations_mended", label="Left", format="whole"),
                Column(key="codes_removed", label="Codes taken away", format="whole"),
                Column(key="true_codes_removed", label="Of these true", format="whole"),
                Column(key="micro_f1", label="Micro F1, %", format="percent"),
                Column(key="micro_f1_mended", label="Mended, %", format="percent"),
                Column(key="micro_f1_change", label="Change, points", format="points"),
            ],
            rows=[
                run_row(
                    run,
                    [
                        Cell(value=_mendable(check.kinds)),
                        Cell(value=_mendable(check.kinds_mended)),
                        Cell(value=check.codes_removed),
                        Cell(value=check.true_codes_removed),
                        cell(check.micro_f1),
                        cell(check.micro_f1_mended),
                        cell(check.micro_f1_change),
                    ],
                )
                for run, check in checked
            ],
        )
    ]


def _mendable(counts: Sequence[KindCount]) -> int:
    return sum(count.violations for count in counts if count.kind in MENDED)
