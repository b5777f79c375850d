"""Several tables of one export as one table, for `mera go`, `mera prepare table` and `mera predict --input`.

mera join diagnoses.csv stays.csv patients.csv --output visits.csv
mera join codes.csv notes.csv:note_id --output coded_notes.parquet
mera join diagnoses.csv stays.csv:stay=id patients.csv:patient_id=id --output visits.csv

The first file gives the rows. Each further one has at most one row for each of them, and is joined by the columns that
it shares with the tables before it, or by those behind its name: FILE:COLUMN, FILE:COLUMN=ITS_COLUMN, several with +
between them. Every value stays as it is written. Rows of the first file without a partner stay; what a further file has
of no row is left out; both are counted.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import shlex
import sys
from pathlib import Path

import polars as pl

from data.sources.shared.own_table.joined_tables import Further, Joined, join_tables, read_whole_table
from data.sources.shared.own_table.table_columns import encoding_hint
from mera.system.command import run_command
from mera.system.errors import CommandLine
from mera.system.private_files import check_output, private_output

SUFFIXES = (".csv", ".parquet")


def join_files(
    first: str | Path, others: list[Further], output: str | Path, separator: str | None, encoding: str | None
) -> tuple[pl.DataFrame, list[Joined]]:
    """The table that is written to `output`, which must not exist, and what became of each of `others`."""
    output = Path(output)
    check_output(output, SUFFIXES)
    with encoding_hint():
        rows, joined = _read(first, separator, encoding), []
        for further in others:
            rows, record = join_tables(rows, further, _read(further.path, separator, encoding))
            joined.append(record)
    with private_output(output, SUFFIXES) as beside:
        if output.suffix == ".csv":
            rows.write_csv(beside)
        else:
            rows.write_parquet(beside)
    return rows, joined


def _read(path: str | Path, separator: str | None, encoding: str | None) -> pl.DataFrame:
    rows, changes = read_whole_table(path, separator, encoding)
    for what, number in changes.items():
        if number:
            print(f"{path}: {number:,} times: {what}", file=sys.stderr)
    return rows


def main() -> None:
    parser = CommandLine(
        prog="mera join", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "first", metavar="FILE", help="the table with the most rows, as the diagnoses: CSV, Parquet ..."
    )
    parser.add_argument("others", metavar="FILE[:COLUMN]", nargs="+", help="a row for each stay, patient or note")
    parser.add_argument("--output", required=True, metavar="FILE", help=".csv or .parquet; must not exist yet")
    parser.add_argument("--separator", metavar="CHAR", help="of the CSVs (default: found by the header)")
    parser.add_argument("--encoding", metavar="NAME", help="of the CSVs, as cp1252 (default: UTF-8)")
    options = parser.parse_args()
    others = [Further.parse(word) for word in options.others]
    rows, joined = join_files(options.first, others, options.output, options.separator, options.encoding)
    for each in joined:
        print(
            f"{each.name}, by {' and '.join(each.keys)}: {each.num_found:,} rows have one there, "
            f"{rows.height - each.num_found:,} have none; {each.num_unused:,} rows of it are of no row and left out"
        )
        for name, new in each.renamed.items():
            print(f"  its column {name} is called {new} now")
    print(f"{options.output}: {rows.height:,} rows with the columns {', '.join(rows.columns)}")
    print(f"from there: mera go {shlex.quote(options.output)} --output mine")


if __name__ == "__main__":
    run_command(main)
