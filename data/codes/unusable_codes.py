"""Why a whole column of codes holds none of the edition that it was read as."""

import polars as pl

from data.ontology import Ontology, load_ontology
from data.table_files.meanings import form_of

EDITIONS = {"icd9cm": "icd9", "icd10cm": "icd10", "icd10who": "icd10who"}
"""Ontology -> how --code-system calls it."""
SEPARATORS = (";", ",", "|", "/", " ")
_LOOKED_AT = 500


def why_no_code_is_known(raw: pl.Series, ontology: Ontology) -> str:
    """A sentence that names the likeliest cause: lists of codes, another edition, or no codes at all.

    `raw`: the codes as written, null or of another edition than `ontology` throughout.
    """
    distinct = raw.drop_nulls().unique(maintain_order=True).head(_LOOKED_AT).to_list()
    if not distinct:
        return "the column of the codes is empty"
    no_code = f"none of {len(raw) - raw.null_count():,} values is a code of {ontology.edition}"
    for separator in SEPARATORS:
        parts = [part.strip() for text in distinct for part in text.split(separator) if separator in text]
        if _num_known(parts, ontology) > len(parts) / 2:
            return (
                f"{no_code}: they look like lists of codes; say what stands between with --code-separator {separator!r}"
            )
    for system, name in EDITIONS.items():
        other = load_ontology(system)
        if system != ontology.system and _num_known(distinct, other) > len(distinct) / 2:
            return f"{no_code}, most are codes of {other.edition}: is it --code-system {name}?"
    forms = ", ".join(list(dict.fromkeys(map(form_of, distinct)))[:3])
    return f"{no_code}; they look like {forms}"


def _num_known(texts: list[str], ontology: Ontology) -> int:
    return sum(map(ontology.knows, texts))
