"""A table of the user's own: the names that a hospital, a country or a language has for codes."""

import re
from pathlib import Path

import polars as pl

from data.codes.book.sources.book_part import BookPart, no_relations, term_rows, translation_rows
from data.codes.leading_zeros import with_leading_zeros
from data.codes.unusable_codes import EDITIONS, why_no_code_is_known
from data.ledger import Ledger
from data.ontology import SYSTEMS, UnknownCode, load_ontology
from data.table_files.columns import Column, TypedTable, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.text_tables import column_names
from mera.system.errors import UserError

CODE, TERM = "code", "term"
"""The columns of a table whose user names no others."""
_LOOKED_AT = 2000
"""Codes that show the edition."""
_LANGUAGE = re.compile(r"[a-z]{2,3}")
UNKNOWN_CODE = "row whose code the edition does not have"
NO_CODE_OR_TERM = "row without a code or without a term"
NO_LANGUAGE = "row whose language is no code of two or three letters, such as es"
RETIRED = "term of a retired code, given to the code above it"


def read_terms_table(
    path: str | Path, system: str, language: str = "en", code_column: str = CODE, term_column: str = TERM
) -> BookPart:
    """The terms in a CSV, TSV or Parquet file with columns of codes, of terms and perhaps language (as `es`).

    `system`: the edition of the codes; `language`: where the file names none. Raises FileNotFoundError or UserError
    naming the file where it cannot be read, lacks a column, or holds no code of the edition.
    """
    path = Path(path)
    check_language(language)
    ontology = load_ontology(system)
    ledger = Ledger()
    table = _read(path, code_column, term_column, ledger)
    rows = with_language(table.rows, language)
    _check_zeros(path, rows, system)
    terms: list[tuple[str, str, str]] = []
    pairs: list[tuple[str, str, str]] = []
    dropped = {NO_CODE_OR_TERM: 0, NO_LANGUAGE: 0, UNKNOWN_CODE: 0}
    changed = {RETIRED: 0}
    for raw, term, each_language in rows.select("raw", "term", "language").iter_rows():
        if raw is None or term is None:
            dropped[NO_CODE_OR_TERM] += 1
        elif _LANGUAGE.fullmatch(each_language) is None:
            dropped[NO_LANGUAGE] += 1
        else:
            try:
                code, exact = ontology.resolve(raw)
            except UnknownCode:
                dropped[UNKNOWN_CODE] += 1
                continue
            changed[RETIRED] += not exact
            terms.append((code, term, each_language))
            if exact and each_language != "en":
                pairs.append((ontology.definition(code), term, each_language))
    if not terms:
        raise UserError(f"{path}: {_why_empty(rows, dropped, system)}")
    kind = f"own {path.name}"
    own_terms, dropped_terms = term_rows(terms, "own", kind, ontology)
    return BookPart(
        system=system,
        kind=kind,
        family=kind,
        file=table.file,
        terms=own_terms,
        relations=no_relations(),
        translations=translation_rows(pairs, kind),
        dropped={**dropped, **dropped_terms},
        changed={**changed, **ledger.record()["changed"]},
    )


def system_of_table(path: str | Path, code_column: str = CODE, term_column: str = TERM) -> str:
    """The edition that knows the most of a table's codes; of equals the one that is first in `data.ontology.SYSTEMS`
    behind ICD-10-CM. Raises as `read_terms_table` does where the table cannot be read.
    """
    rows = _read(path, code_column, term_column, Ledger()).rows
    codes = rows["raw"].drop_nulls().unique(maintain_order=True).head(_LOOKED_AT)
    systems = sorted(SYSTEMS, key=lambda system: system != "icd10cm")
    return max(systems, key=lambda system: sum(map(load_ontology(system).knows, codes)))


def _read(path: str | Path, code_column: str, term_column: str, ledger: Ledger) -> TypedTable:
    wanted = {code_column.strip().lower(), term_column.strip().lower()}
    if Path(path).is_file() and not wanted & {*column_names(path, wanted)}:
        raise UserError(f"{path} has no columns {code_column} and {term_column}; name its own with --code and --term")
    return read_columns(path, _columns(code_column, term_column), ledger)


def _columns(code_column: str, term_column: str) -> tuple[Column, ...]:
    return (
        column("raw", Meaning.CODE, code_column),
        column("term", Meaning.TEXT, term_column),
        column("language", Meaning.WORD, optional=True),
    )


def check_language(language: str) -> None:
    """Raises UserError where `language` is no code of two or three letters."""
    if _LANGUAGE.fullmatch(language) is None:
        raise UserError(f"--language must be a code of two or three small letters, as es, got {language!r}")


def with_language(rows: pl.DataFrame, language: str) -> pl.DataFrame:
    """`rows` with a column `language` in small letters, `language` where it is empty or missing."""
    if "language" not in rows.columns:
        return rows.with_columns(language=pl.lit(language))
    return rows.with_columns(pl.col("language").str.to_lowercase().fill_null(language))


def _check_zeros(path: Path, rows: pl.DataFrame, system: str) -> None:
    try:
        with_leading_zeros(rows.select("raw"), system, Ledger(), None)
    except UserError:
        raise UserError(
            f"{path}: the ICD-9 codes were stored as numbers and lost their zeros (038.9 is 38.9, 0389 is 389); export "
            "the column code as text"
        ) from None


def _why_empty(rows: pl.DataFrame, dropped: dict[str, int], system: str) -> str:
    if dropped[UNKNOWN_CODE]:
        with_term = rows.filter(pl.col("term").is_not_null())
        return _in_our_options(why_no_code_is_known(with_term["raw"], load_ontology(system)))
    reason = max(dropped, key=lambda each: dropped[each])
    return f"none of its {rows.height:,} rows can be used; {dropped[reason]:,} times: {reason}"


def _in_our_options(sentence: str) -> str:
    """What `mera prepare` says of a column of codes, in the words of `mera ontology`."""
    for system, name in EDITIONS.items():
        sentence = sentence.replace(f"--code-system {name}?", f"--system {system}?")
    return re.sub(r"say what stands between with --code-separator .*", "write one code in a row", sentence)
