"""Notes to rank, from a table: JSONL, CSV, Parquet or a spreadsheet."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bi_encoder.adaptation.notes import JSON_SUFFIXES, json_column
from data.ledger import Ledger
from data.sources.shared.own_table.table_columns import encoding_hint, parts_of
from data.table_files.columns import Column, ColumnForms, type_columns, without_nothing
from data.table_files.ids import with_one_spelling
from data.table_files.meanings import Meaning
from data.table_files.text_tables import read_text_table
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteColumns:
    """What the columns of a table are called; None: there is none."""

    text: str
    """In several columns: `history+course`."""
    ids: str | None = None
    """None: the numbers of the rows."""
    age: str | None = None
    sex: str | None = None

    def named(self) -> dict[str, str]:
        texts = parts_of(self.text)
        names = {"text": self.text} if len(texts) < 2 else {f"text_{at}": name for at, name in enumerate(texts)}
        more = {"ids": self.ids, "age": self.age, "sex": self.sex}
        return names | {ours: theirs for ours, theirs in more.items() if theirs is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteTable:
    ids: list[str]
    texts: list[str]
    ages: list[int | None]
    """In years."""
    sexes: list[str | None]
    """`F`, `M` or unknown."""
    num_empty: int
    """Rows without a note, left out."""
    num_respelled: int
    """Ids in another spelling than the file's: 12 for 12.0."""
    unreadable: dict[str, int]
    """`notes.csv, age` -> values of that column that are no age, or no sex, and are taken for unknown."""


def read_note_table(path: str | Path, columns: NoteColumns, forms: ColumnForms | None = None) -> NoteTable:
    """Raises UserError, naming the line, where an id is missing, where one stands twice, and where no row has a note;
    and as `read_text_table` and `type_columns`."""
    path, forms = Path(path), forms or ColumnForms()
    if path.name.removesuffix(".gz").endswith(JSON_SUFFIXES):
        for name in parts_of(columns.text):
            json_column(path, name)  # refuses what is no text
    with encoding_hint():
        table = read_text_table(path, columns.named(), encoding=forms.encoding)
    parts = [name for name in table.rows.columns if name.startswith("text")]
    if any(table.rows[name].dtype != pl.String for name in parts):
        raise UserError(f"{path}: the column {columns.text} holds dates or times, and no notes")
    written = [without_nothing(table.rows[name]) for name in parts]
    texts = pl.select(pl.concat_str(written, separator="\n\n", ignore_nulls=True)).to_series()
    ids, num_respelled = [str(number) for number in range(1, len(texts) + 1)], 0
    if columns.ids is not None:
        stored = table.rows["ids"].cast(pl.String).str.strip_chars()
        spelled, num_respelled = with_one_spelling(stored, False, f"{path}: column {columns.ids}")
        ids = [value or "" for value in spelled.to_list()]
    notes = [note or "" for note in texts.to_list()]
    with_note = [number for number, note in enumerate(notes) if note.strip()]
    if not with_note:
        raise UserError(f"{path} has no row with a note in {columns.text}")
    missing = next((number for number in with_note if not ids[number].strip()), None)
    if missing is not None:
        raise UserError(f"row {missing + 1} of {path} has a note and no id in {columns.ids}; give every note an id")
    counts = Counter(ids[number] for number in with_note)
    num_repeated = sum(count > 1 for count in counts.values())
    if num_repeated:
        raise UserError(
            f"{path}: {num_repeated:,} ids in {columns.ids} stand at several notes, so that nobody could tell what was "
            f"ranked for which; name a column whose ids are the notes' own, or leave --patient out"
        )
    ledger, of_patients = (
        Ledger(),
        [
            Column(name=name, meaning=meaning, header=getattr(columns, name))
            for name, meaning in (("age", Meaning.AGE), ("sex", Meaning.SEX))
            if getattr(columns, name) is not None
        ],
    )
    typed = type_columns(table, of_patients, ledger, forms)
    known = {name: typed[name].to_list() if name in typed.columns else [None] * len(notes) for name in ("age", "sex")}
    return NoteTable(
        ids=[ids[number] for number in with_note],
        texts=[notes[number] for number in with_note],
        ages=[known["age"][number] for number in with_note],
        sexes=[known["sex"][number] for number in with_note],
        num_empty=len(notes) - len(with_note),
        num_respelled=num_respelled,
        unreadable={name: entry["values"] for name, entry in ledger.record().get("unreadable", {}).items()},
    )
