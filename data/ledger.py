"""What was read, what was dropped and why: for each unit, read + added = used + dropped.

Something is added only where a mapping turns one code into several.
"""

import re
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import TypedDict

LISTED_FORMS = 3
UNITS = ("diagnoses", "visits", "patients", "notes", "events")
_WHERE_READ = ("notes", "events")
"""Units that only some tasks have."""
LISTED_CODES = 50
FEWEST_PATIENTS = 5
LONGEST_CODE = 10
MOST_DIGITS = 6
"""More are a telephone number, a date or a patient's number."""


class UnitAccount(TypedDict):
    """Where every one of a unit went: read + added = used + dropped."""

    read: int
    added: dict[str, int]
    """Reason -> how many."""
    used: int
    dropped: dict[str, int]
    """Reason -> how many."""


class UnreadableColumn(TypedDict):
    """Values of a column that do not hold what the column means."""

    meaning: str
    values: int
    """How many."""
    forms: list[str]
    """What some look like, letters and digits masked; LISTED_FORMS at most."""


class UnknownCodeCounts(TypedDict):
    """Codes that no ontology knows."""

    distinct: int
    rows: int


class LedgerRecord(TypedDict, total=False):
    """A ledger as task.json has it. `Ledger.record` fills every key; a task of another maker may lack some."""

    rows_read: int
    """Diagnoses, as in the next two."""
    rows_used: int
    dropped: dict[str, int]
    accounting: dict[str, UnitAccount]
    """One of UNITS -> its account."""
    changed: dict[str, int]
    """Event -> diagnoses that were changed, neither dropped nor added."""
    unreadable: dict[str, UnreadableColumn]
    """File and column -> what of it could not be read."""
    unknown_codes: dict[str, int]
    """Code -> rows, of those that may be listed (`UnknownCodes.listed`)."""
    unknown_code_counts: UnknownCodeCounts
    """Of all of them."""


class UnknownCodes:
    """Rows and patients of each code that no ontology knows.

    Such a code may be anything: a name in the wrong column, free text. Numbers of them may leave a prepared task, their
    texts may not. The task itself and the terminal list only those that look like a code and occur with several
    patients.
    """

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._patients: Counter[str] = Counter()

    def add(self, raw: str, rows: int, patients: int) -> None:
        """`raw` stands in so many more `rows`, of so many `patients`."""
        self._rows[raw] += rows
        self._patients[raw] += patients

    def counts(self) -> UnknownCodeCounts:
        """`distinct` codes and the `rows` they stand in; several calls of `add` for one code add up."""
        return {"distinct": len(self._rows), "rows": self._rows.total()}

    def listed(self) -> dict[str, int]:
        """Code -> rows, the most frequent first: those that have the form of a code and FEWEST_PATIENTS patients."""
        rows: Counter[str] = Counter()
        patients: Counter[str] = Counter()
        for raw, count in self._rows.items():
            form = code_form(raw)
            if form is not None:
                rows[form] += count
                patients[form] += self._patients[raw]
        frequent = [form for form in rows if patients[form] >= FEWEST_PATIENTS]
        return {form: rows[form] for form in sorted(frequent, key=lambda form: (-rows[form], form))[:LISTED_CODES]}


def code_form(raw: str) -> str | None:
    """`raw` in upper case without outer spaces, where it looks like a code of some edition and like nobody's name.

    That is: at most LONGEST_CODE of A-Z, 0-9, dot and hyphen, with a digit, at most MOST_DIGITS of them, and no more
    than three letters in a row. Nothing is cut out of a longer text: a part of a name is still a part of a name.
    """
    text = raw.strip().upper()
    digits = sum(character.isdigit() for character in text)
    looks_like_a_code = (
        re.fullmatch(rf"[A-Z0-9.-]{{1,{LONGEST_CODE}}}", text) is not None
        and 1 <= digits <= MOST_DIGITS
        and re.search(r"[A-Z]{4}", text) is None
    )
    return text if looks_like_a_code else None


class Ledger:
    """Counts per unit. A diagnosis is one code of one visit as the source states it, an event one row of its tables of
    procedures, drugs or labs; notes and events count only where read."""

    def __init__(self) -> None:
        self._read: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {unit: Counter() for unit in UNITS}
        self._added: dict[str, Counter[str]] = {unit: Counter() for unit in UNITS}
        self._changed: Counter[str] = Counter()
        self._unknown_codes = UnknownCodes()
        self._unreadable: dict[str, UnreadableColumn] = {}

    def read(self, unit: str, count: int) -> None:
        """`count` more of `unit` came in."""
        self._read[unit] += count

    def drop(self, unit: str, reason: str, count: int = 1) -> None:
        """`count` of `unit` went out because of `reason`."""
        if count:
            self._dropped[unit][reason] += count

    def add(self, unit: str, reason: str, count: int) -> None:
        """`count` of `unit` arose that were not in the source."""
        if count:
            self._added[unit][reason] += count

    def change(self, event: str, count: int = 1) -> None:
        """`count` diagnoses were changed, neither dropped nor added."""
        if count:
            self._changed[event] += count

    def unknown_code(self, raw: str, rows: int, patients: int) -> None:
        """A code dropped because no ontology knows it, from so many rows of so many patients."""
        self._unknown_codes.add(raw, rows, patients)

    def unreadable(self, column: str, meaning: str, count: int, forms: Sequence[str]) -> None:
        """`count` values of `column` do not hold `meaning`; `forms`: what some look like, letters and digits masked."""
        record = self._unreadable.setdefault(column, {"meaning": meaning, "values": 0, "forms": []})
        record["values"] += count
        record["forms"] = list(dict.fromkeys([*record["forms"], *forms]))[:LISTED_FORMS]

    def copy(self) -> "Ledger":
        """An independent ledger with the counts so far."""
        return deepcopy(self)

    def used(self, unit: str) -> int:
        return self._read[unit] + self._added[unit].total() - self._dropped[unit].total()

    def check_used(self, unit: str, count: int) -> None:
        """Compare with what really arrived at the end: a difference is a bug in an adapter, not the user's fault."""
        assert self.used(unit) == count, f"{unit}: {self.used(unit)} by the ledger, {count} in the task"

    def record(self) -> LedgerRecord:
        """Everything counted so far, for task.json."""
        units: dict[str, UnitAccount] = {
            unit: {
                "read": self._read[unit],
                "added": dict(sorted(self._added[unit].items())),
                "used": self.used(unit),
                "dropped": dict(sorted(self._dropped[unit].items())),
            }
            for unit in UNITS
            if unit not in _WHERE_READ or self._read[unit]
        }
        diagnoses = units["diagnoses"]
        return {
            "rows_read": diagnoses["read"],
            "rows_used": diagnoses["used"],
            "dropped": diagnoses["dropped"],
            "accounting": units,
            "changed": dict(sorted(self._changed.items())),
            "unreadable": dict(sorted(self._unreadable.items())),
            "unknown_codes": self._unknown_codes.listed(),
            "unknown_code_counts": self._unknown_codes.counts(),
        }
