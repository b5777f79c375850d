"""A table of one's own: CSV, Parquet or a spreadsheet, one row per diagnosis or per visit, with columns named on the
command line."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.codes.leading_zeros import with_leading_zeros
from data.codes.unusable_codes import why_no_code_is_known
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.editions.national_edition import read_national_edition
from data.ledger import Ledger
from data.ontology import Ontology, load_ontology
from data.sources.shared.code_cells import AROUND, refuse_flags, refuse_lists, refuse_nameless, without_names
from data.sources.shared.events.of_table import read_table_events, refuse_event_lists
from data.sources.shared.events.options import KINDS, add_min_event_patients
from data.sources.shared.options import add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.sources.shared.table_columns import (
    AGE_HELP,
    SEX_HELP,
    SYSTEMS,
    TableColumns,
    add_table_columns,
    encoding_hint,
    table_columns,
)
from data.table_files.columns import Column, ColumnForms, column, read_columns
from data.table_files.ids import id_order
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

MEANINGS = {
    "patient": Meaning.ID,
    "visit": Meaning.ID,
    "time": Meaning.TIME_OR_DAYS,
    "code": Meaning.CODE,
    "position": Meaning.NUMBER,
    "sex": Meaning.SEX,
    "age": Meaning.AGE,
    "text": Meaning.TEXT,
    "procedures": Meaning.WORD,
    "drugs": Meaning.WORD,
    "labs": Meaning.WORD,
}
FAR_APART = 100
"""Days."""


def read_user_table(
    path: str | Path,
    columns: TableColumns,
    ledger: Ledger,
    code_system: str | None,
    separator: str | None = None,
    code_separator: str | None = None,
    past_notes: bool = False,
    forms: ColumnForms | None = None,
    zeros: str | None = None,
    granularity: str = "full",
    edition: Ontology | None = None,
    event_separator: str | None = None,
) -> tuple[list[Patient], list[InputFile], pl.DataFrame | None]:
    """The cohort in the edition `code_system` (of SYSTEMS) or, where there is one, in `edition`; the file; and the
    names of its events, where `columns` names any.

    Where `columns` names a text, visits without one are dropped, unless `past_notes` wants the texts as history only.
    `forms`: what the user says of the columns; `zeros`: of codes without leading zeros (`data.codes.leading_zeros`);
    `granularity`: of the task (`by_ontology`). Raises FileNotFoundError or ValueError where the file cannot be used.
    """
    if edition is None:
        if code_system not in SYSTEMS:
            raise UserError(f"--code-system must be one of {', '.join(SYSTEMS)} for a table, got {code_system!r}")
        edition = load_ontology(SYSTEMS[code_system])
    with encoding_hint():
        columns = columns.in_file(path, separator, None if forms is None else forms.encoding)
        wanted, code_columns, event_columns = wanted_columns(columns)
        table = read_columns(path, wanted, ledger, forms, separator=separator)
    rows = table.rows if columns.visit is not None else table.rows.with_columns(visit=_time_as_id(table.rows))
    codes_in_file = [columns.code] if isinstance(columns.code, str) else columns.code
    encoding = None if forms is None else forms.encoding
    refuse_nameless(path, table.header, codes_in_file, edition, separator, encoding)
    if code_separator is None:
        refuse_lists(path, rows, code_columns)
        if not isinstance(columns.code, str):
            refuse_flags(path, rows, dict(zip(code_columns, columns.code, strict=True)))
    if event_separator is None:
        refuse_event_lists(path, rows, event_columns)
    of_events, rows = rows, _without_events(rows, event_columns)
    rows = _one_code_a_row(rows, code_columns, code_separator)
    plain, num_named = without_names(rows["code"])
    rows = rows.with_columns(plain)
    ledger.change("cell with words behind its code, which are left out", num_named)
    # A row that is there for its event alone is of a visit, and no diagnosis without a code.
    rows = rows.with_columns(diagnosis=pl.col("code").is_not_null() | ~pl.col("has_event"))
    ledger.read("diagnoses", _diagnoses(rows))
    named = rows.drop_nulls(["patient", "visit"])
    ledger.drop("diagnoses", "row without a patient or visit", _diagnoses(rows) - _diagnoses(named))
    ledger.read("visits", named.select("patient", "visit").n_unique())
    ledger.read("patients", named["patient"].n_unique())
    timed = _with_order(named, columns, ledger)
    visits = _visits(timed, columns, ledger, past_notes)
    diagnoses = timed.filter("diagnosis").select(
        patient_id="patient", admission_id="visit", position="place", raw="code"
    )
    diagnoses = with_leading_zeros(diagnoses, edition.system, ledger, zeros)
    codes = resolve_codes(diagnoses, by_ontology(edition, granularity), edition.system, ledger)
    if codes.is_empty() and diagnoses.height:
        raise UserError(f"{path}: column {columns.code}: {why_no_code_is_known(diagnoses['raw'], edition)}")
    if not event_columns:
        return build_cohort(visits, codes, ledger), [table.file], None
    placed = _ordered(of_events, columns).rename({"patient": "patient_id", "visit": "admission_id"})
    events = read_table_events(
        placed, event_columns, visits, ledger, separator=event_separator, timed=columns.time is not None
    )
    return build_cohort(visits, codes, ledger, events=events.rows), [table.file], events.names


def _diagnoses(rows: pl.DataFrame) -> int:
    return int(rows["diagnosis"].sum())


def _without_events(rows: pl.DataFrame, event_columns: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """`rows` without the columns of events, and with `has_event`: whether any of them held something."""
    columns = [name for names in event_columns.values() for name in names]
    has = pl.any_horizontal(pl.col(name).is_not_null() for name in columns) if columns else pl.lit(False)
    return rows.with_columns(has_event=has).drop(columns)


def _time_as_id(rows: pl.DataFrame) -> pl.Series:
    """Rows of a patient with one time are one visit, however the time is written."""
    moments = rows["time"].dt.strftime("%Y-%m-%d %H:%M:%S").str.strip_suffix(" 00:00:00")
    return moments.fill_null(rows["time_days"].cast(pl.String).str.strip_suffix(".0"))


def wanted_columns(columns: TableColumns) -> tuple[list[Column], list[str], dict[str, list[str]]]:
    """The columns to read; which of them hold codes: `code`, or `code_0`, `code_1` and so on; and of each kind of
    events likewise."""
    wanted, ours = [], {}
    for name, headers in columns.named().items():
        if isinstance(headers, str):
            wanted.append(column(name, MEANINGS[name], header=headers, may_be_empty=name in KINDS))
            ours[name] = [name]
            continue
        ours[name] = [f"{name}_{number}" for number in range(len(headers))]
        wanted += [
            column(own, MEANINGS[name], header=header, may_be_empty=True)
            for own, header in zip(ours[name], headers, strict=True)
        ]
    return wanted, ours["code"], {kind: ours[kind] for kind in columns.events()}


def _one_code_a_row(rows: pl.DataFrame, code_columns: Sequence[str], code_separator: str | None) -> pl.DataFrame:
    """`place` orders the codes of a visit: the user's numbers, else its rows by time and content where each may have
    several codes, then the order in the row; or nothing. A row without any code stays, with a null."""
    number = pl.col("position") if "position" in rows.columns else pl.lit(None, pl.Float64)
    if code_separator is None and len(code_columns) == 1:
        return rows.with_columns(place=number)
    if "position" not in rows.columns:  # the order of a file's rows is chance
        key = pl.struct(*(name for name in ("time", "time_days") if name in rows.columns), *code_columns)
        number = key.rank("dense").over("patient", "visit").cast(pl.Float64)
    if code_separator is None:
        in_row = pl.concat_list(code_columns)
    else:
        in_row = pl.concat_list(pl.col(name).str.split(code_separator).fill_null([]) for name in code_columns)
    codes = in_row.list.drop_nulls()
    none = pl.lit([None], dtype=pl.List(pl.String))
    listed = rows.with_columns(code=pl.when(codes.list.len() > 0).then(codes).otherwise(none), number=number)
    listed = listed.with_columns(place=pl.int_ranges(pl.col("code").list.len()).cast(pl.List(pl.Float64)))
    exploded = listed.explode("code", "place")
    stripped = exploded.with_columns(pl.col("code").str.strip_chars(AROUND).replace({"": None}))
    # A row without a number comes after those that have one.
    number = pl.col("number").fill_null(pl.col("number").max() + 1).fill_null(0)
    return stripped.with_columns(place=number * 1e6 + pl.col("place")).drop("number")


def _with_order(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger) -> pl.DataFrame:
    """`order`, in seconds where there are times; `day` where there are days. Rows without a time go, and with them the
    visits and patients that have no other; the ledger counts each.
    """
    if columns.time is None:
        ledger.change("visits in the order of their ids: no --time", rows.select("patient", "visit").n_unique())
        return _ordered(rows, columns)
    timed = _ordered(rows, columns).drop_nulls("order")
    reason = "without a usable time"
    ledger.drop("diagnoses", f"row {reason}", _diagnoses(rows) - _diagnoses(timed))
    for unit, key in (("visits", ["patient", "visit"]), ("patients", ["patient"])):
        ledger.drop(unit, reason, rows.select(key).n_unique() - timed.select(key).n_unique())
    return timed


def _ordered(rows: pl.DataFrame, columns: TableColumns) -> pl.DataFrame:
    """`rows` with `order` and `day`, null where they have no usable time."""
    if columns.time is None:
        return rows.with_columns(order=id_order(rows["visit"]), day=pl.lit(None, dtype=pl.Int64))
    if rows["time_days"].null_count() == rows.height:
        return rows.with_columns(order=pl.col("time").dt.epoch("s"), day=pl.col("time").dt.epoch("d").cast(pl.Int64))
    days = pl.col("time_days")
    return rows.with_columns(order=(days * 86_400).cast(pl.Int64), day=days.floor().cast(pl.Int64))


def _visits(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger, past_notes: bool) -> pl.DataFrame:
    # The notes of a visit in the order of their times, of one time as the file has them.
    notes = pl.col("text").sort_by("order", maintain_order=True).drop_nulls().unique(maintain_order=True)
    first = rows.group_by("patient", "visit").agg(
        pl.col("order", "day").min(),
        sex=_one(pl.col("sex")) if columns.sex else pl.lit(None, dtype=pl.String),
        age=_one(pl.col("age")) if columns.age else pl.lit(None, dtype=pl.Int64),
        text=notes.str.join("\n\n") if columns.text else pl.lit(None, dtype=pl.String),
        num_texts=pl.col("text").drop_nulls().n_unique() if columns.text else pl.lit(0),
    )
    ledger.change(f"visit whose rows lie more than {FAR_APART} days apart, read as one", _far_apart(rows))
    for name in (name for name in ("sex", "age") if getattr(columns, name) is not None):
        several = rows.drop_nulls(name).group_by("patient", "visit").agg(pl.col(name).n_unique())
        ledger.change(f"visit whose rows differ in {name}, which is left out", several.filter(pl.col(name) > 1).height)
    visits = first.select("order", "day", "age", "sex", patient_id="patient", admission_id="visit", period="day")
    if not columns.text:
        return visits
    text = pl.when(pl.col("text").str.strip_chars() != "").then("text")
    if past_notes:
        texts = first.select(text=text, num_notes=pl.when(text.is_not_null()).then("num_texts").otherwise(0))
        ledger.read("notes", int(texts["num_notes"].sum()))
        return visits.hstack(texts.get_columns())
    texts = first.select(text=text, num_notes=pl.lit(1))
    noted = visits.hstack(texts.get_columns()).drop_nulls("text")
    joined = int((first["num_texts"].cast(pl.Int64) - 1).clip(0).sum())
    ledger.change("note of a visit that has others, with which it is read as one", joined)
    ledger.read("notes", noted.height)
    ledger.drop("visits", "without a note", visits.height - noted.height)
    ledger.drop("patients", "without a note", visits["patient_id"].n_unique() - noted["patient_id"].n_unique())
    return noted


def _far_apart(rows: pl.DataFrame) -> int:
    """Visits whose days lie far apart: an id that begins anew each year, or a stay of months."""
    days = rows.group_by("patient", "visit").agg(span=pl.col("day").max() - pl.col("day").min())
    return days.filter(pl.col("span") > FAR_APART).height


def _one(values: pl.Expr) -> pl.Expr:
    """The value where all that are there agree, else null."""
    known = values.drop_nulls()
    return pl.when(known.n_unique() == 1).then(known.min())


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare table`."""
    add_diagnosis_options(
        parser, "FILE", "CSV (.csv, .tsv, plain, gzipped or zipped), .parquet, or a spreadsheet (.xlsx, .xls, .ods)"
    )
    add_kind(parser, "coding: codes of a visit from its --text")
    add_past_notes(parser)
    add_table_columns(parser.add_argument)
    parser.set_defaults(events=())
    add_min_event_patients(parser)
    parser.add_argument("--text", metavar="COLUMN", help="note of the visit")
    parser.add_argument("--sex", metavar="COLUMN", help=SEX_HELP)
    parser.add_argument("--age", metavar="COLUMN", help=AGE_HELP)
    parser.add_argument(
        "--code-system",
        choices=tuple(SYSTEMS),
        help="the edition of the codes: icd9 and icd10 of the United States (CM), icd10who of the WHO",
    )


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    check_notes_are_read(arguments, kind, "--text", arguments.text)
    if (kind == "coding" or arguments.past_notes) and arguments.text is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise UserError(f"{asked} needs --text, the column with the notes")
    columns = table_columns(arguments)
    ordered = (
        arguments.position is not None or arguments.code_separator is not None or not isinstance(columns.code, str)
    )
    if arguments.primary_only and not ordered:
        raise UserError(
            "--primary-only needs --position, --code-separator or several columns of --code, to tell which code of a "
            "visit is first"
        )
    if arguments.code_system is None and arguments.codes is None:
        raise UserError("a table needs --code-system or --codes, to say which edition its codes are of")
    if arguments.code_system in ("icd9", "icd10who") and arguments.codes is not None:
        raise UserError(
            f"--codes is itself the table of an edition of ICD-10; leave --code-system {arguments.code_system} out"
        )
    edition, edition_files = None, []
    if arguments.codes is not None:
        edition, file = read_national_edition(arguments.codes, ledger)
        edition_files.append(file)
    with encoding_hint():
        columns = columns.in_file(arguments.input, arguments.separator, arguments.encoding)
    patients, files, event_names = read_user_table(
        arguments.input,
        columns,
        ledger,
        arguments.code_system,
        arguments.separator,
        arguments.code_separator,
        arguments.past_notes,
        column_forms(arguments),
        arguments.codes_without_zeros,
        arguments.granularity,
        edition,
        arguments.event_separator,
    )
    return Source(
        name="table",
        system=SYSTEMS[arguments.code_system] if edition is None else edition.system,
        edition=edition,
        patients=patients,
        event_names=event_names,
        ledger=ledger,
        files=[*files, *edition_files],
        options={"code_system": arguments.code_system, "columns": columns.named()},
    )


SOURCE = SourceCommand(
    name="table",
    help="""\
A table of your own: CSV, Parquet or a spreadsheet, one row per diagnosis, or per visit with all its codes.

  mera prepare table --template example.csv
  mera prepare table --input visits.csv --patient pid --visit vid --time date --code icd \\
      --code-system icd10 --output prepared/mine
      --preview in place of --output: what it would do
      icd10who in place of icd10: the WHO's edition; --codes icd10gm.csv in its place: a national one
  mera prepare table --input notes.parquet --patient pid --visit vid --code codes --code-separator ";" \\
      --text note --kind coding --code-system icd10 --output prepared/my-notes
      --past-notes instead of --kind coding: next diagnoses, with the notes of the visits before
  mera prepare table --input stays.xlsx --patient pid --time admitted --code 'DIAG*' --code-system icd10 \\
      --output prepared/mine
  mera prepare table --input export.csv --patient pid --time admitted --code icd --sex sex --date-format %d.%m.%Y \\
      --sex-values F=2,M=1 --code-system icd9 --codes-without-zeros --output prepared/mine
  mera prepare table --input stays.csv --patient pid --time admitted --code icd --drugs given --labs abnormal \\
      --code-system icd10 --output prepared/mine-events
      with procedures, drugs and labs of the visits before (docs/events.md)

What a column may hold, and what happens to the rest: docs/data.md.""",
    add_options=add_options,
    read=read_source,
)
