"""What may be said of the codes that no ontology knows, which may be anything: a name in the wrong column, free text.

Their numbers may leave a prepared task. What they read as may not, and in the task itself and on the terminal stands
only what has the form of a code and occurs with several patients.
"""

import re
from collections import Counter

LISTED_CODES = 50
FEWEST_PATIENTS = 5
LONGEST_CODE = 10
MOST_DIGITS = 6
"""More are a telephone number, a date or a patient's number."""


class UnknownCodes:
    """Rows and patients of each unknown code."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._patients: Counter[str] = Counter()

    def add(self, raw: str, rows: int, patients: int) -> None:
        """`raw` stands in so many more `rows`, of so many `patients`."""
        self._rows[raw] += rows
        self._patients[raw] += patients

    def counts(self) -> dict[str, int]:
        """`distinct` codes and the `rows` they stand in; of a code told to `add` in parts the parts add up."""
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
        shown = [form for form in rows if patients[form] >= FEWEST_PATIENTS]
        return {form: rows[form] for form in sorted(shown, key=lambda form: (-rows[form], form))[:LISTED_CODES]}


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
