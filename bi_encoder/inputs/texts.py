"""What the two towers read: an example as a query text, a code as its key text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from data.task import Task
from mera.system.errors import UserError

SEX_WORDS = {"F": "female", "M": "male"}
FIRST_VISIT = "First visit."
NAMING_LEVELS = ("subcategory", "category")
"""Levels whose names stand for a code without a definition, the nearest first."""
SHARED_BY = 10
"""Patients who must share a word of their notes before a tokenizer learns it (the usual smallest cell of a table)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryText:
    text: str
    note_start: int | None
    """Where the example's note begins in `text`, in characters; None where the query was written from a history."""


class Visit(TypedDict):
    codes: list[str]
    days_before: int | None
    """Days from this visit to the example; None: unknown."""


class ExampleRow(TypedDict):
    """What is read of a row of a task's split."""

    age: int | None
    """In years."""
    sex: str | None
    """A key of SEX_WORDS, or anything else for unknown."""
    text: str | None
    """The note, where the task has notes."""
    history: list[Visit]
    """Oldest first."""


def query_text(row: ExampleRow, definitions: Mapping[str, str]) -> QueryText:
    """The example as text: age and sex, then its note, or, where it has none, its history written with definitions.

    The newest visit comes first, because what training leaves of a long text is its beginning.
    A first visit, without a note and without a history, is said to be one. Raises UserError where the note is blank.
    """
    opening = _demographics(row["age"], row["sex"])
    if row["text"] is not None:
        if not row["text"].strip():
            raise UserError("the note is empty; drop such examples when preparing the task")
        return QueryText(text=opening + row["text"], note_start=len(opening))
    if not row["history"]:
        return QueryText(text=opening + FIRST_VISIT, note_start=None)
    visits = [_visit(visit, definitions) for visit in reversed(row["history"])]
    return QueryText(text=opening + " ".join(visits), note_start=None)


def query_texts(task: Task, split: str) -> list[QueryText]:
    """`query_text` of each row of a split, in order. An error names the row, not the patient."""
    definitions = dict(zip(task.codes, key_texts(task), strict=True)) | _other_texts(task)
    texts = []
    for number, row in enumerate(task.splits[split], start=1):
        try:
            texts.append(query_text(row, definitions))
        except ValueError as error:
            raise UserError(f"row {number} of the {split} split of {task.path}: {error}") from error
    return texts


def key_texts(task: Task) -> list[str]:
    """The definition of each candidate, in column order; for a code without one, that of its nearest group, or the
    code itself."""
    groups = {level: task.groups(level) for level in NAMING_LEVELS}
    return [
        _readable(task, code, definition, [groups[level][column] for level in NAMING_LEVELS])
        for column, (code, definition) in enumerate(zip(task.codes, task.definitions, strict=True))
    ]


def codes_without_definition(task: Task) -> list[int]:
    """Columns of the candidates whose definition is empty."""
    return [column for column, text in enumerate(task.definitions) if not (text or "").strip()]


def tokenizer_texts(task: Task) -> list[str]:
    """What a tokenizer of the task's own should know: definitions, synonyms, and the training examples.

    A tokenizer learns whole words and is saved with the model, so a word that fewer than SHARED_BY patients have, such
    as a name or an identifier, is left out.
    """
    synonyms = [synonym for row in task.synonyms for synonym in row]
    words = [query.text.split() for query in query_texts(task, "train")]
    patients: dict[str, set[str]] = {}
    for patient, text in zip(task.splits["train"]["patient_id"], words, strict=True):
        for word in text:
            patients.setdefault(word, set()).add(patient)
    shared = {word for word, having in patients.items() if len(having) >= SHARED_BY}
    return key_texts(task) + synonyms + [" ".join(word for word in text if word in shared) for text in words]


def _other_texts(task: Task) -> dict[str, str]:
    """Code -> text, as `key_texts` writes it, of the codes that stand in a row, such as in a history, and are no
    candidates."""
    rows = task.other_code_table.select("code", "definition", *NAMING_LEVELS).iter_rows()
    return {code: _readable(task, code, definition, groups) for code, definition, *groups in rows}


def _readable(task: Task, code: str, definition: str | None, groups: Sequence[str]) -> str:
    """`groups`: the code's at NAMING_LEVELS."""
    names = (task.group_names[level].get(group) for level, group in zip(NAMING_LEVELS, groups, strict=True))
    return next((text for text in (definition, *names) if text and text.strip()), f"ICD code {code}")


def _demographics(age: int | None, sex: str | None) -> str:
    words = [f"{age} year old"] if age is not None else []
    if sex in SEX_WORDS:
        words.append(SEX_WORDS[sex])
    return " ".join(words) + ". " if words else ""


def _visit(visit: Visit, definitions: Mapping[str, str]) -> str:
    when = f"Visit {visit['days_before']} days before" if visit["days_before"] is not None else "Visit before"
    return f"{when}: {'; '.join(definitions[code] for code in visit['codes'])}."
