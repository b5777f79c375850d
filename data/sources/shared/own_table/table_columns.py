"""Which columns of a user's table hold what: named on the command line, codes also by a pattern, and how the table is
written."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import polars as pl

from data.sources.shared.events.options import KINDS
from data.sources.shared.own_table.column_names import could_be
from data.table_files.columns import Column, column
from data.table_files.csv_layout import as_name
from data.table_files.meanings import Meaning
from data.table_files.stored_files import NotInUtf8
from data.table_files.text_tables import column_names
from mera.system.errors import UserError

_PATTERN = frozenset("*?[")
_SEVERAL = ("code", *KINDS)
"""What may stand in several columns."""
MOST_PARTS_OF_DATES = 3
SEX_HELP = "F or M, or words for them in one of many languages; see --sex-values"
AGE_HELP = "years, as 67, 67.0, >89, 90+ or [60-70)"
MEANINGS = {
    "patient": Meaning.ID,
    "visit": Meaning.ID,
    "time": Meaning.TIME_OR_DAYS,
    "code": Meaning.CODE,
    "code_version": Meaning.WORD,
    "position": Meaning.NUMBER,
    "sex": Meaning.SEX,
    "age": Meaning.AGE,
    "birth_date": Meaning.BIRTH,
    "text": Meaning.TEXT,
    "procedures": Meaning.WORD,
    "drugs": Meaning.WORD,
    "labs": Meaning.WORD,
}
SYSTEMS = {"icd9": "icd9cm", "icd10": "icd10cm", "icd10who": "icd10who"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """Which column of the user's table holds what; None: none does."""

    patient: str | None = None
    """None: each different note is of a patient of its own."""
    code: str | Sequence[str]
    """One code, or with `code_separator` several; or several such columns, by name or by pattern (`DIAG*`), in the
    order of a visit's codes."""
    code_version: str | None = None
    """The version of ICD of a row's codes, 9 or 10 (`ICD9`, `ICD-10-CM`)."""
    visit: str | None = None
    """Id of the visit; None: rows of a patient with the same day are one, of notes to code those with the same time."""
    time: str | None = None
    """Dates or times (`data.table_files.times`), or numbers of days; None: visits are in the order of their ids. In
    several columns: `year+month` or `year+month+day`."""
    position: str | None = None
    """Numbers that order the codes of a visit; None: their order in a list of codes, else by code."""
    sex: str | None = None
    age: str | None = None
    birth_date: str | None = None
    """Dates or years of birth, in the place of ages: the age is that at the time of a visit."""
    text: str | None = None
    """A note; all rows of a visit repeat it, or only some have it. In several columns: `history+course`."""
    procedures: str | Sequence[str] | None = None
    """What was done in the visit, as `data.sources.shared.events.of_table` reads it; like `code`, several columns or a
    pattern. `drugs` and `labs` (those out of order) likewise."""
    drugs: str | Sequence[str] | None = None
    labs: str | Sequence[str] | None = None
    keep: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column of the file -> the values, in lower case, that a row must have there one of; other rows are left out."""

    def __post_init__(self) -> None:
        if self.text is None:
            self.check_visits()
        if self.time is not None and len(parts_of(self.time)) > MOST_PARTS_OF_DATES:
            raise UserError(f"--time {self.time} names too many columns: year+month or year+month+day")
        if self.birth_date is not None and self.age is not None:
            raise UserError("--age and --birth-date say the same; name one of them")
        if self.birth_date is not None and self.time is None:
            raise UserError("--birth-date needs --time, the dates of the visits, to tell how old the patient was")

    def check_visits(self) -> None:
        """Raises UserError where visits cannot be told apart: notes that are coded each for itself need no more."""
        if self.patient is None:
            raise UserError("a table needs --patient, whose visits they are; notes with their codes do without")
        if self.visit is None and self.time is None:
            raise UserError("a table needs --visit or --time, to tell the visits of a patient apart")

    @property
    def facts(self) -> dict[str, bool]:
        """Whether the table tells the age and the sex of the patients."""
        return {"age": self.age is not None or self.birth_date is not None, "sex": self.sex is not None}

    def named(self) -> dict[str, str | list[str]]:
        """Our name -> the user's, for those there are; without those that `keep` reads."""
        fields = [name for name in self.__dataclass_fields__ if name != "keep"]
        names = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        for name in ("text", "time"):
            parts = parts_of(names.get(name, ""))
            names |= {name: parts} if len(parts) > 1 else {}
        return {name: value if isinstance(value, str) else list(value) for name, value in names.items()}

    def events(self) -> list[str]:
        """Which of KINDS there are columns of."""
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def in_file(self, path: str | Path, separator: str | None, encoding: str | None) -> "TableColumns":
        """These columns with the patterns among those that may be several replaced by the names in the file that match,
        in the file's order. Raises UserError where a pattern matches none, or a column is named twice."""
        several = {name: columns for name, columns in self.named().items() if name in _SEVERAL}
        patterns = {name: [columns] if isinstance(columns, str) else columns for name, columns in several.items()}
        if any(set(pattern) & _PATTERN for columns in patterns.values() for pattern in columns):
            single = [columns for name, columns in self.named().items() if name not in _SEVERAL]
            header = column_names(path, [name for name in single if isinstance(name, str)], separator, encoding)
            patterns = {
                name: [found for pattern in columns for found in matching(path, pattern, header, name)]
                for name, columns in patterns.items()
            }
        for name, columns in patterns.items():
            if len({as_name(column) for column in columns}) < len(columns):
                raise UserError(f"--{name} names a column twice")
        found = {name: columns[0] if len(columns) == 1 else columns for name, columns in patterns.items()}
        more = {kind: found.get(kind) for kind in KINDS}
        return replace(self, code=found["code"], procedures=more["procedures"], drugs=more["drugs"], labs=more["labs"])


def wanted_columns(columns: TableColumns) -> tuple[list[Column], list[str], dict[str, list[str]]]:
    """The columns to read; which of them hold codes: `code`, or `code_0`, `code_1` and so on; and of each kind of
    events likewise. `time_0`, `time_1` and maybe `time_2` are numbers: year, month and day."""
    wanted, ours = [], {}
    for name, headers in columns.named().items():
        if isinstance(headers, str):
            wanted.append(column(name, MEANINGS[name], header=headers, may_be_empty=name in KINDS))
            ours[name] = [name]
            continue
        ours[name] = [f"{name}_{number}" for number in range(len(headers))]
        wanted += [
            column(own, Meaning.WHOLE if name == "time" else MEANINGS[name], header=header, may_be_empty=True)
            for own, header in zip(ours[name], headers, strict=True)
        ]
    wanted += [column(f"keep_{number}", Meaning.WORD, header=header) for number, header in enumerate(columns.keep)]
    return wanted, ours["code"], {kind: ours[kind] for kind in columns.events()}


def parts_of(name: str) -> list[str]:
    """The columns that `history+course` names."""
    return [part.strip() for part in name.split("+") if part.strip()]


def matching(path: str | Path, pattern: str, header: Sequence[str], option: str = "code") -> list[str]:
    """The columns of `header` that a name or pattern of `option` means. Raises UserError where a pattern means none, or
    one of codes takes in columns that by their names hold something else (`DIAG_YEAR`)."""
    if as_name(pattern) in header or not set(pattern) & _PATTERN:
        return [pattern]
    names = [name for name in header if fnmatchcase(name, as_name(pattern))]
    if not names:
        raise UserError(f"{path} has no column that matches --{option} {pattern!r}")
    others = [name for name in names if option == "code" and not could_be(name, "code")]
    if 0 < len(others) < len(names):
        raise UserError(
            f"{path}: --code {pattern!r} takes in {', '.join(others)}, whose names are not those of diagnoses; name "
            "the columns of codes, or a pattern that fits them alone (such as 'DIAG[0-9]*')"
        )
    return names


def add_table_columns(add: Callable[..., object], required: bool = True) -> None:
    """The columns that every table has, and how it is written. `add`: `add_argument` of a parser or of a group of its
    options; `required`: whether there must be those that no table can do without."""
    columns = {
        "patient": "id of the patient (notes to code: each of its own, where there is none)",
        "visit": "id of the visit (default: rows of one day; with --kind coding of one time)",
        "time": "date or time, or days as numbers (default: visits in order of their ids); in columns of numbers: "
        "year+month or year+month+day",
        "code": "diagnosis code; several columns, or a pattern in quotes ('DIAG*'), where a row has one for each",
        "code-version": "version of ICD of the codes, 9 or 10, in a table that holds both",
        "position": "number that orders the codes of a visit",
        "birth-date": "date or year of birth, where there is no --age",
        "procedures": "what was done in the visit: an ICD-10-PCS or ICD-9-CM (39.95) code, or a name (docs/events.md)",
        "drugs": "drug that was given in the visit, by its name",
        "labs": "laboratory result out of order in the visit, as 'creatinine high'",
    }
    for name, meaning in columns.items():
        add(
            f"--{name}",
            required=required and name == "code",
            nargs="+" if name in _SEVERAL else None,
            action=_EventColumns if name in KINDS else None,
            metavar="COLUMN",
            help=meaning,
        )
    add(
        "--icd10-from", metavar="DAY", help="instead of a column: the first day of ICD-10, as 2015-10-01; before, ICD-9"
    )
    add("--event-separator", metavar="TEXT", help="what stands between procedures, drugs or labs in one column")
    add(
        "--code-separator",
        metavar="TEXT",
        type=lambda text: text.replace("\\n", "\n"),
        help="what stands between the codes in one column; '\\n': line breaks in a cell",
    )
    add(
        "--keep",
        nargs="+",
        default=[],
        metavar="COLUMN=VALUES",
        help="read only the rows that have one of these values there, as certainty=G, code_type=DX,ICD10 or excluded= "
        "for an empty cell",
    )
    add("--separator", metavar="CHAR", help="of a CSV (default: found by the header)")
    add("--encoding", metavar="NAME", help="of a CSV, as cp1252 (default: UTF-8, or UTF-16 with its mark)")
    add(
        "--codes",
        metavar="TABLE",
        help="instead of a code system: a national edition of ICD-10 (GM, AM, CIE-10 ...), CSV or Parquet with the "
        "columns code, definition and perhaps parent",
    )


class _EventColumns(argparse.Action):
    """Notes beside the columns which kinds of events there are: what the option --events of other sources says."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        namespace.events = tuple(kind for kind in KINDS if getattr(namespace, kind, None))


def table_columns(arguments: argparse.Namespace) -> TableColumns:
    """The columns that the command line names."""
    named = {name: getattr(arguments, name) for name in TableColumns.__dataclass_fields__}
    named["keep"] = parse_keep(arguments.keep)
    for name in (name for name in _SEVERAL if named[name] is not None):
        single = len(named[name]) == 1 and not set(named[name][0]) & _PATTERN
        named[name] = named[name][0] if single else named[name]
    return TableColumns(**named)


def parse_keep(words: Sequence[str]) -> dict[str, list[str]]:
    """`certainty=G,Z` as column -> values, both in lower case; an empty value is that of empty cells (`excluded=`,
    `certainty=,G`). Raises UserError where it is not that."""
    kept: dict[str, list[str]] = {}
    for word in words:
        name, _, values = word.partition("=")
        listed = [value.strip().lower() for value in values.split(",")]
        if not name.strip() or "=" not in word:
            raise UserError(f"--keep is a column and the values of the rows to read, as certainty=G; got {word!r}")
        kept.setdefault(as_name(name), []).extend(listed)
    return kept


def asked_for(cells: pl.Series, values: Sequence[str]) -> pl.Series:
    """Of each row whether --keep with these `values` reads it, by its cell."""
    return cells.cast(pl.String).str.to_lowercase().fill_null("").is_in(values)


def refuse_none_asked_for(path: str | Path, header: str, values: Sequence[str]) -> NoReturn:
    asked = " or ".join(value or "an empty cell" for value in values)
    raise UserError(f"{path}: no row has {asked} in {header}, which --keep asks for")


@contextmanager
def encoding_hint() -> Iterator[None]:
    """The error on a file that needs its encoding named says how."""
    try:
        yield
    except NotInUtf8 as error:
        raise UserError(
            f"{error}, or name its encoding: --encoding cp1252 reads Latin-1 and Windows, cp932 Japanese, gbk Chinese, "
            "cp949 Korean, cp1251 Cyrillic"
        ) from None
