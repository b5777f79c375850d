"""Ranked codes and phenotypes as tables in the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from rank.ranked_files import RankedExample


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
    names = list(next(iter(measured.values())))
    table = Table("phenotype", *names)
    for phenotype, values in measured.items():
        shown = (f"{value:.1%}" if isinstance(value, float) else str(value or "-") for value in values.values())
        table.add_row(phenotype, *shown)
    Console().print(table)
