"""Which columns of a table hold the codes of diagnoses, and of which edition they are."""

import re
import sys
from collections.abc import Sequence

import polars as pl

from data.sources.shared.own_table.code_cells import FEWEST_VALUES, best_system, code_mark, code_pieces
from data.sources.shared.own_table.column_kinds import distinct
from data.sources.shared.own_table.column_names import NAMES, OF_DIAGNOSES, RATHER_NOT, could_be, is_called
from data.table_files.csv_layout import nameless_beside
from mera.system.errors import UserError


def code_columns(rows: pl.DataFrame, free: Sequence[str], separator: str | None) -> tuple[list[str], str | None]:
    """The columns whose values are codes, and what separates the codes in one cell: those that are called so, else the
    one. Beside columns of lists there may be one of single codes, as the principal diagnosis is. Raises UserError where
    several could be and none is called so."""
    marks = {
        name: mark
        for name in free
        if could_be(name, "code")
        and (mark := code_mark(distinct(rows[name]), separator, is_called(name, OF_DIAGNOSES))) is not None
    }
    named = [name for name in marks if is_called(name, NAMES["code"])]
    named = [name for name in named if not is_called(name, RATHER_NOT["code"])] or named
    # Ids such as P000 and D012 look like codes.
    ids = "|".join(NAMES[name] for name in ("patient", "visit", "note"))
    others = [name for name in marks if not is_called(name, ids)]
    if not named and len(others) > 1:
        raise UserError(f"{', '.join(others)} all seem to hold ICD codes; name those of diagnoses with --code")
    having = named or others
    having += [name for name in nameless_beside(rows.columns, having) if name in marks]  # under a merged header
    separator = next((marks[name] for name in having if marks[name]), separator)
    chosen = [name for name in having if marks[name] in ("", separator)]
    left = sorted({*named, *others} - {*chosen})
    tell_left_out("columns with codes, by their values", left, "--code says which are meant")
    return chosen, separator


def system_of(rows: pl.DataFrame, columns: Sequence[str], separator: str | None) -> str:
    """The edition of the codes in `columns`, of CODE_SYSTEMS. Raises UserError where one column is of ICD-9 and another
    of ICD-10."""
    pieces = {name: code_pieces(distinct(rows[name.strip().lower()]), separator or "") for name in columns}
    of_nine = [name for name, codes in pieces.items() if codes and best_system(codes) == "icd9"]
    of_ten = [name for name, codes in pieces.items() if codes and name not in of_nine]
    if of_nine and of_ten and all(len(pieces[name]) >= FEWEST_VALUES for name in (*of_nine, *of_ten)):
        raise UserError(
            f"{', '.join(of_nine)} {'is' if len(of_nine) == 1 else 'are'} of ICD-9 and {', '.join(of_ten)} of ICD-10; "
            f"name those of one edition with --code"
        )
    return best_system([code for codes in pieces.values() for code in codes])


def as_pattern(names: list[str], rows: pl.DataFrame) -> list[str]:
    """`dx*` for dx1, dx2, ..., where no other column begins so, but further ones that are empty here."""
    start = names[0].rstrip("0123456789")
    numbered = re.compile(rf"{re.escape(start)}\d+")
    others = [name for name in rows.columns if name.startswith(start) and name not in names]
    are_of_one_row = len(names) > 1 and start and all(map(numbered.fullmatch, [*names, *others]))
    return [f"{start}*"] if are_of_one_row and all(rows[name].is_null().all() for name in others) else names


def tell_left_out(what: str, names: list[str], remedy: str) -> None:
    """Print which columns were not taken, and what takes them."""
    if names:
        print(f"not taken: {what}: {', '.join(sorted(names))} ({remedy})", file=sys.stderr)
