"""Body sites that a title names, to tell whether one title is more specific about the place than another."""

import functools
import re

SYSTEMS = {
    "circulatory": ("circulatory", "cardiovascular"),
    "respiratory": ("respiratory",),
    "digestive": ("digestive", "gastrointestinal"),
    "genitourinary": ("genitourinary", "urogenital"),
    "nervous": ("nervous", "neurolog"),
    "endocrine": ("endocrin",),
    "musculoskeletal": ("musculoskeletal",),
    "skin": ("skin", "subcutaneous", "dermatolog", "cutaneous"),
    "blood": ("blood", "hematolog"),
}
"""System -> how words that name it begin."""
ORGANS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "spleen": ("blood", ("spleen", "splenic")),
    "bone marrow": ("blood", ("marrow",)),
    "heart": ("circulatory", ("heart", "cardi", "myocard", "atrial", "atrium", "ventric")),
    "valve": ("circulatory", ("mitral", "aortic", "tricuspid")),
    "artery": ("circulatory", ("arter", "aorta", "coronar", "carotid")),
    "vein": ("circulatory", ("vein", "venous", "veins", "portal")),
    "lung": ("respiratory", ("lung", "pulmon", "pneum")),
    "airway": ("respiratory", ("trache", "bronch", "laryn", "pharyn", "nose", "nasal", "sinus")),
    "pleura": ("respiratory", ("pleur",)),
    "esophagus": ("digestive", ("esophag",)),
    "stomach": ("digestive", ("stomach", "gastri", "gastro")),
    "bowel": (
        "digestive",
        ("intestin", "bowel", "colon", "colonic", "duoden", "ileum", "rectum", "rectal", "anus", "anal"),
    ),
    "liver": ("digestive", ("liver", "hepat")),
    "biliary": ("digestive", ("gallbladder", "biliary", "bile")),
    "pancreas": ("digestive", ("pancrea",)),
    "peritoneum": ("digestive", ("periton", "retroperiton")),
    "mouth": ("digestive", ("mouth", "tooth", "teeth", "dental", "tongue", "lip", "oral")),
    "kidney": ("genitourinary", ("kidney", "renal", "nephr")),
    "bladder": ("genitourinary", ("bladder", "urethr", "ureter")),
    "male organs": ("genitourinary", ("prostat", "testi", "penis")),
    "female organs": ("genitourinary", ("uterus", "uterine", "ovar", "vagin", "cervix")),
    "breast": (None, ("breast", "mammary")),
    "brain": ("nervous", ("brain", "cerebr", "mening")),
    "spine": ("musculoskeletal", ("spine", "spinal", "vertebra", "cervical", "thoracic", "lumbar", "sacral")),
    "thyroid": ("endocrine", ("thyroid",)),
    "pituitary": ("endocrine", ("pituitar",)),
    "adrenal": ("endocrine", ("adren",)),
    "eye": (None, ("eye", "eyes", "ocular", "ophthalm")),
    "ear": (None, ("ear", "ears", "mastoid", "otolog", "aural")),
    "retina": ("eye", ("retin", "macula")),
    "lens": ("eye", ("lens", "catarac")),
    "cornea": ("eye", ("corne",)),
    "head": (None, ("head", "skull", "face", "facial", "jaw", "mandib", "scalp")),
    "neck": (None, ("neck",)),
    "trunk": (None, ("chest", "thorax", "abdom", "pelvi", "back", "groin", "rib", "ribs")),
    "shoulder": (None, ("shoulder", "clavic", "scapul")),
    "arm": (None, ("arm", "arms", "humer", "elbow", "forearm", "radius", "ulna")),
    "hand": ("arm", ("hand", "hands", "wrist", "finger", "thumb")),
    "hip": ("leg", ("hip", "hips", "femur", "femoral", "thigh")),
    "leg": (None, ("leg", "legs", "knee", "tibia", "fibula", "calf")),
    "foot": ("leg", ("foot", "feet", "ankle", "toe", "toes", "heel")),
    "right": (None, ("right",)),
    "left": (None, ("left",)),
    "both sides": (None, ("bilateral",)),
}
"""Organ, place or side -> what it is part of, where that is named here, and how words that name it begin."""
_LIMBS = {"upper (limb|extremity)": "arm", "lower (limb|extremity)": "leg"}
_EXCEPTION = re.compile(r"\b(except|excluding|other than)\b.*")
"""From one of these words to the end of the line a title says what it excludes."""
_ORGAN_WEIGHT, _SYSTEM_WEIGHT = 2, 1
_SHORTEST_BEGINNING = 5
"""Shorter ones must be the whole word: `ear` is not in `early`."""


def added_sites(title: str, of: str) -> int:
    """How many organs and systems `title` names that the title `of` does not: 2 for each organ, 1 for each system.

    Not counted are systems and organs that an organ of `of` is part of, and other organs of the same system: they are
    no more specific (a chronic bronchitis for a chronic disease of the lung).
    """
    organs, systems = _sites(title)
    source_organs, source_systems = _sites(of)
    above = {ORGANS[organ][0] for organ in source_organs}
    organs = {organ for organ in organs if ORGANS[organ][0] not in above & SYSTEMS.keys()}
    return _ORGAN_WEIGHT * len(organs - source_organs - above) + _SYSTEM_WEIGHT * len(systems - source_systems - above)


def _sites(title: str) -> tuple[set[str], set[str]]:
    """The organs and the systems that the words of `title` name."""
    organs: set[str] = set()
    systems: set[str] = set()
    text = _EXCEPTION.sub("", title.lower())
    for limb, organ in _LIMBS.items():
        text = re.sub(limb, organ, text)
    for word in re.findall(r"[a-z]+", text):
        named = _named_by(word)
        organs |= named[0]
        systems |= named[1]
    return organs, systems


@functools.cache
def _named_by(word: str) -> tuple[frozenset[str], frozenset[str]]:
    """The organs and the systems that one word names; titles share most of their words."""
    organs = frozenset(organ for organ, (_, stems) in ORGANS.items() if _begins(word, stems))
    return organs, frozenset(system for system, stems in SYSTEMS.items() if _begins(word, stems))


def _begins(word: str, stems: tuple[str, ...]) -> bool:
    return any(word == stem or (len(stem) >= _SHORTEST_BEGINNING and word.startswith(stem)) for stem in stems)
