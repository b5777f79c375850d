"""The terms of a code book that name the candidates of a task."""

import hashlib
from collections.abc import Callable, Sequence

import polars as pl

from data.codes.book.book import CodeBook
from data.codes.ccs import Grouping
from data.codes.code_table import CodeNames
from data.ontology import Ontology
from data.task_folder.book_parts import TERM_SCHEMA
from data.task_folder.task_info import BookFacts


def task_terms(
    codes: Sequence[str], ontology: Ontology, names: CodeNames, granularity: str, book: CodeBook
) -> pl.DataFrame:
    """TERM_SCHEMA: the terms of each candidate, in the order of `codes` and then of the book.

    A candidate has its own terms; a category of a task of categories, and a group of the CCS, also those of the codes
    in it.
    """
    candidate_of = _candidate_of(set(codes), ontology, names, granularity)
    owners = {code: candidate_of(code) for code in book.terms["code"].unique().to_list()}
    order = {code: place for place, code in enumerate(codes)}
    terms = book.terms.with_columns(pl.col("code").replace_strict(owners, return_dtype=pl.String())).drop_nulls("code")
    terms = terms.unique(["code", "term", "language"], keep="first", maintain_order=True)
    place = pl.col("code").replace_strict(order, return_dtype=pl.Int64())
    return terms.sort(place, maintain_order=True).select(list(TERM_SCHEMA))


def book_facts(book: CodeBook) -> BookFacts:
    """What task.json says of the book."""
    digest = hashlib.sha256()
    # A book without translations has the sha256 that it had before books held any.
    for table in (book.terms, book.relations, *([book.translations] if book.translations.height else [])):
        digest.update(table.drop("source").unique().sort(pl.all()).write_csv().encode())
    return {"sources": [source["kind"] for source in book.record["sources"]], "sha256": digest.hexdigest()}


def _candidate_of(
    candidates: set[str], ontology: Ontology, names: CodeNames, granularity: str
) -> Callable[[str], str | None]:
    """From a code of the book to the candidate that its terms name, if any."""

    def candidate(code: str) -> str | None:
        if isinstance(names, Grouping):
            owner = names.group_of(code)
        elif granularity == "category" and code not in candidates:
            owner = ontology.groups(code)["category"]
        else:
            owner = code
        return owner if owner in candidates else None

    return candidate
