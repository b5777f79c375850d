"""A national edition of ICD-10 (GM, AM, CIE-10, CIM-10 ...) from a table: code, definition, and perhaps parent.

A row whose code has the form of ICD-10 is a code; others are headings, where a parent or a range (`E10-E14`) says what
they stand over, and else left out and counted. Several rows of one code are its definition, then its synonyms. Over a
category stand, in this order of preference, the parents that the table names, the ranges it lists, and the chapter and
block of the WHO's edition: the outermost is the chapter, the innermost the block. Where there is one only, it is the
chapter, unless the WHO has it as a block. A category that no row names is called as the WHO calls it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from data.editions.code_list import CODE, CodeList, Headings, load_who_edition
from data.editions.edition import UnknownCode
from data.ledger import Ledger
from data.table_files.columns import column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

_COLUMNS = (
    column("code", Meaning.CODE),
    column("definition", Meaning.TEXT),
    column("parent", Meaning.WORD, optional=True),
)
_RANGE = re.compile(r"([A-Z]\d[0-9A-Z])\s*[-–]\s*([A-Z]\d[0-9A-Z])")
_NO_CODE_BEHIND = re.compile(r"[\s.+*!#†‡-]+$")
"""What tables of national editions write behind a code: marks, and `.-` where digits are to follow."""


def read_national_edition(path: str | Path, ledger: Ledger) -> tuple[CodeList, InputFile]:
    """The edition in a CSV or Parquet file, and the file; what is left out of it goes to the ledger.

    Raises FileNotFoundError or UserError naming the file where it cannot be read, holds no code or one without a
    definition, or its parents go round in a circle.
    """
    path = Path(path)
    table = read_columns(path, _COLUMNS, ledger)
    rows = table.rows.drop_nulls("code")
    names: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for row in rows.iter_rows(named=True):
        name = _canonical(row["code"])
        own_titles = names.setdefault(name, [])
        title = " ".join((row["definition"] or "").split())
        if title and title not in own_titles:
            own_titles.append(title)
        if row.get("parent"):
            parents.setdefault(name, _canonical(row["parent"]))
    codes = [name for name in names if CODE.fullmatch(name)]
    if not codes:
        raise UserError(f"{path} holds no code of the form of ICD-10 in its column code: a letter, a digit, and more")
    undefined = sum(not names[code] for code in codes)
    if undefined:
        raise UserError(f"{path}: {undefined:,} of {len(codes):,} codes have no definition; every code needs one")
    titles = {name: own_titles[0] for name, own_titles in names.items() if own_titles}
    placed = _place(path, codes, titles, parents)
    over = {heading for place in placed.place_of.values() for heading in place} | set(parents.values())
    unused = [name for name in names if name not in over and not CODE.fullmatch(name) and not _RANGE.fullmatch(name)]
    ledger.change(f"row of {path.name} that is no ICD-10 code and stands over none, left out", len(unused))
    edition = f"{path.name} ({len(codes):,} codes, sha256 {table.file.sha256[:12]})"
    synonyms = {code: names[code][1:] for code in codes if len(names[code]) > 1}
    known = {code: titles[code] for code in codes}
    return CodeList(f"codes:{path.stem}", edition, _with_categories(known), placed, synonyms), table.file


def _canonical(text: str) -> str:
    name = _NO_CODE_BEHIND.sub("", text.upper())
    if CODE.fullmatch(name) is None:
        return re.sub(r"\s*[-–]\s*", "-", text.upper().strip())
    plain = name.replace(".", "")
    return plain if len(plain) == 3 else f"{plain[:3]}.{plain[3:]}"


def _with_categories(titles: dict[str, str]) -> dict[str, str]:
    """`titles`, in order, each category before its codes; one that the table lacks has the WHO's title or its code."""
    complete: dict[str, str] = {}
    who = load_who_edition()
    for code, title in titles.items():
        category = code[:3]
        if category not in complete:
            try:
                complete[category] = titles.get(category) or who.definition(category)
            except UnknownCode:
                complete[category] = f"Category {category}"
        complete[code] = title
    return complete


def _place(path: Path, codes: list[str], titles: Mapping[str, str], parents: Mapping[str, str]) -> Headings:
    """The chapter and block of every category, with their names: the table's, or the WHO's, or the heading itself."""
    who = load_who_edition()
    ranges = [(ends[1], ends[2], name) for name in titles if (ends := _RANGE.fullmatch(name))]
    place_of: dict[str, tuple[str, str]] = {}
    chapters: dict[str, str] = {}
    blocks: dict[str, str] = {}
    for code in codes:
        category = code[:3]
        if category in place_of:
            continue
        who_place = _who_place(who, category)
        own = _parents_over(path, code, parents) or _ranges_over(category, ranges)
        if len(own) > 1:
            chapter, block = own[-1], own[0]
        elif own:
            chapter, block = (who_place[0], own[0]) if who_place and who_place[1] == own[0] else (own[0], category)
        else:
            chapter, block = who_place or (f"{category[0]}00-{category[0]}99", category)
        place_of[category] = (chapter, block)
        chapters[chapter] = titles.get(chapter) or _who_name(who, "chapter", chapter)
        if block != category:
            blocks[block] = titles.get(block) or _who_name(who, "block", block)
    return Headings(chapters=chapters, blocks=blocks, place_of=place_of)


def _who_place(who: CodeList, category: str) -> tuple[str, str] | None:
    """The chapter and block of a category in the WHO's edition; None where it has no such category."""
    try:
        groups = who.groups(category)
    except UnknownCode:
        return None
    return groups["chapter"], groups["block"]


def _who_name(who: CodeList, level: str, heading: str) -> str:
    try:
        return who.group_name(level, heading)
    except UnknownCode:
        return heading


def _parents_over(path: Path, code: str, parents: Mapping[str, str]) -> list[str]:
    """The headings over a code by the parents of the table, the innermost first."""
    above, name = [], code
    while name in parents:
        name = parents[name]
        if name == code or name in above:
            raise UserError(f"{path}: the parents of {code} go round in a circle; the outermost heading has none")
        above.append(name)
    return [heading for heading in above if CODE.fullmatch(heading) is None]


def _ranges_over(category: str, ranges: list[tuple[str, str, str]]) -> list[str]:
    """The listed ranges that hold a category, the narrowest first."""
    over = [(first, last, name) for first, last, name in ranges if first <= category <= last]
    # Of two, the one inside the other begins later or ends earlier.
    return [name for *_, name in sorted(over, key=lambda each: (_width(each[0], each[1]), each[2]))]


def _width(first: str, last: str) -> int:
    return int(last, 36) - int(first, 36)
