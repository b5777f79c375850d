"""Columns of codes that hold something else in their cells, or codes beside them, and are refused for it."""

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.ontology import Ontology, UnknownCode
from data.table_files.columns import without_nothing
from data.table_files.csv_layout import nameless_beside
from data.table_files.text_tables import read_text_table
from mera.system.errors import UserError

LIST_MARKS = (";", "|", ",")
SHARE_OF_LISTS = 0.05
"""Of cells that hold several, above which the column is one of lists."""
_CODE = r"[A-Za-z0-9][0-9][0-9A-Za-z][0-9A-Za-z.]*"
SHORTEST_CODE = 3
"""Characters: every edition's categories have as many, and numbers that lost their zeros are not all shorter."""
FEWEST_VALUES = 10
"""Of a column, below which nothing is concluded from them."""
VALUES_TRIED, SHARE_OF_CODES = 400, 0.5
"""Different values of a column without a name, and which share of them makes it one of codes."""


def refuse_lists(path: str | Path, rows: pl.DataFrame, code_columns: Sequence[str]) -> None:
    """Raises UserError where a column holds several codes a cell: only visits of a single code would be read."""
    patterns = {mark: rf"^\s*{_CODE}(\s*{re.escape(mark)}\s*{_CODE})+\s*$" for mark in LIST_MARKS}
    for name in code_columns:
        refuse_listed(path, rows[name].drop_nulls(), patterns, "codes", "--code-separator")


def refuse_listed(path: str | Path, values: pl.Series, patterns: Mapping[str, str], what: str, option: str) -> None:
    """Raises UserError where more than a few of `values` hold several of `what`, as the pattern of a mark between them
    shows (`patterns`: mark -> pattern)."""
    for mark, pattern in patterns.items():
        listed = values.str.contains(pattern).sum()
        if listed > SHARE_OF_LISTS * len(values):
            raise UserError(
                f"{path}: {listed:,} of {len(values):,} cells of {what} hold several, with {mark!r} between them; "
                f"say so with {option} {shlex.quote(mark)}"
            )


def refuse_flags(path: str | Path, rows: pl.DataFrame, header_of: Mapping[str, str]) -> None:
    """Raises UserError where one of several columns of codes has no value of three characters: the flags (present on
    admission) and counts beside the codes, which a pattern such as `dx*` catches. `header_of`: column -> its name in
    the file."""
    flags = [
        header
        for column, header in header_of.items()
        if len(values := rows[column].drop_nulls()) >= FEWEST_VALUES and (values.str.len_chars() < SHORTEST_CODE).all()
    ]
    if flags and len(header_of) > 1:
        raise UserError(
            f"{path}: no value of {', '.join(flags)} is as long as a code; name the columns of codes without "
            f"{'it' if len(flags) == 1 else 'them'} (--code dx1 dx2 ..., or a pattern that fits them alone)"
        )


def refuse_nameless(
    path: str | Path,
    header: Sequence[str],
    code_columns: Sequence[str],
    edition: Ontology,
    separator: str | None,
    encoding: str | None,
) -> None:
    """Raises UserError where columns without a name, right of a column of codes, hold codes of `edition` too: a merged
    header names the first alone, and only that one would be read. `header`: of the file, `code_columns`: its names."""
    beside = nameless_beside(header, [name.strip().lower() for name in code_columns])
    if not beside:
        return
    cells = read_text_table(path, {name: name for name in beside}, separator=separator, encoding=encoding).rows
    holding = [name for name in beside if _share_of_codes(without_nothing(cells[name]), edition) >= SHARE_OF_CODES]
    if holding:
        named = " ".join(shlex.quote(name) for name in [*code_columns, *holding])
        raise UserError(
            f"{path}: {', '.join(holding)} beside {code_columns[-1]} {'has' if len(holding) == 1 else 'have'} no name, "
            f"and codes as well; read them too with --code {named}, or take them out of the file"
        )


def _share_of_codes(values: pl.Series, edition: Ontology) -> float:
    tried, known = values.cast(pl.String).drop_nulls().unique(maintain_order=True).head(VALUES_TRIED), 0
    for code in tried:
        with contextlib.suppress(UnknownCode):
            edition.resolve(code)
            known += 1
    return known / max(1, len(tried))
