"""What the columns of a hospital's table seem to be, for who does not want to name each of them.

python -m data.prepare.run_guess visits.csv --code-system icd10

The guess is printed for the user to look at; with --json as options of `mera prepare table`, which `mera go` prints and
runs. How it guesses: data/sources/shared/own_table/guess/guess_table.py.
"""

import argparse
import json
import sys
from typing import TypedDict

from data.sources.shared.own_table.code_versions import CODE_SYSTEMS
from data.sources.shared.own_table.guess.guess import COLUMNS, TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.table_columns import AGE_HELP, SEX_HELP, add_table_columns
from mera.system.command import run_command
from mera.system.errors import CommandLine


class GuessRecord(TypedDict):
    """What `--json` prints."""

    options: list[str]
    """of `mera prepare table`"""
    columns: list[str]
    """those of them that `mera predict --input` takes too"""


def main() -> None:
    parser = CommandLine(prog="python -m data.prepare.run_guess", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("table", help="CSV, Parquet, Excel, Stata, SAS or SPSS")
    add_table_columns(parser.add_argument, required=False)
    for name, text in (("sex", SEX_HELP), ("age", AGE_HELP), ("text", "note of the visit")):
        parser.add_argument(f"--{name}", metavar="COLUMN", help=text)
    parser.add_argument("--code-system", choices=tuple(CODE_SYSTEMS), help="the edition of the codes")
    parser.add_argument(
        "--sex-values", metavar="F=..,M=..,U=..", help="values of the column of the sex that are no words"
    )
    for name, text in (("of-notes", "each note is coded for itself"), ("without-notes", "no notes are taken")):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    said = {name: getattr(arguments, name) for name in TableGuess.__dataclass_fields__ if getattr(arguments, name)}
    known = TableGuess(**said)
    with_notes = not arguments.without_notes
    guess = guess_table(arguments.table, known, arguments.separator, arguments.of_notes, with_notes)
    edition = ["--codes", arguments.codes] if arguments.codes else ["--code-system", str(guess.code_system)]
    columns = [*guess.as_options(), *([f"--separator={arguments.separator}"] if arguments.separator else [])]
    if arguments.json:
        record: GuessRecord = {"options": [*columns, *edition], "columns": columns}
        sys.stdout.write(json.dumps(record) + "\n")
        return
    for name in (*COLUMNS, "code_separator", "code_system", "encoding"):
        value = getattr(guess, name)
        words = ", ".join(value) if isinstance(value, list) else (value or "-").replace("\n", "\\n")
        print(f"{name.replace('_', ' '):16}{words}")


if __name__ == "__main__":
    run_command(main)
