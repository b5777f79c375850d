"""Which columns of a user's table hold what: named on the command line, codes also by a pattern, and how the table is
written."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from data.table_files.stored_files import NotInUtf8
from data.table_files.text_tables import column_names
from mera.system.errors import UserError

_PATTERN = frozenset("*?[")
SEX_HELP = "F or M, or words for them in one of many languages; see --sex-values"
AGE_HELP = "years, as 67, 67.0, >89, 90+ or [60-70)"
SYSTEMS = {"icd9": "icd9cm", "icd10": "icd10cm", "icd10who": "icd10who"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """Which column of the user's table holds what; None: none does."""

    patient: str
    code: str | Sequence[str]
    """One code, or with `code_separator` several; or several such columns, by name or by pattern (`DIAG*`), in the
    order of a visit's codes."""
    visit: str | None = None
    """Id of the visit; None: rows of a patient with the same time are one."""
    time: str | None = None
    """Dates or times (`data.table_files.times`), or numbers of days; None: visits are in the order of their ids."""
    position: str | None = None
    """Numbers that order the codes of a visit; None: their order in a list of codes, else by code."""
    sex: str | None = None
    age: str | None = None
    text: str | None = None
    """A note; all rows of a visit repeat it, or only some have it."""

    def __post_init__(self) -> None:
        if self.visit is None and self.time is None:
            raise UserError("a table needs --visit or --time, to tell the visits of a patient apart")

    def named(self) -> dict[str, str | list[str]]:
        """Our name -> the user's, for those there are."""
        names = {name: getattr(self, name) for name in self.__dataclass_fields__ if getattr(self, name) is not None}
        return names | {"code": self.code if isinstance(self.code, str) else list(self.code)}

    def in_file(self, path: str | Path, separator: str | None, encoding: str | None) -> "TableColumns":
        """These columns with the patterns among the columns of codes replaced by the names in the file that match,
        in the file's order. Raises UserError where a pattern matches none, or a column is named twice."""
        patterns = [self.code] if isinstance(self.code, str) else list(self.code)
        if not any(set(pattern) & _PATTERN for pattern in patterns):
            names = patterns
        else:
            others = [getattr(self, name) for name in self.__dataclass_fields__ if name != "code"]
            header = column_names(path, [name for name in others if name is not None], separator, encoding)
            names = [name for pattern in patterns for name in matching(path, pattern, header)]
        if len({name.strip().lower() for name in names}) < len(names):
            raise UserError("--code names a column twice")
        return replace(self, code=names[0] if len(names) == 1 else names)


def matching(path: str | Path, pattern: str, header: Sequence[str]) -> list[str]:
    """The columns of `header` that a name or pattern of codes means. Raises UserError where a pattern means none."""
    if pattern.strip().lower() in header or not set(pattern) & _PATTERN:
        return [pattern]
    names = [name for name in header if fnmatchcase(name, pattern.strip().lower())]
    if not names:
        raise UserError(f"{path} has no column that matches --code {pattern!r}")
    return names


def add_table_columns(add: Callable[..., object], required: bool = True) -> None:
    """The columns that every table has, and how it is written. `add`: `add_argument` of a parser or of a group of its
    options; `required`: whether there must be those that no table can do without."""
    columns = {
        "patient": "id of the patient",
        "visit": "id of the visit (default: rows of one time)",
        "time": "date or time, or days as numbers (default: visits in order of their ids)",
        "code": "diagnosis code; several columns, or a pattern in quotes ('DIAG*'), where a row has one for each",
        "position": "number that orders the codes of a visit",
    }
    for name, meaning in columns.items():
        add(
            f"--{name}",
            required=required and name in ("patient", "code"),
            nargs="+" if name == "code" else None,
            metavar="COLUMN",
            help=meaning,
        )
    add("--code-separator", metavar="TEXT", help="what stands between the codes in one column")
    add("--separator", metavar="CHAR", help="of a CSV (default: found by the header)")
    add("--encoding", metavar="NAME", help="of a CSV, as cp1252 (default: UTF-8, or UTF-16 with its mark)")
    add(
        "--codes",
        metavar="TABLE",
        help="instead of a code system: a national edition of ICD-10 (GM, AM, CIE-10 ...), CSV or Parquet with the "
        "columns code, definition and perhaps parent",
    )


def table_columns(arguments: argparse.Namespace) -> TableColumns:
    """The columns that the command line names."""
    named = {name: getattr(arguments, name) for name in TableColumns.__dataclass_fields__}
    code = named["code"]
    single = len(code) == 1 and not set(code[0]) & _PATTERN
    return TableColumns(**named | {"code": code[0] if single else code})


@contextmanager
def encoding_hint() -> Iterator[None]:
    """The error on a file that needs its encoding named says how."""
    try:
        yield
    except NotInUtf8 as error:
        raise UserError(f"{error}, or name its encoding: --encoding cp1252 reads Latin-1 and Windows") from None
