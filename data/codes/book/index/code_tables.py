"""Terms of the neoplasm table and of the table of drugs and chemicals, whose columns say what is wrong with a site or
what a substance did."""

import re
from collections.abc import Iterator, Sequence

from data.codes.book.index.index_xml import IndexEntry, Title
from data.codes.book.index.readable_terms import readable_terms

NEOPLASM_COLUMNS = {
    2: ("malignant primary neoplasm of {}", "malignant neoplasm of {}", "{} cancer"),
    3: ("secondary malignant neoplasm of {}", "{} metastasis"),
    4: ("carcinoma in situ of {}",),
    5: ("benign neoplasm of {}", "benign {} tumor"),
    6: ("neoplasm of uncertain behavior of {}",),
    7: ("neoplasm of unspecified behavior of {}",),
}
DRUG_COLUMNS = {
    2: ("poisoning by {}, accidental", "{} poisoning"),
    3: ("poisoning by {}, intentional self-harm",),
    4: ("poisoning by {}, assault",),
    5: ("poisoning by {}, undetermined",),
    6: ("adverse effect of {}",),
    7: ("underdosing of {}",),
}
BEHAVIORS = {
    "malignant": 2,
    "primary": 2,
    "malignant primary": 2,
    "secondary": 3,
    "malignant secondary": 3,
    "metastatic": 3,
    "in situ": 4,
    "ca in situ": 4,
    "carcinoma in situ": 4,
    "benign": 5,
    "uncertain": 6,
    "uncertain behavior": 6,
    "unspecified": 7,
    "unspecified behavior": 7,
}
"""What a reference to the neoplasm table calls its columns."""
_NAMES = 3
"""Names of one site or substance that terms are made from."""
_CARCINOMA = re.compile(r"(?:basal|squamous) cell carcinoma")


def neoplasm_terms(entry: IndexEntry) -> Iterator[tuple[list[str], str]]:
    """(terms, code as written) of each column."""
    sites = entry.path[1:]
    growth = _CARCINOMA.fullmatch(sites[-1].text) if sites else None
    names = _names(sites[:-1] if growth else sites)
    for column, code in entry.cells:
        templates = (f"{growth[0]} of {{}}",) if growth else NEOPLASM_COLUMNS.get(column, ())
        if names:
            yield [template.format(name) for template in templates for name in names], code
        else:
            yield [template.replace(" of {}", "").replace("{} ", "") for template in templates], code


def drug_terms(entry: IndexEntry) -> Iterator[tuple[list[str], str]]:
    """(terms, code as written) of each column."""
    names = _names(entry.path, inverted=False)
    for column, code in entry.cells:
        yield [template.format(name) for template in DRUG_COLUMNS.get(column, ()) for name in names], code


def _names(path: Sequence[Title], inverted: bool = True) -> list[str]:
    return readable_terms(path, inverted=inverted)[:_NAMES] if path else []
