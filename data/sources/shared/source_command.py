"""What `mera prepare` knows of a source: its name, its help, its options, and how it is read."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.cohorts.source import Source
from data.ledger import Ledger
from data.table_files.columns import ColumnForms
from data.table_files.meanings import parse_sex_values
from mera.system.errors import UserError


class Arguments(argparse.Namespace):
    """The options of one source as the user gave them.

    Declared are those that `mera prepare` itself reads and those that several sources share
    (`data.sources.shared.options`); a source has the ones that its `add_options` adds, and perhaps more.
    """

    source: str
    output: str
    kind: str
    """`diagnosis`, `coding` or `both`."""
    protocol: str
    split_file: Sequence[str] | None
    fractions: Sequence[float]
    sizes: Sequence[int] | None
    folds: int
    fold: int | None
    split_seed: int
    granularity: str
    primary_only: bool
    past_notes: bool
    events: Sequence[str]
    rules: str | None
    codes_without_zeros: str | None
    date_format: str | None
    sex_values: str | None
    encoding: str | None
    """Of a CSV; None where the source has no option for it, or it is not needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceCommand:
    """One source of `mera prepare`."""

    name: str
    help: str
    """What the source is, in a line, and how to prepare it, with examples."""
    add_options: Callable[[argparse.ArgumentParser], None]
    """Adds the options of the source; sets `kind` where it has no option for it."""
    read: Callable[[Arguments, str, Ledger], Source]
    """(arguments, `diagnosis` or `coding`, ledger) -> its cohort."""
    chet_sizes: tuple[int, int, int] | None = None
    """Patients in train, validation and test in the papers that use the protocol `chet`."""


def column_forms(arguments: Arguments) -> ColumnForms:
    """What the user says of the columns' forms."""
    sexes = {} if arguments.sex_values is None else parse_sex_values(arguments.sex_values)
    return ColumnForms(date_format=arguments.date_format, sex_values=sexes, encoding=arguments.encoding)


def check_notes_are_read(arguments: Arguments, kind: str, option: str, value: str | None) -> None:
    """Raise UserError where `option` names notes that the task will not hold."""
    if value is not None and kind == "diagnosis" and not arguments.past_notes:
        raise UserError(
            f"{option} is read with --kind coding, or with --past-notes for the notes of a history; give one of them, "
            f"or leave {option} out"
        )
