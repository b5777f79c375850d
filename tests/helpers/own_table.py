"""The patients of a table of one's own, as `mera prepare table` reads them.

from own_table import read_patients        (pytest puts this folder on sys.path)
"""

from pathlib import Path

from data.cohorts.cohort import Patient
from data.ledger import Ledger
from data.sources.shared.own_table.table_columns import TableColumns
from data.sources.table import read_user_table


def read_patients(path: Path, columns: TableColumns, ledger: Ledger, system: str, **more) -> list[Patient]:
    """`more`: further arguments of `read_user_table`."""
    return read_user_table(path, columns, ledger, system, **more).cohort(ledger)
