"""What the columns of a hospital's table seem to be: a column is known by what its values are; its name decides only
between columns that could be the same. What the user has said is taken as it is."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from data.sources.shared.events.options import KINDS
from data.sources.shared.own_table.code_cells import code_mark
from data.sources.shared.own_table.column_names import (
    FIRST_CHOICE,
    NAMES,
    OF_AGE_UNITS,
    OF_GROUPS,
    OF_NO_DAYS,
    OF_SEX,
    OF_VOID_ROWS,
    could_be,
    is_called,
)
from data.sources.shared.own_table.guess.column_kinds import (
    belongs,
    differs,
    is_age,
    is_birth,
    is_id,
    is_position,
    is_sex,
    is_text,
    is_time,
    sex_letters,
    share_of_several,
    why_no_time,
)
from data.sources.shared.own_table.guess.first_rows import first_rows
from data.sources.shared.own_table.guess.guess import COLUMNS, TableGuess
from data.sources.shared.own_table.guess.guessed_codes import as_pattern, code_columns, system_of, tell_left_out
from data.sources.shared.own_table.table_columns import encoding_hint, matching, parse_keep, parts_of
from data.table_files.columns import distinct
from data.table_files.csv_layout import as_name
from data.table_files.meanings import age
from data.table_files.text_tables import read_text_table
from mera.system.errors import UserError

_MOST_TOLD = 40
"""Columns that are named of those that are not read."""
_FEW = 8
"""Different values of a column of sexes or flags."""
_SHARE_OF_ERRORS, _SHARE_OF_VISITORS, _FEW_PATIENTS = 0.02, 0.3, 20
"""Of patients with several rows, how many may have two sexes, and how many have rows of several times; patients, below
which nothing is concluded."""
_MOST_VISITS = 0.8
"""Of visits with several rows, which a column of positions tells apart."""
_SHARE_OF_BOTH_SEXES = 0.2
"""Of ids with several rows, above which they are none of patients."""


def guess_table(
    path: str | Path, known: TableGuess, separator: str | None = None, of_notes: bool = False, with_notes: bool = True
) -> TableGuess:
    """`known` with what it leaves open filled in. `of_notes`: each note is coded for itself, so that it needs no
    patient and no time. Raises UserError where no column can be the patient's id, the codes or the order of the visits
    (`of_notes`: the note), and errors of reading as `read_text_table`. `with_notes`: a column of notes is taken."""
    with encoding_hint():
        rows, known.encoding = first_rows(path, separator, known.encoding, parse_keep(known.keep))
    _find_named(Path(path), known, rows.columns, separator)
    guesser = Guesser(path, rows, known, of_notes)
    guesser.find_codes()
    guesser.find_notes(with_notes)
    guesser.find_patients()
    guesser.find_visits()
    guesser.tell_unread()
    guesser.tell_others()
    for name in (name for name in ("code", *KINDS) if getattr(known, name)):
        setattr(known, name, as_pattern(getattr(known, name), rows))
    return known


def _find_named(path: Path, known: TableGuess, header: Sequence[str], separator: str | None) -> None:
    """The columns that the user has named, as they are called here. Raises UserError where the table has none of a
    name."""
    for name in COLUMNS:
        if name != "code" and getattr(known, name) is not None:
            setattr(known, name, as_name(getattr(known, name)))
    for name in ("code", *KINDS):
        named = [found for pattern in getattr(known, name) for found in matching(path, pattern, header, name)]
        setattr(known, name, [as_name(column) for column in named])
    missing = [name for name in sorted(known.taken()) if name not in header]
    if missing:
        read_text_table(path, {name: name for name in missing}, separator=separator, encoding=known.encoding)


class Guesser:
    """Fills `known` in from the first rows of a table, one meaning after the other: a column that is taken is no longer
    among those that the next may take."""

    def __init__(self, path: str | Path, rows: pl.DataFrame, known: TableGuess, of_notes: bool):
        self.path, self.rows, self.known, self.of_notes = path, rows, known, of_notes
        self.free = [name for name in rows.columns if name not in known.taken()]
        self.untaken_notes: list[str] = []

    def take(self, name: str, fits: Callable[[pl.Series], bool], differs_by: str | None = None) -> None:
        """The free column that fits, by name where several do; `differs_by`: a column within whose values it differs,
        where any that fits does."""
        if getattr(self.known, name) is not None:
            return
        kind = "time of a note" if self.of_notes and name == "time" else name
        fitting = [column for column in self.free if could_be(column, kind) and fits(self.rows[column])]
        if differs_by is not None:
            fitting = [column for column in fitting if differs(self.rows, column, differs_by)] or fitting
        named = [column for column in fitting if is_called(column, NAMES[name])]
        first_choice = FIRST_CHOICE.get(name, NAMES[name])
        named.sort(
            key=lambda column: (
                name == "sex" and _are_numbers(self.rows[column]),
                not is_called(column, first_choice),
                name == "patient" and self._is_of_rows(column),
            )
        )
        needs_no_name = name in ("sex", "time") or (self.of_notes and name == "text")
        for column in named[:1] or (fitting[:1] if needs_no_name else []):
            setattr(self.known, name, column)
            self.free.remove(column)
        tell_left_out(f"other columns of {name}s", [column for column in named[1:] if name == "time"], "--time")

    def find_codes(self) -> None:
        """The columns of codes, the mark between several in one cell, and their edition."""
        known = self.known
        if not known.code:
            known.code, known.code_separator = code_columns(self.rows, self.free, known.code_separator)
            self.free = [name for name in self.free if name not in known.code]
        elif known.code_separator is None:
            marks = filter(None, (code_mark(distinct(self.rows[name]), is_named=True) for name in known.code))
            known.code_separator = next(marks, None)
        if not known.code:
            raise UserError(f"{self.path}: no column seems to hold ICD codes; name it with --code")
        known.code_system = known.code_system or system_of(self.rows, known.code, known.code_separator)

    def find_notes(self, with_notes: bool) -> None:
        """The column of notes, or where none is to be taken what there is."""
        known = self.known
        if with_notes:
            self.take("text", is_text)
            others = [name for name in self.free if is_text(self.rows[name])] if known.text is not None else []
            all_of_them = "+".join([known.text or "", *others])
            tell_left_out("other columns of notes", others, f"--text {all_of_them} reads all")
        else:
            self.untaken_notes = [name for name in self.free if is_text(self.rows[name])]
            self.free = [name for name in self.free if name not in self.untaken_notes]
            told = "--past-notes reads them in histories, --kind coding finds their codes"
            tell_left_out("notes", self.untaken_notes, told)
        if self.of_notes and known.text is None:
            raise UserError(f"{self.path}: no column seems to hold notes; name it with --text")

    def find_patients(self) -> None:
        """Who they are, and what the order of their visits and their ages are told by."""
        known, said = self.known, self.known.sex_values is not None
        self.take("sex", lambda values: is_sex(values) or (said and is_called(values.name, OF_SEX)))
        if known.sex is not None and not said:
            known.sex_values = sex_letters(self.rows[known.sex])
        self.take(
            "patient",
            lambda values: (
                is_id(values) and not is_text(values) and not is_time(values) and not self._has_both_sexes(values.name)
            ),
        )
        if known.patient is None and not self.of_notes:
            self._take_patient_by_values()
        self.take("time", is_time, differs_by=known.patient)
        if known.time is None and known.visit is None and not self.of_notes:  # a visit of the user's own is meant
            self._refuse_unread_times()
        units = [name for name in self.free if is_called(name, OF_AGE_UNITS) and self._is_of_units(name)]
        if not units:
            self.take(
                "age",
                lambda values: is_age(values) and not (is_called(values.name, OF_GROUPS) and _are_numbers(values)),
            )
        if known.age is None and known.time is not None and not self.of_notes:
            self.take("birth_date", is_birth)
        if self.of_notes and known.patient is None:
            known.patient = self._note_ids()
        if known.patient is None and not self.of_notes:
            raise UserError(
                f"{self.path}: no column seems to hold the patients' ids; name it with --patient{self._hint()} (`mera "
                f"join` adds the columns of another file)"
            )

    def find_visits(self) -> None:
        """The ids of the visits or notes, and the order of the codes within one."""
        known = self.known
        if known.patient is not None:
            patients = self.rows[known.patient]
            if self.of_notes and known.visit is None:
                known.visit = self._note_ids() or (known.patient if self._has_one_note(known.patient) else None)
                self.free = [name for name in self.free if name != known.visit]
            self.take("visit", lambda values: belongs(values, patients))
        self.take("position", lambda values: is_position(values) and self._orders_codes(values.name))
        if known.visit is None and known.time is None and not self.of_notes:
            raise UserError(
                f"{self.path}: no column seems to hold the times of the visits (--time) or their ids (--visit); name "
                f"one, to tell the visits of a patient apart{self._hint()} (`mera join` adds the columns of another "
                f"file)"
            )

    def tell_unread(self) -> None:
        """Columns that may matter by their names, and are not read."""
        few = [name for name in self.free if len(distinct(self.rows[name])) <= _FEW and self.rows[name].n_unique() > 1]
        sexes = [name for name in few if is_called(name, OF_SEX) and could_be(name, "sex") and self.known.sex is None]
        tell_left_out("sexes by their names", sexes, "--sex-values F=..,M=.. says what their values mean")
        if self.known.age is None and self.known.birth_date is None:
            for kind, remedy in (("age", "--age reads years, as 67"), ("birth_date", "--birth-date reads dates")):
                named = [name for name in self.free if is_called(name, NAMES[kind]) and could_be(name, kind)]
                filled = [name for name in named if len(distinct(self.rows[name])) > 1]
                tell_left_out(f"{kind.replace('_', ' ')}s by their names", filled, remedy)
        voids = [name for name in few if is_called(name, OF_VOID_ROWS)]
        tell_left_out(
            "columns that may say that a row does not count",
            voids,
            "every row is read; --keep COLUMN=VALUES reads some",
        )

    def tell_others(self) -> None:
        """All columns that nothing is read from."""
        names = [name for name in (*self.free, *self.untaken_notes) if name not in self.known.taken()]
        if names:
            more = f" and {len(names) - _MOST_TOLD:,} more" if len(names) > _MOST_TOLD else ""
            print(f"not read: {', '.join(names[:_MOST_TOLD])}{more}", file=sys.stderr)

    def _hint(self) -> str:
        if self.of_notes or not (self.known.text or self.untaken_notes):
            return ""
        return ", or say --kind coding where each note is coded for itself"

    def _refuse_unread_times(self) -> None:
        """Raises UserError where a column is called as the times of visits are, and no time is read in it: without,
        visits would be in the order of their ids."""
        for name in self.free:
            called = is_called(name, NAMES["time"]) and could_be(name, "time")
            if called and self._are_days(name):
                raise UserError(
                    f"{self.path}: column {name} seems to hold the times of the visits, as whole numbers, which "
                    f"--time {name} reads as days"
                )
            if called and (why := why_no_time(self.rows[name])) is not None:
                raise UserError(
                    f"{self.path}: column {name} seems to hold the times of the visits, and {why}; name it with "
                    f"--time, and its form with --date-format, as %d.%m.%Y"
                )

    def _has_both_sexes(self, patients: str) -> bool:
        """Whether many ids have rows of women and of men, as those of wards and doctors do."""
        sex = self.known.sex
        return sex is not None and share_of_several(self.rows, sex, patients) > _SHARE_OF_BOTH_SEXES

    def _take_patient_by_values(self) -> None:
        """The one column whose values repeat at different times and have one sex each, whatever it is called."""
        sex, times = self.known.sex, [name for name in self.free if is_time(self.rows[name])]
        if sex is None or not times:
            return
        others = [name for name in self.free if name not in times and could_be(name, "patient")]
        ids = [name for name in others if is_id(self.rows[name]) and not is_text(self.rows[name])]
        fitting = [
            name
            for name in ids
            if share_of_several(self.rows, sex, name) <= _SHARE_OF_ERRORS
            and max(share_of_several(self.rows, time, name) for time in times) > _SHARE_OF_VISITORS
            and self.rows[name].n_unique() > _FEW_PATIENTS
        ]
        if len(fitting) == 1:
            self.known.patient = fitting[0]
            self.free.remove(fitting[0])
            print(
                f"taken by its values: {fitting[0]} for the patients' ids (--patient says otherwise)", file=sys.stderr
            )

    def _are_days(self, column: str) -> bool:
        """Whether whole numbers, which differ within a patient, may be days."""
        values = self.rows[column]
        many = _are_numbers(values) and len(distinct(values)) > _FEW and not is_called(column, OF_NO_DAYS)
        return many and self.known.patient is not None and differs(self.rows, column, self.known.patient)

    def _is_of_units(self, column: str) -> bool:
        """Whether ages beside the column may be no years."""
        units = distinct(self.rows[column])
        return len(units) <= _FEW and any(age(f"1 {unit}") != 1 for unit in units)

    def _is_of_rows(self, column: str) -> bool:
        """Whether each row has a value of its own."""
        return self.rows[column].drop_nulls().n_unique() == self.rows.height

    def _orders_codes(self, column: str) -> bool:
        """Whether the rows of a visit have different values; of visits of one row each the name has to say it."""
        known = self.known
        visit = list(filter(None, [known.patient, *([known.visit] if known.visit else parts_of(known.time or ""))]))
        of_visit = self.rows.group_by(visit).agg(pl.col(column).n_unique().alias("different"), pl.len().alias("rows"))
        several = of_visit.filter(pl.col("rows") > 1)
        if several.is_empty():
            return is_called(column, FIRST_CHOICE["position"])
        return int((several["different"] > 1).sum()) >= _MOST_VISITS * several.height

    def _note_ids(self) -> str | None:
        """The first column that looks like ids of notes."""
        called = rf"{NAMES['note']}|{NAMES['visit']}"
        ids = [name for name in self.free if is_called(name, called) and is_id(self.rows[name])]
        ids = [name for name in ids if not is_text(self.rows[name])]
        return next((name for name in ids if self._has_one_note(name)), None)

    def _has_one_note(self, ids: str) -> bool:
        """Whether each value of the column `ids` has one note."""
        return self.rows.select(ids, *parts_of(str(self.known.text))).unique().height == self.rows[ids].n_unique()


def _are_numbers(values: pl.Series) -> bool:
    return all(text.strip().isdigit() for text in distinct(values))
