"""Cells in which words stand beside the code: what it is called, or what takes it back (`I21.9 ruled out`)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from data.ontology import Ontology, UnknownCode

CODE = r"[A-Za-z0-9][0-9][0-9A-Za-z][0-9A-Za-z.]*"
WITH_NAME = rf"^[\s\[(]*({CODE})[\s\])(*+†‡!#:;,_/=–—|-]+([^\n]*[^\W\d_]{{3}}[^\n]*)$"
"""A code, and behind it words: `I10 - Essential hypertension`."""
BEHIND_NAME = re.compile(rf"[\[(]\s*({CODE})\s*[\])]?\s*$")
"""What stands behind words that it is the code of: `Essential hypertension [I10]`."""
_LONGEST_CODE, _LONGEST_NAME = 30, 300
"""Characters, with the brackets around it; and of a name."""
NAMES_OF_CODES = 0.5
"""Different words for each code, from which on they are what the codes are called; fewer would qualify them."""
CERTAINTY = re.compile(rf"[\s\[(]*({CODE})\s+([AGVZ])(?:\s+\S.*)?", re.I | re.S)
"""The German certainty behind a code: excluded, certain, suspected, past."""
CERTAINTY_AT_ONCE = re.compile(r"\s*([A-Za-z]\d{2}(?:\.?[0-9]{1,2})?)([AGVZ])\s*")
"""The same without a space, as practices write it; in ICD-10-CM such a letter is part of the code."""
_LETTER_AT_ONCE = re.compile(r"\s*([A-Za-z]\d{2}\.?[0-9]{1,2})([A-Z])\s*")
"""A code with a letter of whatever meaning."""
OF_TWO = re.compile(r"\s*([A-Za-z]\d{2}[\dXx-])[\s-]?([AD])\s*")
"""A code of the WHO with the British letter for one of two codes of a disease: dagger, its cause, or asterisk."""
TAKES_BACK = re.compile(
    r"(?<!\w)(?:exclu|rule[sd]?[ -]?out|r/o\b|susp\b|suspect|suspic|possibl|probabl|questionable|unlikely|differential"
    r"|(?:not|non) confirm|unconfirm|ausschluss|ausgeschl|verdacht|v\.? ?a\.|fraglich|nicht bestätigt|descarta|sospech"
    r"|posible|no confirmad|élimin|esclus|sospett|pregress|suspeit|uitgesloten|verdenking|misstänkt|utesl)",
    re.I,
)
"""Words that say of a code, wherever they stand, that the patient has it not, perhaps, or no longer, in eight
languages."""
TAKES_BACK_WHAT_FOLLOWS = re.compile(
    r"\W*(?:history of|h/o\b|hx\b|no evidence|negative for|deni(?:es|ed)\b|family|z\.? ?n\.|zustand nach|antecedente"
    r"|niega|sin evidencia|antécédent|anamnesi|voorgeschiedenis)",
    re.I,
)
"""The same of what stands behind them: of the code where they begin its name, or stand alone behind it. Elsewhere they
say something of another disease (`Prostate cancer, no evidence of metastasis`)."""
_ALONE = 2
"""Words, at most, that stand alone behind a name."""
_OF_THE_PAST = re.compile(r"\b(?:old|history|sequelae?|late effects?|status|presence|acquired absence)\b", re.I)
"""Definitions of codes that are histories themselves."""
_FURTHER = re.compile(
    r"(?:(?<=[\s(;,/+&|>-])|^)([A-Za-z]\d[0-9A-Za-z](?:\.?[0-9A-Za-z]{1,4})?|\d{3}\.\d{1,2})(?![\w.]*\w)"
    r"|[;,/+&|>]\s*(\d{3,5})\b"
)
_SPLIT = re.compile(r"\.?\d{1,4}\b")
"""Words that begin so are the rest of a code: `E11 65 Diabetes`."""


@dataclass(frozen=True, slots=True)
class BareCodes:
    codes: pl.Series
    num_named: int
    """Cells whose words were left out: they name the code."""
    num_taken_back: int
    """Cells that are null now: their words take the code back."""
    num_shortened: int = 0
    """Cells whose letter behind the code, of a national edition, was left out."""
    num_several: int = 0
    """Cells with a further code among the words, which stay as they are."""


def bare_codes(cells: pl.Series, edition: Ontology | None) -> BareCodes:
    """`cells` without the names of their codes, as long as different codes have different words.

    What holds a further code of `edition` stays as it is, so that it is none that is known. Words that take a code back
    do so unless its own definition has such words too (`Z87.01 personal history of pneumonia`); without an edition, as
    where it is guessed, nothing is looked up.
    """
    words: dict[str, str] = {}
    several: list[str] = []
    shortened: list[str] = []
    distinct = cells.drop_nulls().unique().to_list()
    has_letters = edition is not None and edition.system not in ("icd10cm", "icd9cm")
    is_german = has_letters and _only_certainties(distinct)
    bare: dict[str, str | None] = _of_two(distinct) if edition is None or edition.system != "icd10cm" else {}
    for cell in (cell for cell in distinct if cell not in bare):
        certainty, found = CERTAINTY.fullmatch(cell), re.match(WITH_NAME, cell)
        if certainty is None and has_letters and edition is not None and not edition.knows(cell):
            certainty = CERTAINTY_AT_ONCE.fullmatch(cell) if is_german else None
            national = None if is_german else _LETTER_AT_ONCE.fullmatch(cell)
            if national is not None and edition.knows(national[1]):
                bare[cell] = national[1]
                shortened.append(cell)
                continue
        if certainty and edition is not None and _is_certainty(edition, certainty[1], certainty[2]):
            bare[cell] = certainty[1] if certainty[2].upper() == "G" else None
            continue
        behind = _behind_name(cell) if found is None else None
        if behind is not None:
            code, name = behind
        elif found is not None and not _SPLIT.match(found[2]):
            code, name = found[1], found[2]
        else:
            continue
        if edition is not None and any(edition.knows(one or other) for one, other in _FURTHER.findall(name)):
            several.append(cell)
            continue
        words[cell] = name
        bare[cell] = None if edition is not None and _is_taken_back(edition, code, name) else code
    named = {cell for cell in words if bare[cell] is not None}
    if len({words[cell] for cell in named}) < NAMES_OF_CODES * len({bare[cell] for cell in named}):
        bare = {cell: code for cell, code in bare.items() if cell not in named}
        named = set()
    taken_back = [cell for cell, code in bare.items() if code is None]
    return BareCodes(
        codes=cells.replace_strict(bare, default=cells, return_dtype=pl.String) if bare else cells,
        num_named=int(cells.is_in(list(named)).sum()),
        num_taken_back=int(cells.is_in(taken_back).sum()),
        num_shortened=int(cells.is_in(shortened).sum()),
        num_several=int(cells.is_in(several).sum()),
    )


def _behind_name(cell: str) -> tuple[str, str] | None:
    """The code behind a name, and the name."""
    found = BEHIND_NAME.search(cell, max(0, len(cell) - _LONGEST_CODE)) if len(cell) < _LONGEST_NAME else None
    name = "" if found is None else cell[: found.start()].strip()
    is_name = "\n" not in name and re.search(r"[^\W\d_]{3}", name) is not None
    return (found[1], name) if found is not None and is_name else None


def _of_two(cells: Sequence[str]) -> dict[str, str | None]:
    """Cells with such a letter -> their codes, where the column has daggers and no German certainty, which has an A
    too."""
    found = {cell: match for cell in cells if (match := OF_TWO.fullmatch(cell)) is not None}
    letters = {match[2].upper() for cell in cells if (match := CERTAINTY.fullmatch(cell)) is not None} - {"A"}
    has_daggers = any(match[2] == "D" for match in found.values())
    return {cell: match[1] for cell, match in found.items()} if has_daggers and not letters else {}


def _is_certainty(edition: Ontology, code: str, letter: str) -> bool:
    """Not the seventh character of an injury (`S72.001 A`)."""
    return edition.knows(code) and not (len(code.replace(".", "")) == 6 and edition.knows(code + letter))


def _only_certainties(cells: Sequence[str]) -> bool:
    """Whether letters right behind codes may be the German certainty: other editions have further letters there
    (`I48.9B`, Swedish)."""
    letters = {found[2].upper() for cell in cells if (found := _LETTER_AT_ONCE.fullmatch(cell)) is not None}
    return len(letters - set("AGVZ")) < 2


def _is_taken_back(edition: Ontology, text: str, name: str) -> bool:
    """Whether the words beside the code `text` take it back, and its own definition has no such words."""
    parts = [part for part in re.split(r"[,;:()\[\]–—]|\s-\s", name) if part.strip()]
    alone = parts[-1] if parts and len(parts[-1].split()) <= _ALONE else ""
    of_what_follows = any(TAKES_BACK_WHAT_FOLLOWS.match(part) for part in (name, alone))
    if not (of_what_follows or TAKES_BACK.search(name)):
        return False
    try:
        code, _ = edition.resolve(text)
    except UnknownCode:
        return True
    definition = edition.definition(code)
    says_so = TAKES_BACK.search(definition) or re.search(TAKES_BACK_WHAT_FOLLOWS, definition)
    return not says_so and not (of_what_follows and _OF_THE_PAST.search(definition))
