"""Names and synonyms of the Human Disease Ontology (CC0), in English and Spanish, by its references to ICD.

Two tables of one folder, joined by their DOID: `icd_xrefs.tsv` (id, label, xref as `ICD10CM:E71.111`) and
`doid-es-translated.tsv` (source_id, predicate, source_text, translation_text). A disease may refer to several codes,
and several diseases to one.
"""

import hashlib
import re
from collections import Counter
from pathlib import Path

import polars as pl

from data.codes.book.sources.book_part import BookPart, no_relations, term_rows, translation_rows
from data.codes.book.sources.unspecified_leaf import UnspecifiedLeaves
from data.codes.notes.code_ranges import load_order
from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from data.table_files.columns import column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

REFERENCES, TRANSLATIONS = "icd_xrefs.tsv", "doid-es-translated.tsv"
_REFERENCE_COLUMNS = (
    column("id", Meaning.WORD),
    column("label", Meaning.TEXT),
    column("reference", Meaning.WORD, "xref"),
)
_TRANSLATION_COLUMNS = (
    column("id", Meaning.WORD, "source_id"),
    column("predicate", Meaning.WORD),
    column("english", Meaning.TEXT, "source_text"),
    column("spanish", Meaning.TEXT, "translation_text"),
)
_SYSTEM_OF_PREFIX = {"ICD10CM": "icd10cm", "ICD9CM": "icd9cm"}
_NAMES = ("rdfs:label", "oboInOwl:hasExactSynonym")
"""Predicates of translated texts that are names of the disease itself; broad, narrow and related synonyms are not."""
_RANGE = re.compile(r"(.+?)-(.+?)(?:\.99)?")
NO_NAME = "translated text that is no name of the disease: a definition, a broad, narrow or related synonym"
NO_REFERENCE = "name of a disease without a code of this edition"
UNKNOWN_CODE = "reference to a code that the edition does not have"
RANGE = "reference to a range of several categories"
RETIRED = "reference to a retired code, read as the code above it"
TO_LEAF = "name of a code with codes below it, given to the unspecified one of them too"
FAMILY = "disease ontology"


def find_disease_ontology(folder: str | Path) -> tuple[Path, Path] | None:
    """The two tables in a folder, plain or gzipped; None where one is missing."""
    paths = [
        next((path for path in (Path(folder) / name, Path(folder) / f"{name}.gz") if path.is_file()), None)
        for name in (REFERENCES, TRANSLATIONS)
    ]
    return (paths[0], paths[1]) if paths[0] is not None and paths[1] is not None else None


def read_disease_ontology(folder: str | Path, system: str) -> BookPart:
    """The names of codes of `system`, `icd9cm` or `icd10cm`. Raises UserError where the folder lacks a table, a table
    cannot be read, or nothing refers to the edition.
    """
    paths = find_disease_ontology(folder)
    if paths is None:
        raise UserError(f"{folder} lacks {REFERENCES} or {TRANSLATIONS} of the Disease Ontology")
    if system not in _SYSTEM_OF_PREFIX.values():
        raise UserError(f"the Disease Ontology refers to codes of icd10cm and icd9cm, not of {system}")
    ledger, dropped, changed = Ledger(), Counter[str](), Counter[str]()
    references = read_columns(paths[0], _REFERENCE_COLUMNS, ledger)
    translations = read_columns(paths[1], _TRANSLATION_COLUMNS, ledger)
    codes_of = _codes_of(references.rows, system, dropped, changed)
    if not codes_of:
        raise UserError(f"{paths[0]} refers to no code of {load_ontology(system).edition}")
    names = references.rows.filter(pl.col("id").is_in(list(codes_of)))
    texts = [(each, label, "en") for each, label in names.select("id", "label").unique(maintain_order=True).iter_rows()]
    pairs: list[tuple[str, str, str]] = []
    is_name = pl.col("predicate").is_in(_NAMES)
    dropped[NO_NAME] += translations.rows.filter(~is_name.fill_null(False)).height
    for each, english, spanish in translations.rows.filter(is_name).select("id", "english", "spanish").iter_rows():
        if english and spanish:
            pairs.append((english, spanish, "es"))
        if each in codes_of:
            texts += [(each, english, "en"), (each, spanish, "es")]
        else:
            dropped[NO_REFERENCE] += 1
    rows = [(code, text, language) for each, text, language in texts if text for code in codes_of[each]]
    terms, dropped_terms = term_rows(rows, "name", FAMILY, load_ontology(system))
    return BookPart(
        system=system,
        kind=FAMILY,
        family=FAMILY,
        file=_both(references.file, translations.file),
        terms=terms,
        relations=no_relations(),
        translations=translation_rows(pairs, FAMILY),
        dropped={**dropped, **dropped_terms},
        changed={**changed, **ledger.record()["changed"]},
    )


def _both(first: InputFile, second: InputFile) -> InputFile:
    digest = hashlib.sha256(f"{first.sha256}{second.sha256}".encode()).hexdigest()
    return InputFile(file_name=f"{first.file_name}, {second.file_name}", sha256=digest)


def _codes_of(
    references: pl.DataFrame, system: str, dropped: Counter[str], changed: Counter[str]
) -> dict[str, list[str]]:
    """DOID -> codes of the edition that it refers to; of one with codes below it the unspecified leaf too."""
    ontology = load_ontology(system)
    leaves = UnspecifiedLeaves(ontology, load_order(system))
    codes_of: dict[str, list[str]] = {}
    for each, reference in references.select("id", "reference").drop_nulls().iter_rows():
        prefix, _, raw = reference.partition(":")
        if _SYSTEM_OF_PREFIX.get(prefix) != system:
            continue
        ends = _RANGE.fullmatch(raw)
        if ends is not None:
            if ends[1] != ends[2]:
                dropped[RANGE] += 1
                continue
            raw = ends[1]
        try:
            code, exact = ontology.resolve(raw)
        except UnknownCode:
            dropped[UNKNOWN_CODE] += 1
            continue
        changed[RETIRED] += not exact
        leaf = leaves.of(code)
        changed[TO_LEAF] += leaf != code
        known = codes_of.setdefault(each, [])
        known += [one for one in dict.fromkeys((code, leaf)) if one not in known]
    return codes_of
