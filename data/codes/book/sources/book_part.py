"""What one file adds to a code book."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from data.codes.book.book import RELATION_COLUMNS, TERM_COLUMNS, TRANSLATION_COLUMNS, BookSource
from data.ontology import Ontology
from data.table_files.stored_files import InputFile

LONGEST_TERM = 200
"""Characters; what is longer is no name."""
TOO_LONG = f"term of more than {LONGEST_TERM} characters"
TWICE = "term that the file gives to its code twice"
TITLE = "term that is the title of its code anyway"


@dataclass(frozen=True, kw_only=True, slots=True)
class BookPart:
    """The terms and relations of one file, in canonical codes of one edition."""

    system: str
    kind: str
    """What the file was taken for, with its year where it has one: `icd9cm index 2012`."""
    family: str
    """What it replaces in a book: an earlier part whose kind begins so."""
    file: InputFile
    terms: pl.DataFrame
    """TERM_COLUMNS; the source is `kind`."""
    relations: pl.DataFrame
    """RELATION_COLUMNS; the source is `kind`."""
    translations: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRANSLATION_COLUMNS))
    """TRANSLATION_COLUMNS; the source is `kind`."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason -> entries left out."""
    changed: Mapping[str, int] = field(default_factory=dict)
    """What was done -> entries that are there in another form than the file's."""

    def record(self) -> BookSource:
        """What book.json says of the file."""
        return {
            "file": self.file.file_name,
            "sha256": self.file.sha256,
            "kind": self.kind,
            "terms": self.terms.height,
            "relations": self.relations.height,
            "dropped": {reason: count for reason, count in sorted(self.dropped.items()) if count},
        }


def term_rows(
    terms: Iterable[tuple[str, str, str]], kind: str, source: str, ontology: Ontology
) -> tuple[pl.DataFrame, dict[str, int]]:
    """(code, term, language) as TERM_COLUMNS without long and repeated ones and titles, in order; and how many went for
    which reason. `kind`: one of TERM_KINDS. Terms that differ in case only are the same.
    """
    titles = {code: title.casefold() for code, title in ontology.nodes().items()}
    rows: dict[tuple[str, str, str], tuple[str, str, str, str, str]] = {}
    dropped = {TOO_LONG: 0, TWICE: 0, TITLE: 0}
    for code, term, language in terms:
        text = " ".join(term.split())
        key = (code, text.casefold(), language)
        if len(text) > LONGEST_TERM:
            dropped[TOO_LONG] += 1
        elif key in rows:
            dropped[TWICE] += 1
        elif key[1] == titles.get(code):
            dropped[TITLE] += 1
        elif text:
            rows[key] = (code, text, language, kind, source)
    return pl.DataFrame(list(rows.values()), schema=TERM_COLUMNS, orient="row"), dropped


def translation_rows(pairs: Iterable[tuple[str, str, str]], source: str) -> pl.DataFrame:
    """(English text, translation, language) as TRANSLATION_COLUMNS, without pairs that are long or the same in both."""
    columns = ["text", "translation", "language"]
    return (
        pl.DataFrame(list(pairs), schema=dict.fromkeys(columns, pl.String()), orient="row")
        .with_columns(pl.col("text", "translation").str.replace_all(r"\s+", " ").str.strip_chars())
        .filter(pl.all_horizontal(pl.col("text", "translation").str.len_chars().is_between(1, LONGEST_TERM)))
        .filter(pl.col("text") != pl.col("translation"))
        .with_columns(source=pl.lit(source))
        .select(list(TRANSLATION_COLUMNS))
    )


def no_relations() -> pl.DataFrame:
    """RELATION_COLUMNS without a row."""
    return pl.DataFrame(schema=RELATION_COLUMNS)


def total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts by reason added up."""
    reasons = dict.fromkeys(reason for each in counts for reason in each)
    return {reason: sum(each.get(reason, 0) for each in counts) for reason in reasons}
