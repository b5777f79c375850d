"""The codes of a task as tables: definitions, synonyms, groups and their names."""

from collections.abc import Sequence

import polars as pl

from data.codes.ccs import Grouping
from data.ontology import LEVELS, Ontology

CodeNames = Ontology | Grouping
"""What knows the definitions and groups of the codes of a task."""


def code_table(codes: Sequence[str], ontology: CodeNames) -> pl.DataFrame:
    """One row per code, in the given order: code, definition, synonyms, one column per level."""
    groups = [ontology.groups(code) for code in codes]
    return pl.DataFrame(
        {
            "code": list(codes),
            "definition": [ontology.definition(code) for code in codes],
            "synonyms": [ontology.synonyms(code) for code in codes],
            **{level: [group[level] for group in groups] for level in LEVELS},
        },
        schema={
            "code": pl.String(),
            "definition": pl.String(),
            "synonyms": pl.List(pl.String),
            **dict.fromkeys(LEVELS, pl.String()),
        },
    )


def group_table(codes: pl.DataFrame, ontology: CodeNames) -> pl.DataFrame:
    """level, group, name for every group in a `code_table`."""
    rows = [
        (level, group, ontology.group_name(level, group)) for level in LEVELS for group in codes[level].unique().sort()
    ]
    return pl.DataFrame(rows, schema=["level", "group", "name"], orient="row")
