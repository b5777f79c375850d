"""What the columns of a hospital's table seem to be, for who does not want to name each of them.

python -m data.prepare.table_guess visits.csv --code-system icd10

A column is known by what its values are; its name decides only between columns that could be the same. What the user
has said is taken as it is. The guess is printed for the user to look at; with --json as options of `mera prepare
table`, which `mera go` prints and runs.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import polars as pl

from data.sources.shared.events.options import KINDS
from data.sources.shared.own_table.code_cells import FEWEST_VALUES, best_system, code_mark, code_pieces
from data.sources.shared.own_table.code_versions import CODE_SYSTEMS
from data.sources.shared.own_table.column_kinds import (
    SEX_NAMES,
    belongs,
    differs,
    distinct,
    is_age,
    is_hombre_or_mujer,
    is_id,
    is_position,
    is_sex,
    is_text,
    is_time,
)
from data.sources.shared.own_table.table_columns import (
    AGE_HELP,
    SEX_HELP,
    add_table_columns,
    encoding_hint,
    matching,
)
from data.table_files.columns import without_nothing
from data.table_files.csv_layout import SEPARATORS, nameless_beside
from data.table_files.stored_files import NotInUtf8
from data.table_files.text_tables import column_names, read_text_table
from mera.system.command import run_command
from mera.system.errors import CommandLine, UserError

_ROWS = 20_000
"""Rows that are looked at."""
_OF_DIAGNOSES = r"dx|diag|(^|[^a-z])(icd|cie|cim|cid)"
_NAMES = {
    "patient": r"patient|^pt|person|subject|pati?d|^pid$|^pat|mrn|pacient|paciente|^rut|nhc|member|beneficiar|^id$",
    "visit": r"visit|admission_?id|hadm|encounter|stay|fall|case|episod|^vid$|sejour|aufenthalt|^id_?ingreso",
    "time": r"admi|date|datum|fecha|ingreso|aufnahme|entr|arriv|time|^day|start|^from|besuch",
    "sex": SEX_NAMES,
    "age": r"(^|[^a-z])age|^alter|edad|^idade|leeftijd|^eta$",
    "position": r"seq|position|rank|^pos|^nr$|order|num",
    "code": rf"{_OF_DIAGNOSES}|code",
    "text": r"note|text|summary|report|brief|informe|epicris",
    "note": r"id$|^id|note|doc|file|report|informe|key|num",
}
_FIRST_CHOICE = {
    "patient": r"^(the_?)?(patient|pat|pt|person|subject|member|beneficiary|bene|paciente?)s?[ _-]?"
    r"(id|nr|no|num|number|nummer|key|identifier|sk)?$|^pid$|^mrn$|^nhc$|^rut$",
    "time": r"admi|ingreso|aufnahme|entr|arriv|start|^from|besuch|visit|encounter",
    "age": r"^age$|^alter$|^edad$|^idade$|age_?(at_?)?admi",
    "sex": r"^(sex|gender|geschlecht|sexo|genre)|(patient|pat)_?(sex|gender)",
    "position": r"seq|position|rank",
}
"""Names that decide where several would do."""
_NOT = {
    "time": r"birth|geb|nac|nais|nasc|fod|föd|dob|death|deces|disch|dis_|entlass|alta|egreso|end|sortie|out|export"
    r"|extract|follow|updat|modif|last|regist|created|result|sample",
    "patient": r"name|nombre|nom$|apellido|surname|dob|birth|geb|date|datum|fecha|sex|gender|age|alter|edad|zip|plz"
    r"|postal|city|state|status|type|group|class|country|phone|room|ward|record|path",
    "age": r"death|mother|father|baby|onset|diagnos",
    "sex": r"baby|mother|father|partner|doctor|physician",
    "position": r"child|order_?id|visit|number_of",
    "code": r"death|defun|famil|father|mother|exclu|suspe|verdacht|version"
    r"|^(?!.*(dx|diag|icd)).*(ward|room|unit|zip|plz)",
}
"""Names that a column of the kind has not."""
_COLUMNS = ("patient", "visit", "time", "code", "code_version", "position", "sex", "age", "text")
WINDOWS = "cp1252"


class GuessRecord(TypedDict):
    """What `--json` prints."""

    options: list[str]
    """of `mera prepare table`"""
    columns: list[str]
    """those of them that `mera predict --input` takes too"""


@dataclass(kw_only=True, slots=True)
class TableGuess:
    """Columns by what they are taken for; None: the table has none, or none that is known by its values."""

    patient: str | None = None
    visit: str | None = None
    time: str | None = None
    code: list[str] = field(default_factory=list)
    code_version: str | None = None
    """The user's own word; never guessed."""
    position: str | None = None
    sex: str | None = None
    sex_values: str | None = None
    """As --sex-values takes it, where the letters of the sex alone do not say it."""
    age: str | None = None
    text: str | None = None
    procedures: list[str] = field(default_factory=list)
    """The user's own words; never guessed, and neither are drugs and labs."""
    drugs: list[str] = field(default_factory=list)
    labs: list[str] = field(default_factory=list)
    event_separator: str | None = None
    code_separator: str | None = None
    code_system: str | None = None
    """of SYSTEMS"""
    encoding: str | None = None
    """of a CSV; None: UTF-8, or UTF-16 with its mark"""

    def as_options(self) -> list[str]:
        """As `mera prepare table` takes them, without --code-system."""
        options: list[str] = []
        for name in (*_COLUMNS, *KINDS, "sex_values", "event_separator", "code_separator", "encoding"):
            value = getattr(self, name)
            if value:
                values = [value.replace("\n", "\\n")] if isinstance(value, str) else value
                options += [f"--{name.replace('_', '-')}", *values]
        return options


def guess_table(
    path: str | Path, known: TableGuess, separator: str | None = None, of_notes: bool = False, with_notes: bool = True
) -> TableGuess:
    """`known` with what it leaves open filled in. `of_notes`: each note is coded for itself, so that it needs no
    patient and no time. Raises UserError where no column can be the patient's id, the codes or the order of the visits
    (`of_notes`: the note), and errors of reading as `read_text_table`. `with_notes`: a column of notes is taken."""
    with encoding_hint():
        rows = _read_guessing(Path(path), separator, known)
    _find_named(Path(path), known, rows.columns, separator)
    free = [name for name in rows.columns if name not in _taken(known)]

    def take(name: str, fits: Callable[[pl.Series], bool], differs_by: str | None = None) -> None:
        """The free column that fits, by name where several do; `differs_by`: a column within whose values it differs,
        where any that fits does."""
        if getattr(known, name) is not None:
            return
        unlike = _NOT.get(name)
        fitting = [column for column in free if fits(rows[column]) and not (unlike and re.search(unlike, column))]
        if differs_by is not None:
            fitting = [column for column in fitting if differs(rows, column, differs_by)] or fitting
        named = [column for column in fitting if re.search(_NAMES[name], column)]
        first_choice = _FIRST_CHOICE.get(name, _NAMES[name])
        named.sort(key=lambda column: not re.search(first_choice, column))
        chosen = named[:1] or (fitting[:1] if name in ("sex", "time") or (of_notes and name == "text") else [])
        for column in chosen:
            setattr(known, name, column)
            free.remove(column)

    if not known.code:
        known.code, known.code_separator = _code_columns(rows, free, known.code_separator)
        free = [name for name in free if name not in known.code]
    elif known.code_separator is None:
        marks = filter(None, (code_mark(distinct(rows[name]), numbers=True) for name in known.code))
        known.code_separator = next(marks, None)
    if not known.code:
        raise UserError(f"{path}: no column seems to hold ICD codes; name it with --code")
    known.code_system = known.code_system or _system(rows, known)
    if with_notes:
        take("text", is_text)
    notes = [name for name in free if is_text(rows[name])] if not with_notes else []
    free = [name for name in free if name not in notes]
    _tell_left_out("notes", notes, "--past-notes reads them in histories, --kind coding finds their codes")
    if of_notes and known.text is None:
        raise UserError(f"{path}: no column seems to hold notes; name it with --text")
    hint = "" if of_notes or not (known.text or notes) else ", or say --kind coding where each note is coded for itself"
    take("sex", is_sex)
    if known.sex is not None and known.sex_values is None and is_hombre_or_mujer(rows[known.sex]):
        known.sex_values = "F=M,M=H" if "h" in {text.lower() for text in distinct(rows[known.sex])} else "F=M,M=V"
    take("patient", is_id)
    take("time", is_time, differs_by=known.patient)
    take("age", is_age)
    if of_notes and known.patient is None:
        known.patient = _note_ids(rows, free, known)
    if known.patient is None:
        raise UserError(f"{path}: no column seems to hold the patients' ids; name it with --patient{hint}")
    patients = rows[known.patient]
    if of_notes and known.visit is None:
        known.visit = known.patient if _has_one_note(rows, known.patient, known) else _note_ids(rows, free, known)
        free = [name for name in free if name != known.visit]
    take("visit", lambda values: belongs(values, patients))
    take("position", is_position)
    if of_notes and known.visit is None and known.time is None:
        raise UserError(f"{path}: no column seems to hold the ids of the notes; add one, or name it with --visit")
    if known.visit is None and known.time is None:
        raise UserError(
            f"{path}: no column seems to hold the times of the visits (--time) or their ids (--visit); name one, to "
            f"tell the visits of a patient apart{hint}"
        )
    for name in (name for name in ("code", *KINDS) if getattr(known, name)):
        setattr(known, name, _as_pattern(getattr(known, name), rows.columns))
    return known


def _find_named(path: Path, known: TableGuess, header: Sequence[str], separator: str | None) -> None:
    """The columns that the user has named, as they are called here. Raises UserError where the table has none of a
    name."""
    for name in _COLUMNS:
        if name != "code" and getattr(known, name) is not None:
            setattr(known, name, getattr(known, name).strip().lower())
    for name in ("code", *KINDS):
        named = [found for pattern in getattr(known, name) for found in matching(path, pattern, header, name)]
        setattr(known, name, [column.strip().lower() for column in named])
    missing = [name for name in sorted(_taken(known)) if name not in header]
    if missing:
        read_text_table(path, {name: name for name in missing}, separator=separator, encoding=known.encoding)


def _as_pattern(names: list[str], columns: Sequence[str]) -> list[str]:
    """`dx*` for dx1, dx2, ..., where no other column begins so."""
    start = names[0].rstrip("0123456789")
    numbered = len(names) > 1 and start and all(re.fullmatch(rf"{re.escape(start)}\d+", name) for name in names)
    return [f"{start}*"] if numbered and sum(name.startswith(start) for name in columns) == len(names) else names


def _taken(known: TableGuess) -> set[str]:
    single = [getattr(known, name) for name in _COLUMNS if name != "code"]
    names = [*single, *known.code, *known.procedures, *known.drugs, *known.labs]
    return {name.strip().lower() for name in names if name is not None}


def _read_guessing(path: Path, separator: str | None, known: TableGuess) -> pl.DataFrame:
    """`_read`, in the encoding of Windows and Latin-1 where the file is not in UTF-8 and `known` has none, which it
    then has.

    In another encoding of eight bits codes and dates read the same, and only accented letters in names of columns and
    in notes would differ."""
    try:
        return _read(path, separator, known.encoding)
    except NotInUtf8:
        if known.encoding is not None:
            raise
        known.encoding = WINDOWS
        return _read(path, separator, known.encoding)


def _read(path: Path, separator: str | None, encoding: str | None) -> pl.DataFrame:
    """The first rows as text, columns named as in the file in lower case."""
    separators = [separator] if separator is not None else list(SEPARATORS)
    names = max((column_names(path, (), each, encoding) for each in separators), key=len)
    unique = [name for name in names if names.count(name) == 1]
    _tell_left_out("columns that share a name", [*{*names} - {*unique}], "give each a name of its own")
    if len(unique) < 2:
        raise UserError(f"{path} does not look like a table with a header of several columns")
    table = read_text_table(path, {name: name for name in unique}, separator=separator, encoding=encoding)
    return table.rows.head(_ROWS).select(without_nothing(table.rows[name].head(_ROWS)).alias(name) for name in unique)


def _code_columns(rows: pl.DataFrame, free: Sequence[str], separator: str | None) -> tuple[list[str], str | None]:
    """The columns whose values are codes, and what separates the codes in one cell: those that are called so, else the
    first. Beside columns of lists there may be one of single codes, as the principal diagnosis is."""
    marks = {
        name: mark
        for name in free
        if not re.search(_NOT["code"], name)
        and (mark := code_mark(distinct(rows[name]), separator, bool(re.search(_OF_DIAGNOSES, name)))) is not None
    }
    named = [name for name in marks if re.search(_NAMES["code"], name)]
    # Ids such as P000 and D012 look like codes.
    ids = "|".join(_NAMES[name] for name in ("patient", "visit", "note"))
    others = [name for name in marks if not re.search(ids, name)]
    having = named or others[:1]
    having += [name for name in nameless_beside(rows.columns, having) if name in marks]  # under a merged header
    separator = next((marks[name] for name in having if marks[name]), separator)
    chosen = [name for name in having if marks[name] in ("", separator)]
    left = sorted({*named, *others} - {*chosen})
    _tell_left_out("columns with codes, by their values", left, "--code says which are meant")
    return chosen, separator


def _tell_left_out(what: str, names: list[str], remedy: str) -> None:
    if names:
        print(f"not taken: {what}: {', '.join(sorted(names))} ({remedy})", file=sys.stderr)


def _system(rows: pl.DataFrame, known: TableGuess) -> str:
    """Raises UserError where one column is of ICD-9 and another of ICD-10."""
    mark = known.code_separator or ""
    pieces = {name: code_pieces(distinct(rows[name.strip().lower()]), mark) for name in known.code}
    of_nine = [name for name, codes in pieces.items() if codes and best_system(codes) == "icd9"]
    of_ten = [name for name, codes in pieces.items() if codes and name not in of_nine]
    if of_nine and of_ten and all(len(pieces[name]) >= FEWEST_VALUES for name in (*of_nine, *of_ten)):
        raise UserError(
            f"{', '.join(of_nine)} {'is' if len(of_nine) == 1 else 'are'} of ICD-9 and {', '.join(of_ten)} of ICD-10; "
            f"name those of one edition with --code"
        )
    return best_system([code for codes in pieces.values() for code in codes])


def _note_ids(rows: pl.DataFrame, free: Sequence[str], known: TableGuess) -> str | None:
    """The first column that looks like ids of notes."""
    called = rf"{_NAMES['note']}|{_NAMES['visit']}"
    ids = [name for name in free if re.search(called, name) and is_id(rows[name])]
    return next((name for name in ids if _has_one_note(rows, name, known)), None)


def _has_one_note(rows: pl.DataFrame, ids: str, known: TableGuess) -> bool:
    """Whether each value of the column `ids` has one note."""
    return rows.select(ids, str(known.text)).unique().height == rows[ids].n_unique()


def main() -> None:
    parser = CommandLine(prog="python -m data.prepare.table_guess", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("table", help="CSV, Parquet or a spreadsheet")
    add_table_columns(parser.add_argument, required=False)
    for name, text in (("sex", SEX_HELP), ("age", AGE_HELP), ("text", "note of the visit")):
        parser.add_argument(f"--{name}", metavar="COLUMN", help=text)
    parser.add_argument("--code-system", choices=tuple(CODE_SYSTEMS), help="the edition of the codes")
    parser.add_argument("--sex-values", metavar="F=..,M=..", help="values of the column of the sex that are no words")
    for name, text in (("of-notes", "each note is coded for itself"), ("without-notes", "no notes are taken")):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    said = {name: getattr(arguments, name) for name in TableGuess.__dataclass_fields__ if getattr(arguments, name)}
    known = TableGuess(**said)
    with_notes = not arguments.without_notes
    guess = guess_table(arguments.table, known, arguments.separator, arguments.of_notes, with_notes)
    edition = ["--codes", arguments.codes] if arguments.codes else ["--code-system", str(guess.code_system)]
    columns = [*guess.as_options(), *([f"--separator={arguments.separator}"] if arguments.separator else [])]
    if arguments.json:
        record: GuessRecord = {"options": [*columns, *edition], "columns": columns}
        sys.stdout.write(json.dumps(record) + "\n")
        return
    for name in (*_COLUMNS, "code_separator", "code_system", "encoding"):
        value = getattr(guess, name)
        words = ", ".join(value) if isinstance(value, list) else (value or "-").replace("\n", "\\n")
        print(f"{name.replace('_', ' '):16}{words}")


if __name__ == "__main__":
    run_command(main)
