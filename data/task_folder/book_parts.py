"""What a prepared task keeps of a code book: further names of its candidates, the notes that relate them, and names
in two languages.

All are optional: a task without a book has no terms, one of an edition without notes no rules.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.task_folder.parts import optional_table

TERM_SCHEMA: dict[str, pl.DataType] = {column: pl.String() for column in ("code", "term", "language", "kind")}
"""One row per name of a candidate; kinds as in `data.codes.book.book.TERM_KINDS`."""
RULE_SCHEMA: dict[str, pl.DataType] = {
    **{column: pl.String() for column in ("kind", "node", "text")},
    "subjects": pl.List(pl.String()),
    "objects": pl.List(pl.String()),
}
"""One row per rule: the candidates it is about (`subjects`, those under `node`), and those it names (`objects`)."""
TRANSLATION_SCHEMA: dict[str, pl.DataType] = {column: pl.String() for column in ("text", "translation", "language")}
"""One row per name of anything, in English and in `language`."""


def terms_of_codes(
    codes: Sequence[str], definitions: Sequence[str], synonyms: Sequence[Sequence[str]], terms: pl.DataFrame
) -> list[list[str]]:
    """For each of `codes` its terms (`terms`: TERM_SCHEMA), without its definition and synonyms, none of them twice
    whatever their case."""
    names = [[definition, *more] for definition, more in zip(definitions, synonyms, strict=True)]
    seen = {code: {name.casefold() for name in row} for code, row in zip(codes, names, strict=True)}
    further: dict[str, list[str]] = {code: [] for code in codes}
    for code, term in terms.select("code", "term").iter_rows():
        if term.casefold() not in seen[code]:
            seen[code].add(term.casefold())
            further[code].append(term)
    return list(further.values())


def write_book_parts(
    folder: Path,
    candidates: Sequence[str],
    terms: pl.DataFrame | None,
    rules: pl.DataFrame | None,
    translations: pl.DataFrame | None,
) -> None:
    """Write terms.parquet, rules.parquet and translations.parquet into `folder`, where they hold anything."""
    named = set(candidates)
    if terms is not None and terms.height:
        terms = terms.select(pl.col(name).cast(kind) for name, kind in TERM_SCHEMA.items())
        assert named.issuperset(terms["code"]), "terms belong to candidates"
        terms.write_parquet(folder / "terms.parquet")
    if rules is not None and rules.height:
        rules = rules.select(pl.col(name).cast(kind) for name, kind in RULE_SCHEMA.items())
        of_rules = pl.concat([rules["subjects"].explode(), rules["objects"].explode()]).drop_nulls()
        assert named.issuperset(of_rules), "rules are about candidates"
        rules.write_parquet(folder / "rules.parquet")
    if translations is not None and translations.height:
        translations = translations.select(pl.col(name).cast(kind) for name, kind in TRANSLATION_SCHEMA.items())
        translations.write_parquet(folder / "translations.parquet")


def read_book_parts(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Terms, rules and translations of a task; tables without rows where the folder lacks them."""
    schemas = {"terms": TERM_SCHEMA, "rules": RULE_SCHEMA, "translations": TRANSLATION_SCHEMA}
    terms, rules, translations = (
        optional_table(folder, f"{name}.parquet", pl.DataFrame(schema=schema)) for name, schema in schemas.items()
    )
    return terms, rules, translations
