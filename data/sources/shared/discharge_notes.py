"""Discharge summaries: MIMIC-III NOTEEVENTS and MIMIC-IV-Note `discharge`, one text for each admission.

The addenda rule: the text of an admission is its discharge summaries and then its addenda, each oldest first, a blank
line between them; a note that repeats another of the same admission word for word is left out. An admission with
addenda only has no summary, and its notes are dropped. MIMIC-III notes marked as errors are dropped. Everything is
counted. The rules of papers (`data.cohorts.notes.text_rules`) put all summaries and addenda together as the file has
them.

In histories, a note that was charted after the patient's next admission began is dropped: it may tell what is to be
predicted.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.cohorts.cohort import KEY
from data.cohorts.notes.note_spool import BETWEEN_NOTES, NoteSpool, Piece, SpooledText
from data.ledger import Ledger
from data.sources.shared.in_time import next_visits
from data.sources.shared.mdace import Mdace, NotePlace
from data.table_files import meanings
from data.table_files.note_stream import NoteStream
from data.table_files.stored_files import InputFile
from data.table_files.times import iso_time
from mera.system.errors import UserError

Key = tuple[str, str]
"""Patient id, admission id."""
Notes = dict[Key, SpooledText]
"""The text of each admission."""
NextAdmissions = Mapping[Key, str]
"""When the patient's next admission begins, as `2151-01-20 18:00:00`, for admissions that are not the last."""


@dataclass(frozen=True, slots=True, order=True)
class _Note:
    """One note; the notes of one admission sort in the order of the addenda rule. Notes that are equal in all else sort
    by their text's digest, so that their order in the file does not matter."""

    is_addendum: bool
    time: str
    number: int
    note_id: str
    digest: bytes
    place: Piece


def read_mimic3_notes(
    path: str | Path,
    ledger: Ledger,
    next_admissions: NextAdmissions | None = None,
    date_format: str | None = None,
    rules: str | None = None,
    mdace: Mdace | None = None,
) -> tuple[Notes, InputFile, dict[str, NotePlace]]:
    """A text for each admission with a discharge summary; the file; and where the notes that `mdace` annotates went.

    `path`: NOTEEVENTS.csv(.gz) or its folder. `next_admissions`: notes charted later than these are dropped.
    `date_format`: of its times, beside ISO. `rules`: of a paper, by which the notes are put together. Raises
    FileNotFoundError or UserError where it cannot be used.
    """
    columns = [
        "row_id",
        "subject_id",
        "hadm_id",
        "chartdate",
        "charttime",
        "category",
        "description",
        "iserror",
        "text",
    ]
    stream = NoteStream(path, "NOTEEVENTS", columns)
    clock = _Clock("NOTEEVENTS, charttime or chartdate", date_format)
    cut_before: dict[str, int] = {}

    def usable(spool: NoteSpool) -> Iterator[tuple[Key, _Note]]:
        for row_id, patient, admission, date, time, category, description, error, text in stream:
            ledger.read("notes", 1)
            reason = _unusable(patient, admission, text)
            if category.strip().lower() != "discharge summary":
                reason = "not a discharge summary"
            elif rules is None and meanings.is_true(error):
                reason = "marked as an error"
            when = clock.read(time) or clock.read(date)
            reason = reason or _too_late(_key(patient, admission), when, next_admissions)
            if reason is not None:
                ledger.drop("notes", reason)
                continue
            is_addendum = description.strip().lower() == "addendum"
            if mdace is not None and _id(row_id) in mdace.of_note:
                cut_before[_id(row_id)] = len(text) - len(text.lstrip())
            place = spool.add(text.strip())
            if rules is None:
                yield _key(patient, admission), _Note(is_addendum, when, _number(row_id), row_id, *place)
            else:
                yield _key(patient, admission), _Note(False, "", next(number_in_file), row_id, *place)
        clock.report(ledger)

    number_in_file = itertools.count()
    of_admission = _notes_of_admissions(usable)
    texts = _one_text_per_admission(of_admission, ledger, with_repeats=rules is not None)
    return texts, stream.file, _places(of_admission, texts, cut_before)


def read_mimic4_notes(
    path: str | Path,
    ledger: Ledger,
    next_admissions: NextAdmissions | None = None,
    date_format: str | None = None,
    rules: str | None = None,
) -> tuple[Notes, InputFile]:
    """The same, but for MDACE, for discharge.csv(.gz) of MIMIC-IV-Note or the folder `note` that holds it."""
    columns = ["note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "text"]
    folder = Path(path)
    stream = NoteStream(folder / "note" if (folder / "note").is_dir() else folder, "discharge", columns)
    clock = _Clock("discharge, charttime", date_format)

    def usable(spool: NoteSpool) -> Iterator[tuple[Key, _Note]]:
        for note_id, patient, admission, note_type, number, time, text in stream:
            ledger.read("notes", 1)
            reason = _unusable(patient, admission, text)
            if note_type.strip().upper() not in ("DS", "AD"):
                reason = "not a discharge summary"
            when = clock.read(time)
            reason = reason or _too_late(_key(patient, admission), when, next_admissions)
            if reason is not None:
                ledger.drop("notes", reason)
                continue
            is_addendum = note_type.strip().upper() == "AD"
            place = spool.add(text.strip())
            if rules is None:
                yield _key(patient, admission), _Note(is_addendum, when, _number(number), note_id, *place)
            else:
                yield _key(patient, admission), _Note(False, "", next(number_in_file), note_id, *place)
        clock.report(ledger)

    number_in_file = itertools.count()
    return _one_text_per_admission(_notes_of_admissions(usable), ledger), stream.file


def read_visit_notes(
    rows: Iterable[tuple[str, str, str, str, str]],
    place: str,
    ledger: Ledger,
    next_admissions: NextAdmissions | None = None,
    date_format: str | None = None,
) -> Notes:
    """A text for each visit from `rows`: note id, patient id, visit id, time and text of each note, any of them empty.

    The notes of a visit stand oldest first; one that repeats another word for word, that has no text or belongs to no
    visit, or was written after the patient's next visit began, is left out and counted. `place`: the file and column
    of the times, for messages.
    """
    clock = _Clock(place, date_format)

    def usable(spool: NoteSpool) -> Iterator[tuple[Key, _Note]]:
        for note_id, patient, visit, time, text in rows:
            ledger.read("notes", 1)
            when = clock.read(time)
            reason = _unusable(patient, visit, text) or _too_late(_key(patient, visit), when, next_admissions)
            if reason is not None:
                ledger.drop("notes", reason)
                continue
            yield _key(patient, visit), _Note(False, when, _number(note_id), note_id, *spool.add(text.strip()))
        clock.report(ledger)

    return _one_text_per_admission(_notes_of_admissions(usable), ledger)


def next_admissions(visits: pl.DataFrame) -> NextAdmissions:
    """From a visits table as in `data.cohorts.cohort`, `order` in seconds."""
    following = next_visits(visits).drop_nulls("next_order")
    begins = pl.from_epoch("next_order", "s").dt.strftime("%Y-%m-%d %H:%M:%S")
    return {(patient, admission): begin for patient, admission, begin in following.select(*KEY, begins).iter_rows()}


def visits_with_notes(
    visits: pl.DataFrame, notes: Notes, ledger: Ledger, required: bool = True, what: str = "discharge summary"
) -> pl.DataFrame:
    """The visits that have notes, with their number; the others, and notes of other admissions, are counted.

    Without `required` all visits stay, those that have none with the number 0. `what`: one note, for the reasons.
    """
    counts = pl.DataFrame(
        [(*key, len(text.pieces)) for key, text in notes.items()],
        schema={"patient_id": pl.String, "admission_id": pl.String, "num_notes": pl.Int64},
        orient="row",
    )
    joined = visits.join(counts, on=KEY, how="inner" if required else "left")
    joined = joined.with_columns(pl.col("num_notes").fill_null(0))
    ledger.drop("visits", f"without a {what}", visits.height - joined.height)
    lost = visits["patient_id"].n_unique() - joined["patient_id"].n_unique()
    ledger.drop("patients", f"without a {what}", lost)
    num_dropped = int(counts["num_notes"].sum()) - int(joined["num_notes"].sum())
    ledger.drop("notes", "admission dropped or not listed", num_dropped)
    return joined


class _Clock:
    """Times of notes as `2151-01-20 18:00:00`, so that they compare as texts; counts those that are none."""

    def __init__(self, column: str, date_format: str | None) -> None:
        self._column, self._date_format = column, date_format
        self._num_read, self._unreadable = 0, 0
        self._forms: list[str] = []

    def read(self, text: str) -> str:
        """Empty where `text` says no time."""
        text = text.strip()
        if meanings.is_nothing(text):
            return ""
        moment = iso_time(text, self._date_format)
        self._num_read += bool(moment)
        if not moment:
            self._unreadable += 1
            self._forms = list(dict.fromkeys([*self._forms, meanings.form_of(text)]))[:3]
        return moment

    def report(self, ledger: Ledger) -> None:
        """To be called when all are read. Raises UserError where none was a time."""
        if not self._unreadable:
            return
        if not self._num_read:
            raise UserError(
                f"{self._column}: none of the {self._unreadable:,} values is a date or time; they look like "
                f"{', '.join(self._forms)}; --date-format says how to read them"
            )
        ledger.unreadable(self._column, "a date or time", self._unreadable, self._forms)


def _key(patient: str, admission: str) -> Key:
    return _id(patient), _id(admission)


def _id(text: str) -> str:
    """As `NUMBER_ID` of `data.table_files.columns` spells it; empty where there is none."""
    text = text.strip()
    return "" if meanings.is_nothing(text) else meanings.whole_number(text) or text


def _unusable(patient: str, admission: str, text: str) -> str | None:
    if not all(_key(patient, admission)):
        return "without an admission or patient id"
    return "empty" if meanings.is_nothing(text.strip()) else None


def _too_late(key: Key, time: str, next_admissions: NextAdmissions | None) -> str | None:
    """Why a note charted at `time` may tell of the next admission; None where it does not. A date without a time is
    the beginning of that day."""
    limit = (next_admissions or {}).get(key)
    if limit is None or "" < time <= limit:
        return None
    return (
        "charted after the next admission began" if time else "without a time, so perhaps of after the next admission"
    )


def _number(text: str) -> int:
    return int(meanings.whole_number(text.strip()) or 0)


def _notes_of_admissions(
    usable: Callable[[NoteSpool], Iterable[tuple[Key, _Note]]],
) -> tuple[NoteSpool, dict[Key, list[_Note]]]:
    """The notes of each admission in the order of the addenda rule, and the spool of their texts."""
    spool = NoteSpool()
    of_admission: dict[Key, list[_Note]] = defaultdict(list)
    for key, note in usable(spool):
        of_admission[key].append(note)
    for notes in of_admission.values():
        notes.sort()
    return spool, of_admission


def _one_text_per_admission(
    spooled: tuple[NoteSpool, dict[Key, list[_Note]]], ledger: Ledger, with_repeats: bool = False
) -> Notes:
    spool, of_admission = spooled
    texts = {}
    for key, notes in of_admission.items():
        if notes[0].is_addendum:
            ledger.drop("notes", "addendum without a summary", len(notes))
            continue
        first_with = {note.digest: note.place for note in reversed(notes)}
        places = tuple(note.place for note in notes if with_repeats or first_with[note.digest] == note.place)
        ledger.drop("notes", "repeats another of its admission", len(notes) - len(places))
        texts[key] = SpooledText(spool, places)
    return texts


def _places(
    spooled: tuple[NoteSpool, dict[Key, list[_Note]]], texts: Notes, cut_before: Mapping[str, int]
) -> dict[str, NotePlace]:
    """note id -> where it went, of the notes in `cut_before`: note id -> how many characters were cut off before it. A
    note that repeats another is where that one is."""
    if not cut_before:
        return {}
    spool, of_admission = spooled
    places: dict[str, NotePlace] = {}
    for key, notes in of_admission.items():
        wanted = [note for note in notes if _id(note.note_id) in cut_before]
        if not wanted or key not in texts:
            continue
        offset, offset_of, length_of = 0, {}, {}
        for piece in texts[key].pieces:
            offset_of[piece], length_of[piece] = offset, len(spool.read(piece))
            offset += length_of[piece] + len(BETWEEN_NOTES)
        piece_of = {note.digest: note.place for note in reversed(notes) if note.place in offset_of}
        for note in wanted:
            piece = note.place if note.place in offset_of else piece_of[note.digest]
            places[_id(note.note_id)] = NotePlace(
                admission_id=key[1],
                offset=offset_of[piece],
                cut_before=cut_before[_id(note.note_id)],
                length=length_of[piece],
            )
    return places
