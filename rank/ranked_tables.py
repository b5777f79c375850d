"""Ranked codes and phenotypes as tables in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from rank.patients.ranked_files import RankedExample


def print_ranked(example: RankedExample) -> None:
    table = Table("", "code", "definition", "probability", "predicted", "known")
    for place, code in enumerate(example.codes, start=1):
        table.add_row(
            str(place),
            code.code,
            code.definition,
            f"{code.probability:.1%}",
            "yes" if code.predicted else "",
            "yes" if code.known else "",
        )
    Console().print(table)
    for name, probability in example.phenotypes.items():
        print(f"{name}: {probability:.1%}")


def print_measured(measured: Mapping[str, Mapping[str, float | None]]) -> None:
    """Percent, but for the number of patients; a dash where a number does not exist."""
    if not measured:
        return
    table = Table("", *measured)
    for name in next(iter(measured.values())):
        values = (of_phenotype[name] for of_phenotype in measured.values())
        table.add_row(name, *(f"{value:.1%}" if isinstance(value, float) else str(value or "-") for value in values))
    Console().print(table)
