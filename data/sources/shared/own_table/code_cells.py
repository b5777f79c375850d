"""Cells of codes: which columns hold them and what separates several in one cell, and what else stands in columns of
codes or beside them, which is refused."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.ontology import Ontology, load_ontology
from data.sources.shared.own_table.named_codes import CERTAINTY, CODE, bare_codes
from data.sources.shared.own_table.table_columns import SYSTEMS
from data.table_files.columns import without_nothing
from data.table_files.csv_layout import as_name, nameless_beside
from data.table_files.text_tables import read_text_table
from mera.system.errors import UserError

LIST_MARKS = (";", "|", ",", "\n")
_BARE_MARKS = (" ", "/", "^", "~", "&")
"""Between codes without names; behind one with a name they may be part of it."""
SHARE_OF_LISTS = 0.05
"""Of cells that hold several, above which the column is one of lists."""
_SURE_CODE = r"(?:[A-Za-z]\d[0-9A-Za-z](?:\.[0-9A-Za-z]+)?|[A-Za-z]\d{2}[0-9A-Za-z]{1,4}|\d{3}\.\d{1,2}|\d{3,5})"
_LISTS = {
    mark: rf"^\s*{CODE}(\s*{each}\s*{CODE})+\s*$|^[\s\[('\"]*{CODE}\W(?s:.*){each}[\s\[('\"]*{_SURE_CODE}\b"
    for mark, each in zip(LIST_MARKS, map(re.escape, LIST_MARKS), strict=True)
} | {mark: rf"^\s*{CODE}(\s*{re.escape(mark)}\s*{_SURE_CODE})+\s*$" for mark in _BARE_MARKS}
"""Mark -> a cell of several codes with it between them, or of several with their names."""
_DECIMAL_COMMA = r"^\s*[A-Za-z]\d[0-9A-Za-z],\d[0-9A-Za-z]{0,3}\s*$"
"""A code of ICD-10 and no two: none of those begins with a digit."""
SHORTEST_CODE = 3
"""Characters: every edition's categories have as many, and numbers that lost their zeros are not all shorter."""
FEWEST_VALUES = 10
"""Of a column, below which nothing is concluded from them."""
VALUES_TRIED = 400
"""Different values of a column."""
SHARE_OF_CODES, SHARE_OF_NAMED, SHARE_OF_BOTH, SHARE_BESIDE = 0.8, 0.5, 0.95, 0.5
"""Which share of them makes a column one of codes; one that is called so; one of codes of BOTH versions; and one
without a name, beside a column of codes."""
BOTH = ("icd9cm", "icd10cm")
_IN_CELL = (*LIST_MARKS, *_BARE_MARKS)
AROUND = " \t\r\n[](){}\"'"
"""What a program that writes lists may put around a code."""
_CODE_FORM = re.compile(
    r"(?i:ICD-?(?:9|10)-?[A-Z]{0,3}[:|/]+)?(?:"
    r"[Dd]?[A-Za-z]\d[0-9A-Za-z](?:\.?[0-9A-Za-z]{0,4}|\.?[0-9xX]\d\d[xX]\d{3}|,\d[0-9A-Za-z]{0,3})[-+*!#†‡]?|\d{3}(?:\.\d{1,2})?|\d{4,5}|[EeVv]\d{2,3}\.?\d{0,2})"
)


def code_mark(texts: Sequence[str], separator: str | None = None, is_named: bool = False) -> str | None:
    """What separates the codes in the cells `texts`: nothing (""), `separator` or else a usual mark; None where they
    are no codes. `is_named`: the name of their column says so, and they may be codes where none has a letter or a
    point, or where half of them are local ones."""
    listed = [mark for mark in LIST_MARKS if _share_listed(pl.Series(texts, dtype=pl.String), mark) > SHARE_OF_LISTS]
    marks = (*listed, "", *_IN_CELL) if separator is None else ("", separator)
    return next((mark for mark in marks if _are_codes(texts, mark, is_named)), None)


def code_pieces(texts: Sequence[str], separator: str) -> list[str]:
    """The codes in some cells, without their names, the German certainty and the brackets and quotes of a list."""
    split = [piece for text in texts for piece in (text.split(separator) if separator else [text])]
    pieces = bare_codes(pl.Series(split, dtype=pl.String).str.strip_chars(AROUND), None).codes
    certain = ((piece, CERTAINTY.fullmatch(piece)) for piece in pieces.to_list() if piece)
    return [piece if found is None else found[1] for piece, found in certain]


def has_code_form(text: str) -> bool:
    """Whether a cell is written as one code is, known or not."""
    return _CODE_FORM.fullmatch(text.strip(AROUND)) is not None


def best_system(codes: Sequence[str]) -> str:
    """Of SYSTEMS, the one that has most of the different codes; where none has enough, of BOTH the likelier one."""
    codes = list(dict.fromkeys(codes))
    shares = {name: share_of_codes(codes, load_ontology(system)) for name, system in SYSTEMS.items()}
    of_both = [name for name, system in SYSTEMS.items() if system in BOTH]
    return max(SYSTEMS if max(shares.values()) >= SHARE_OF_CODES else of_both, key=shares.__getitem__)


def share_of_codes(codes: Sequence[str], ontology: Ontology) -> float:
    """Which share of some of the codes, from everywhere among them, the edition has."""
    codes = codes[:: -(-len(codes) // VALUES_TRIED) or 1]
    return sum(ontology.knows(code) for code in codes) / max(1, len(codes))


def _are_codes(texts: Sequence[str], separator: str, is_named: bool) -> bool:
    pieces = code_pieces(texts, separator)
    are_numbers = all(piece.isdigit() for piece in pieces)
    share = SHARE_OF_NAMED if is_named and not are_numbers and separator not in _BARE_MARKS else SHARE_OF_CODES
    if not pieces or (separator and len(pieces) <= len(texts)):
        return False
    if sum(bool(_CODE_FORM.fullmatch(piece)) for piece in pieces) < share * len(pieces):
        return False
    if are_numbers and not is_named:
        return False
    if max(share_of_codes(pieces, load_ontology(name)) for name in SYSTEMS.values()) >= share:
        return True
    tried = pieces[:VALUES_TRIED]  # of a table of both versions neither has enough
    return sum(any(load_ontology(name).knows(code) for name in BOTH) for code in tried) >= SHARE_OF_BOTH * len(tried)


def refuse_lists(path: str | Path, rows: pl.DataFrame, code_columns: Sequence[str]) -> None:
    """Raises UserError where a column holds several codes a cell, with or without their names: only visits of a single
    code would be read."""
    for name in code_columns:
        cells = rows[name].drop_nulls()
        single = cells.set(cells.str.contains(_DECIMAL_COMMA), None)
        refuse_listed(path, single, _LISTS, "codes", "--code-separator")


def _share_listed(cells: pl.Series, mark: str) -> float:
    listed = cells.str.contains(_LISTS[mark]) & ~cells.str.contains(_DECIMAL_COMMA)
    return int(listed.sum()) / max(1, len(cells))


def refuse_listed(path: str | Path, values: pl.Series, patterns: Mapping[str, str], what: str, option: str) -> None:
    """Raises UserError where more than a few of `values` hold several of `what`, as the pattern of a mark between them
    shows (`patterns`: mark -> pattern)."""
    for mark, pattern in patterns.items():
        listed = values.str.contains(pattern).sum()
        if listed > SHARE_OF_LISTS * len(values):
            raise UserError(
                f"{path}: {listed:,} of {len(values):,} cells of {what} hold several, with {mark!r} between them; "
                f"say so with {option} {as_option(mark)}"
            )


def as_option(mark: str) -> str:
    """As a shell takes it; a line break as its two letters."""
    return shlex.quote(mark.replace("\n", "\\n"))


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
    beside = nameless_beside(header, [as_name(name) for name in code_columns])
    if not beside:
        return
    cells = read_text_table(path, {name: name for name in beside}, separator=separator, encoding=encoding).rows
    holding = [name for name in beside if share_of_codes(_distinct(cells[name]), edition) >= SHARE_BESIDE]
    if holding:
        named = " ".join(shlex.quote(name) for name in [*code_columns, *holding])
        raise UserError(
            f"{path}: {', '.join(holding)} beside {code_columns[-1]} {'has' if len(holding) == 1 else 'have'} no name, "
            f"and codes as well; read them too with --code {named}, or take them out of the file"
        )


def _distinct(cells: pl.Series) -> list[str]:
    return without_nothing(cells).cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()
