"""A patient as somebody gives it to `mera predict` or `Ranker.rank`, checked before a model reads it.

Two kinds of mistake are refused with a UserError of one sentence: what no patient can be (days that ascend, an age of
-5), and what the model has never seen (unknown codes, a note where it was trained on none). The second kind may be
allowed, and is then a Python warning (`rank.patients.notices`).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from data.table_files.meanings import LARGEST_AGE, whole_number
from data.table_files.meanings import sex as sex_of_word
from mera.system.errors import UserError
from rank.patients.code_reader import CodeReader
from rank.patients.event_reader import EventReader, split_events
from rank.patients.notices import UnfamiliarInput

MOST_DAYS = 120 * 366
MOST_UNKNOWN = 0.5
"""Largest share of a history's codes that may be unknown to the model."""
NO_USABLE_CODE = "left out, as they have no code of the model's edition"
GO_ON = "to go on all the same, pass --allow-unknown (in Python: allow_unknown=True)"


def given_codes(history: Sequence[Sequence[str]]) -> list[list[str]]:
    """The codes of each visit, without those that are blank. Raises UserError where a visit is a text instead of a
    list of codes, whose letters would be read as codes, or a code is no text."""
    for number, visit in enumerate(history, start=1):
        if isinstance(visit, str):
            raise UserError(f"a history is a list of visits, each a list of codes; visit {number} is a text")
        if not all(isinstance(code, str) for code in visit):
            raise UserError(f"a code is a text, such as 'I50.9' or '428.0'; visit {number} holds something else")
    return [[code for code in visit if code.strip()] for visit in history]


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenVisits:
    """The visits of one patient as a model reads them, those too that are left out."""

    codes: list[list[str]]
    events: list[list[str]]
    usable: list[int]
    """The numbers, from 0, of the visits that have a code of the model or of its edition, or an event. `mera prepare`
    leaves the others out, so no model was trained on a visit without codes."""

    @classmethod
    def read(cls, history: Sequence[Sequence[str]], reader: CodeReader, event_reader: EventReader) -> "GivenVisits":
        """Raises UserError as `given_codes` does."""
        given = [split_events(visit) for visit in given_codes(history)]
        codes, events = reader.visits([parts[0] for parts in given]), event_reader.visits([parts[1] for parts in given])
        usable = [
            number
            for number, (of_visit, told) in enumerate(zip(codes, events, strict=True))
            if told or any(map(reader.is_code, of_visit))
        ]
        return cls(codes=codes, events=events, usable=usable)

    @property
    def left_out_sentence(self) -> str | None:
        """Counts the visits that are not usable, and names their codes; None where all are."""
        left_out = [codes for number, codes in enumerate(self.codes) if number not in self.usable]
        unread = sorted({code for codes in left_out for code in codes})
        if not left_out:
            return None
        named = f": {', '.join(unread)}" if unread else ""
        return f"{len(left_out)} of {len(self.codes)} visits {NO_USABLE_CODE}{named}"


def read_age(value: str | float | None) -> int | None:
    """Whole years from `67`, `67.0` or "67.0". Raises UserError on anything else, and outside 0 to 120."""
    if value is None:
        return None
    age = _whole(value)
    if age is None or not 0 <= age <= LARGEST_AGE:
        raise UserError(f"an age is a whole number of years from 0 to {LARGEST_AGE}, got {value!s}")
    return age


def read_sex(value: str | None) -> str | None:
    """`F`, `M`, or None where it is recorded as unknown. Raises UserError on a word that is no sex."""
    if value is None:
        return None
    sex = sex_of_word(value.strip())
    if sex is None:
        raise UserError(f"a sex is F or M, or a word for one of them, got {value!r}")
    return sex or None


def read_days(values: Sequence[str | float | None], num_visits: int) -> list[int | None]:
    """Days before now of each visit, oldest first; None where they are unknown. Raises UserError where there is not
    one for each visit, one is no whole number or negative, or they ascend."""
    if len(values) != num_visits:
        raise UserError(
            f"days before now are one for each visit, oldest first: got {len(values)} for {num_visits} visits"
        )
    days = [None if value is None else _whole(value) for value in values]
    for value, day in zip(values, days, strict=True):
        if value is not None and (day is None or day < 0):
            said = str(value) or "nothing"
            raise UserError(f"days before now are whole numbers of 0 or more, one for each visit, got {said}")
        if day is not None and day > MOST_DAYS:
            raise UserError(f"days before now are no more than {MOST_DAYS:,}, those of a life, got {value!s}")
    known = [day for day in days if day is not None]
    if known != sorted(known, reverse=True):
        raise UserError(
            f"days before now must not ascend, because visits are given oldest first; got {', '.join(map(str, known))}"
        )
    return days


def require_known(
    reader: CodeReader,
    history: Sequence[Sequence[str]],
    *,
    whose: str = "the history's",
    unread: int = 0,
    allow_unknown: bool = False,
) -> None:
    """`history`: visits with codes as `reader` read them; `unread`: further codes, which are none of its edition and
    were left out. Raises UserError where the model knows none or too few."""
    unknown = reader.unknown(history)
    num_unknown, number = len(unknown) + unread, sum(len(set(visit)) for visit in history) + unread
    if not num_unknown or num_unknown <= MOST_UNKNOWN * number:
        return
    why = reader.why_unknown(unknown) if len(unknown) > unread else "most are no codes of its edition"
    refuse(f"{num_unknown:,} of {whose} {number:,} codes are unknown to the model: {why}", allow_unknown)


def require_seen(reader: CodeReader, *, history: bool, note: bool, allow_unknown: bool = False) -> None:
    """Raises UserError where there is a history, or a note, and the model has never seen one."""
    trained_on = reader.trained_on
    if note and trained_on.note is False:
        refuse("the model was trained without notes, so it cannot read one: leave the note out", allow_unknown)
    if history and trained_on.history is False:
        refuse(
            "the model was trained on notes without histories, so it cannot read one: leave the history out",
            allow_unknown,
        )


def refuse(reason: str, allow_unknown: bool) -> None:
    """Raise UserError, or warn (`UnfamiliarInput`) that the ranking goes on."""
    if not allow_unknown:
        raise UserError(f"{reason}; {GO_ON}")
    warnings.warn(f"{reason}; what the model makes of it is anybody's guess", UnfamiliarInput, stacklevel=3)


def _whole(value: str | float) -> int | None:
    """The whole number that a number, or a text of one, is."""
    digits = None if isinstance(value, bool) else whole_number(str(value).strip())
    return None if digits is None else int(digits)
