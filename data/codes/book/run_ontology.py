"""Code books: what codes are called, by the CDC's index and tabular list, other vocabularies, and tables of your own.

mera ontology                                   the books you have

mera ontology add icd10cm-2026-full-xml.zip     the CDC's zip of any year: index, tables, notes

mera ontology add terms.csv --language es       a table of your own: code, term, perhaps language

mera ontology show E11.9                        everything known of a code
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from data.codes.book.add import add_file
from data.codes.book.book import CodeBook, load_book
from data.codes.book.display.code_facts import code_facts
from data.codes.book.display.pages import print_addition, print_books, print_code
from data.codes.book.store import AUTO, NONE, book_places, books_folder, choose_book
from data.ontology import SYSTEMS, UnknownCode, load_ontology
from mera.system.errors import UserError
from mera.system.safe_group import SafeGroup
from mera.system.terminal import plain_console

app = typer.Typer(
    cls=SafeGroup,
    name="mera ontology",
    help=__doc__,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
_SYSTEM_HELP = f"edition of ICD: {', '.join(SYSTEMS)}"


@app.callback(invoke_without_command=True)
def books(context: typer.Context) -> None:
    """List the books; the sub-commands add to one and show a code."""
    if context.invoked_subcommand is not None:
        return
    console = plain_console()
    places = book_places()
    if not places:
        print(f"no code books in {books_folder()}; make one with `mera ontology add FILE`")
    damaged = []
    for place in places:
        try:
            print_books([load_book(place)], console)
        except UserError as error:
            damaged.append(str(error))
    if damaged:
        raise UserError("; ".join(damaged))


@app.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            help="the CDC's zip of ICD-10-CM (XML), its ICD-9-CM index or tabular list, a table with the columns code "
            "and term, or a folder with the Disease Ontology's two tables"
        ),
    ],
    book: Annotated[
        Path | None, typer.Option(help="folder of the book; default: your own of the file's edition")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help=f"{_SYSTEM_HELP}; default: the book's, or as the file's codes tell")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="of a table's terms where it has no column language, as es; default: en")
    ] = None,
    code: Annotated[str | None, typer.Option(help="a table's column of codes; default: code")] = None,
    term: Annotated[str | None, typer.Option(help="a table's column of terms, as description; default: term")] = None,
) -> None:
    """Add a file to a book, in the place of an earlier one of its kind.

    `mera ontology add ICD10CM_FY2017_Full_XML.zip`

    `mera ontology add cie10.csv --system icd10cm --language es --code codigo --term descripcion --book books/hospital`
    """
    with _progress() as report:
        addition = add_file(file, book, system, language, code, term, report)
    print_addition(addition, plain_console())


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="as E11.9, e119 or 250.00")],
    system: Annotated[
        str | None,
        typer.Option(
            help=f"{_SYSTEM_HELP}; default: the book's, or ICD-10-CM, or ICD-9-CM where only that has the code"
        ),
    ] = None,
    book: Annotated[str, typer.Option(help="folder of a book, auto (your own, if any) or none")] = AUTO,
    limit: Annotated[int, typer.Option(min=1, help="most lines of one list")] = 20,
) -> None:
    """Everything known of a code: definition, hierarchy, terms, notes, neighbours, other editions.

    `mera ontology show E11.9`

    `mera ontology show 250.00 --system icd9cm --limit 100`
    """
    if system is not None and system not in SYSTEMS:
        raise UserError(f"--system must be one of {', '.join(SYSTEMS)}, got {system!r}")
    with _progress() as report:
        report("reading the editions")
        chosen, edition = _book_and_system(code, system, book)
        report("reading the notes")
        facts = code_facts(code, edition, chosen)
    print_code(facts, chosen, limit, plain_console())


def _book_and_system(code: str, system: str | None, book: str) -> tuple[CodeBook | None, str]:
    if book not in (AUTO, NONE):
        named = load_book(book)
        return choose_book(book, system or named.system), system or named.system
    edition = system or _edition_of(code)
    return choose_book(book, edition), edition


def _edition_of(code: str) -> str:
    """ICD-10-CM, or ICD-9-CM where only that has the code or, where neither has, codes that begin with a digit."""
    if _has("icd10cm", code):
        return "icd10cm"
    return "icd9cm" if _has("icd9cm", code) or code.strip()[:1].isdigit() else "icd10cm"


def _has(edition: str, code: str) -> bool:
    try:
        load_ontology(edition).resolve(code)
    except UnknownCode:
        return False
    return True


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A moving mark with the name of the step, on a terminal only."""
    console = plain_console(stderr=True)
    with console.status("starting") as status:
        yield status.update


if __name__ == "__main__":
    app(prog_name="mera ontology")
