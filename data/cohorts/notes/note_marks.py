"""What notes hold that no coder reads there: their own codes, which give the answer away, characters that do not show,
and remains of how they were stored."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from data.cohorts.cohort import Patient, Visit
from data.cohorts.notes.plain_text import plain_text
from data.ledger import Ledger

OWN_CODE = "note that holds one of its own codes"
MASKED = f"{OWN_CODE}, in whose place spaces stand now"
MARKS = "note with remains of HTML or RTF, read as they stand"
MISREAD = "note whose letters another encoding has changed (Ã¶ for ö), read as they stand"
DIVIDED = "note with words divided by a hyphen at the end of a line, read as two"
MADE_PLAIN = "note with invisible characters, letters of several characters, or marks of HTML or RTF, made plain"
MANY = 0.02
"""Share of the notes with their own codes, above which what is learnt and measured may be the reading of codes."""
_MARKS = re.compile(
    r"</(?:p|b|i|div|span|td|tr|table|html|body|li|ul|h\d)>|<br ?/?>|\\rtf1|\\par\b|\\'[0-9a-f]{2}|\w\\n", re.I
)
_MISREAD = re.compile("Ã[\u0080-\u00bf\u0152-\u0192\u02c6\u02dc\u2013-\u203a\u20ac]")
_DIVIDED = re.compile(r"[^\W\d_]-\r?\n\s*[^\W\d_]")


def look_at_notes(patients: Sequence[Patient], ledger: Ledger, mask_codes: bool) -> list[Patient]:
    """`patients` of a coding task; with `mask_codes` each note has spaces in the place of its own codes, so that what
    was marked in it stays at its place. Notes in which nothing was marked are made plain (`plain_text`). The ledger
    counts what was found."""
    num_own = num_plain = 0
    remains = Counter[str]()
    looked = list(patients)
    for number, patient in enumerate(patients):
        visits: list[Visit] = []
        for visit in patient.visits:
            text = stored = "" if visit.text is None else str(visit.text)
            if not visit.evidence:
                text = plain_text(stored).text
                text = text if text.strip() else stored
                num_plain += text != stored
            places = list(own_codes(text, visit.codes))
            num_own += bool(places)
            remains.update(remains_in(text))
            if places and mask_codes:
                text = _without(text, places)
            visits.append(visit if text == stored else visit._replace(text=text))
        looked[number] = patient._replace(visits=tuple(visits))
    ledger.change(MASKED if mask_codes else OWN_CODE, num_own)
    ledger.change(MADE_PLAIN, num_plain)
    for what, num_notes in remains.items():
        ledger.change(what, num_notes)
    return looked


def remains_in(text: str) -> list[str]:
    """What of how it was stored a note still holds: some of MARKS, MISREAD and DIVIDED."""
    patterns = {MARKS: _MARKS, MISREAD: _MISREAD, DIVIDED: _DIVIDED}
    return [what for what, pattern in patterns.items() if pattern.search(text) is not None]


def advice(changed: Mapping[str, int], num_notes: int) -> str | None:
    """What to do about own codes, where many notes have them; None where they have not."""
    num_own = changed.get(OWN_CODE, 0)
    if num_own <= MANY * num_notes:
        return None
    return (
        f"{num_own:,} of {num_notes:,} notes hold one of their own codes: a model would learn to read codes, and its "
        f"figures would be those of reading them. --mask-codes puts spaces in their place"
    )


def own_codes(text: str, codes: Iterable[str]) -> Iterable[tuple[int, int]]:
    """Where in `text` one of `codes`, or one below it, stands as a word: with its point, a comma in its place or
    without, also behind the Danish D; numbers only with their point."""
    upper = text.upper()
    for code in codes:
        if code.partition(".")[0].upper() in upper:
            yield from (found.span() for found in _as_written(code).finditer(text))


@lru_cache(maxsize=100_000)
def _as_written(code: str) -> re.Pattern[str]:
    """Longer codes too: a task of categories, or of an edition with fewer digits, has shorter ones than its notes."""
    category, _, rest = map(re.escape, code.partition("."))
    if category.isdigit():
        written = rf"{category}\.{rest}\d{{{0 if rest else 1},2}}"
    elif rest:
        written = rf"D?{category}[.,]?{rest}\w{{0,4}}"
    else:
        written = rf"D?{category}(?:[.,]?\d\w{{0,3}})?"
    return re.compile(rf"(?<!\w){written}(?!\w)", re.IGNORECASE)


def _without(text: str, places: Iterable[tuple[int, int]]) -> str:
    for start, end in places:
        text = text[:start] + " " * (end - start) + text[end:]
    return text
