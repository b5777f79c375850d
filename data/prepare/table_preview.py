"""`mera prepare table --preview` and `--template`: what a table of one's own is taken for, before anything is written,
and an example of one.

No value of the user's table is printed: texts are shown by their form, letters and digits masked.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import polars as pl
from rich.console import Console
from rich.table import Table

from data.inspection.summary import print_account
from data.ledger import Ledger, UnreadableColumn
from data.sources import table
from data.sources.shared.own_table.table_columns import encoding_hint, table_columns, wanted_columns
from data.sources.shared.source_command import Arguments
from data.table_files.columns import Column, without_nothing
from data.table_files.meanings import Meaning, form_of
from data.table_files.text_tables import column_names, read_text_table
from mera.system.errors import UserError
from mera.system.terminal import plain_console

FORMS, FIRST_ROWS = 3, 5
_TAKEN_FOR = {
    "patient": "id of the patient",
    "visit": "id of the visit",
    "time": "time of the visit",
    "code": "diagnosis code",
    "code_version": "version of ICD",
    "position": "order of the codes",
    "sex": "sex",
    "age": "age in years",
    "birth_date": "date of birth",
    "text": "note",
    "procedures": "procedure of the visit",
    "drugs": "drug of the visit",
    "labs": "laboratory result out of order",
    "keep": "whether the row is read (--keep)",
}
_PATTERNS = (
    ("F", 64, (("2023-01-09", "I50.9 E11.9 I10"), ("2023-06-30", "N17.9 I50.9"))),
    ("M", 71, (("2022-11-02", "J44.1 I10"), ("2023-02-14", "J44.1 J18.9"), ("2023-08-01", "J44.0 I10 E78.5"))),
    ("F", 58, (("2023-03-21", "E11.9 E78.5 I10"), ("2023-09-12", "E11.22 N18.3 I10"))),
    ("M", 80, (("2022-12-05", "I48.91 I10"), ("2023-05-19", "I63.9 I48.91"))),
)
"""Invented patients, each of which is in the example several times, in other years: sex, age, visits with codes."""
_EXAMPLE_PATIENTS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnPreview:
    """One column of the user's table."""

    header: str
    taken_for: str
    filled: int
    unreadable: int | None
    """None of a column of codes: the account that follows counts those that the edition does not know."""
    empty: int
    forms: tuple[str, ...]
    """The most frequent, letters and digits masked."""


def add_preview_options(parser: argparse.ArgumentParser) -> None:
    """What `mera prepare table` has beside the options of every source."""
    parser.add_argument(
        "--preview",
        action="store_true",
        help="in place of --output: say what each column is taken for, and where every row would go; write nothing",
    )
    parser.add_argument(
        "--template", action=_Template, metavar="FILE", help="write an example of such a table (.csv), and nothing else"
    )


class _Template(argparse.Action):
    """As --help does, it ends the command, whatever else is missing."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> NoReturn:
        write_template(Path(str(values)))
        parser.exit()


def preview_columns(
    arguments: Arguments, ledger: Ledger
) -> tuple[list[ColumnPreview], list[str], list[dict[str, str]]]:
    """The columns that are read, with what `ledger` says of them once the table was read (`read_source`); the headers
    of those that are not; and the first rows, header -> form. Raises UserError where the table cannot be read.
    """
    path = Path(arguments.input)
    with encoding_hint():
        columns = table_columns(arguments).in_file(path, arguments.separator, arguments.encoding)
        wanted, _, _ = wanted_columns(columns)
        headers = {each.name: each.header or each.name for each in wanted}
        raw = read_text_table(path, headers, separator=arguments.separator, encoding=arguments.encoding).rows
        names = column_names(path, list(headers.values()), arguments.separator, arguments.encoding)
    unreadable = ledger.record()["unreadable"]
    read = [_preview(each, raw[each.name], unreadable.get(f"{path.name}, {each.header}")) for each in wanted]
    taken = {header.strip().lower() for header in headers.values()}
    rows = [
        {headers[name]: "" if value is None else form_of(str(value)) for name, value in row.items()}
        for row in raw.head(FIRST_ROWS).select(list(headers)).to_dicts()
    ]
    return read, [name for name in names if name and name not in taken], rows


def _preview(each: Column, raw: pl.Series, unreadable: UnreadableColumn | None) -> ColumnPreview:
    values = without_nothing(raw)
    forms = values.drop_nulls().cast(pl.String).head(100_000).map_elements(form_of, return_dtype=pl.String)
    common = forms.value_counts(sort=True).head(FORMS).to_series(0).to_list()
    return ColumnPreview(
        header=each.header or each.name,
        taken_for=_TAKEN_FOR.get(each.name) or _TAKEN_FOR[each.name.split("_")[0]],
        filled=len(values) - values.null_count(),
        unreadable=None if each.meaning == Meaning.CODE else 0 if unreadable is None else unreadable["values"],
        empty=values.null_count(),
        forms=tuple(common),
    )


def print_preview(arguments: Arguments) -> None:
    """What each column becomes, the first rows masked, and where every row would go; nothing is written. The columns
    are shown also where the table ends in an error."""
    console, ledger = plain_console(), Ledger()
    try:
        source = table.read_source(arguments, "coding" if arguments.kind == "coding" else "diagnosis", ledger)
    finally:
        _print_columns(arguments, ledger, console)
        if any(unit["read"] for unit in ledger.record()["accounting"].values()):
            print_account(ledger.record(), console)
    visits = [len(patient.visits) for patient in source.patients]
    several = sum(number > 1 for number in visits)
    console.print(
        f"{len(visits):,} patients with {sum(visits):,} visits, {several:,} of them with more than one; nothing was "
        "written: the same command with --output in place of --preview does",
        highlight=False,
    )


def _print_columns(arguments: Arguments, ledger: Ledger, console: Console) -> None:
    columns, others, rows = preview_columns(arguments, ledger)
    read = Table("column", "taken for", "values", "unreadable", "empty", "looks like", title="columns that are read")
    for each in columns:
        counts = ("below" if count is None else f"{count:,}" for count in (each.filled, each.unreadable, each.empty))
        read.add_row(each.header, each.taken_for, *counts, "  ".join(each.forms))
    console.print(read)
    console.print(f"not read: {', '.join(others) or 'no other column'}", highlight=False)
    first = Table(*(each.header for each in columns), title="first rows, letters and digits masked")
    for row in rows:
        first.add_row(*(row[each.header] for each in columns))
    console.print(first)


def example_rows() -> list[dict[str, str]]:
    """Invented diagnoses, one row each, that `mera prepare table` reads as they are."""
    rows = []
    for number in range(_EXAMPLE_PATIENTS):
        sex, age, visits = _PATTERNS[number % len(_PATTERNS)]
        later = number // len(_PATTERNS)
        for day, codes in visits:
            admitted = f"{int(day[:4]) - later}{day[4:]}"
            patient = {"pid": str(101 + number), "admitted": admitted, "sex": sex, "age": str(age - later)}
            rows += [{**patient, "icd": code} for code in codes.split()]
    return rows


def example_tables() -> dict[str, list[list[str]]]:
    """The example in three shapes: name -> header and rows."""
    rows = example_rows()
    stays: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        stays.setdefault((row["pid"], row["admitted"], row["sex"], row["age"]), []).append(row["icd"])
    most = max(len(codes) for codes in stays.values())
    names = ["pid", "admitted", "sex", "age"]
    return {
        "one-row-a-diagnosis": [[*names, "icd"], *([*row.values()] for row in rows)],
        "one-row-a-visit": [[*names, "icd"], *([*stay, ";".join(codes)] for stay, codes in stays.items())],
        "a-column-for-each-code": [
            [*names, *(f"dx{place + 1}" for place in range(most))],
            *([*stay, *codes, *[""] * (most - len(codes))] for stay, codes in stays.items()),
        ],
    }


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """No field of the examples needs quotes."""
    return "".join(",".join(row) + "\n" for row in rows)


def write_template(path: Path) -> None:
    """The example, one row a diagnosis, as a CSV. Raises UserError where `path` exists or is no .csv."""
    if path.suffix.lower() != ".csv":
        raise UserError(f"--template writes a CSV; name it so: {path.with_suffix('.csv')}")
    if path.exists():
        raise UserError(f"{path} already exists; choose another name for the example")
    path.write_text(csv_text(example_tables()["one-row-a-diagnosis"]), encoding="utf-8")
    print(f"{path}: invented patients, one row a diagnosis. Put your own in their place, or try it as it is:")
    print(
        f"mera prepare table --input {path} --patient pid --time admitted --code icd --sex sex --age age "
        "--code-system icd10 --output prepared/example"
    )
