"""Signatures of failure: where the numbers say that something went wrong, and what to do first."""

from collections.abc import Sequence

from mera.report.comparison.signatures import Signature
from mera.report.page.part import Part
from mera.report.page.tables import Cell, Column, Row, Table


def signature_parts(signatures: Sequence[Signature]) -> list[Part]:
    """Nothing where there is none."""
    if not signatures:
        return []
    return [
        Part(
            key="signatures",
            title="What the numbers point at",
            text="Patterns of numbers that usually have one cause. They are rules of thumb: look there first.",
            tables=[
                Table(
                    name="signatures",
                    caption="Limits and rules: mera/report/comparison/signatures.py.",
                    columns=[
                        Column(key="sign", label="Sign"),
                        Column(key="evidence", label="Numbers"),
                        Column(key="advice", label="What to do first"),
                    ],
                    rows=[
                        Row(
                            label=signature.model or "All models",
                            cells=[Cell(value=text) for text in (signature.sign, signature.evidence, signature.advice)],
                        )
                        for signature in signatures
                    ],
                )
            ],
        )
    ]
