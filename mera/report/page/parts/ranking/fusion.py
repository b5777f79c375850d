"""What a fusion is made of: each part's weight, its share, and what it is worth alone."""

from collections.abc import Sequence

from mera.report.comparison.runs import ComparedRun
from mera.report.measures.run_manifest import FusedRuns
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table
from mera.report.text import number


def fusion_parts(runs: Sequence[ComparedRun]) -> list[Part]:
    """Nothing where no run is a fusion."""
    fusions = [(run, run.manifest.fusion) for run in runs if run.manifest.fusion is not None]
    if not fusions:
        return []
    tables = []
    for count, (run, fusion) in enumerate(fusions, start=1):
        name = "fusion" if len(fusions) == 1 else f"fusion-{count}"
        tables.append(_table(name, run.label, fusion))
    text = (
        "Each part's scores are turned into log-odds and added up with a weight, which is 0 for a part that adds "
        "nothing; codes get an offset by how often training showed them. A part's share is its covariance with the "
        "fused score over that score's variance. The parts' own figures on validation are flattered where they chose "
        "a setting by that split."
    )
    return [Part(key="fusion", title="What a fusion is made of", text=text, tables=tables)]


def _table(name: str, label: str, fusion: FusedRuns) -> Table:
    rows = [
        Row(
            label=part.model,
            note=part.name,
            cells=[Cell(value=v) for v in (part.weight, part.share, part.validation_map, part.validation_micro_f1)],
        )
        for part in fusion.parts
    ]
    whole = [None, None, fusion.validation_map, fusion.validation_micro_f1]
    rows.append(Row(label="Fused", note="cross-fitted", cells=[Cell(value=value) for value in whole]))
    fitted = f"weights fitted on {number(fusion.validation_rows, 0)} validation examples"
    if fusion.trees is not None:
        fitted = (
            f"weights, and the {number(fusion.trees, 0)} trees that correct their sum, fitted on "
            f"{number(fusion.training_rows, 0)} training examples, scored out of fold, and "
            f"{number(fusion.validation_rows, 0)} of validation"
        )
    offsets = ", ".join(f"{group} {number(offset)}" for group, offset in fusion.offsets.items())
    return Table(
        name=name,
        caption=f"{label}: {fitted}. Fused figures on validation "
        f"are cross-fitted in {number(fusion.folds, 0)} folds of patients. Offsets in log-odds by training "
        f"examples of a code: {offsets}.",
        columns=[
            Column(key="weight", label="Weight", format="hundredths"),
            Column(key="share", label="Share", format="percent"),
            Column(key="validation_map", label="MAP, validation", format="percent"),
            Column(key="validation_micro_f1", label="Micro F1, validation", format="percent"),
        ],
        rows=rows,
        corner="Part",
    )
