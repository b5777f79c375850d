"""A table of one's own (CSV, Parquet, a spreadsheet, a file of Stata, SAS or SPSS), one row per diagnosis or per visit,
with columns named on the command line."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from data.sources.shared.events.of_table import read_table_events, refuse_event_lists, refuse_numbers
from data.sources.shared.events.options import add_min_event_patients
from data.sources.shared.icd_versions import resolve_versions
from data.sources.shared.options import add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.own_table.code_cells import refuse_flags, refuse_lists, refuse_nameless
from data.sources.shared.own_table.code_versions import (
    CODE_SYSTEMS,
    check_versions,
    refuse_two_versions,
    with_versions,
)
from data.sources.shared.own_table.named_codes import bare_codes
from data.sources.shared.own_table.table_columns import (
    AGE_HELP,
    SEX_HELP,
    TableColumns,
    add_table_columns,
    encoding_hint,
    table_columns,
    wanted_columns,
)
from data.sources.shared.own_table.table_visits import (
    day_as_id,
    kept_rows,
    note_as_id,
    num_diagnoses,
    one_code_a_row,
    ordered,
    refuse_no_first,
    time_as_id,
    visits_of_rows,
    with_age_at_visit,
    with_one_text,
    with_one_time,
    with_order,
)
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.table_files.columns import ColumnForms, read_columns
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class TableVisits:
    """All visits of a table, those without a usable code too, and what stands at them."""

    visits: pl.DataFrame
    """VISIT_COLUMNS of `data.cohorts.cohort`, its optional ones, and `birth_date`."""
    codes: pl.DataFrame
    """As `build_cohort` takes them."""
    events: pl.DataFrame | None
    event_names: pl.DataFrame | None
    file: InputFile

    def cohort(self, ledger: Ledger) -> list[Patient]:
        """The patients with their usable visits."""
        return build_cohort(self.visits, self.codes, ledger, events=self.events)


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
    icd10_from: str | None = None,
    primary_only: bool = False,
) -> TableVisits:
    """The visits in the edition `code_system` (of CODE_SYSTEMS) or, where there is one, in `edition`, with their events
    where `columns` names any.

    Where `columns` names a text, visits without one are dropped, unless `past_notes` wants the texts as history only.
    `forms`: what the user says of the columns; `zeros`: of codes without leading zeros (`data.codes.leading_zeros`);
    `granularity`: of the task (`by_ontology`); `icd10_from`: the first day of ICD-10, where earlier rows are of ICD-9;
    `primary_only`: the order of a visit's codes has to be known.
    Raises FileNotFoundError or UserError where the file cannot be used.
    """
    check_versions(code_system, columns, icd10_from, own_edition=edition is not None)
    if edition is None:
        if code_system not in CODE_SYSTEMS:
            raise UserError(f"--code-system must be one of {', '.join(CODE_SYSTEMS)} for a table, got {code_system!r}")
        edition = load_ontology(CODE_SYSTEMS[code_system])
    encoding = None if forms is None else forms.encoding
    with encoding_hint():
        columns = columns.in_file(path, separator, encoding)
        wanted, code_columns, event_columns = wanted_columns(columns)
        table = read_columns(path, wanted, ledger, forms, separator=separator)
    are_history = columns.text is None or past_notes
    rows = with_one_time(path, with_one_text(kept_rows(path, table.rows, columns, ledger)), ledger)
    rows = _with_ids(path, rows, columns, ledger, are_history)
    codes_in_file = [columns.code] if isinstance(columns.code, str) else columns.code
    refuse_nameless(path, table.header, codes_in_file, edition, separator, encoding)
    if code_separator is None:
        refuse_lists(path, rows, code_columns)
        if not isinstance(columns.code, str):
            refuse_flags(path, rows, dict(zip(code_columns, columns.code, strict=True)))
    if event_separator is None:
        refuse_event_lists(path, rows, event_columns)
    refuse_numbers(path, rows, event_columns)
    if primary_only:
        refuse_no_first(path, rows, code_columns, ledger)
    of_events, rows = rows, _without_events(rows, event_columns)
    rows = _with_bare_codes(path, one_code_a_row(rows, code_columns, code_separator), columns, edition, ledger)
    timed = with_order(_named(rows, columns, ledger), columns, ledger, are_history)
    visits = visits_of_rows(timed, columns, ledger, past_notes)
    diagnoses = timed.filter("diagnosis")
    if columns.code_version is not None or icd10_from is not None:
        versioned = with_versions(diagnoses, columns, icd10_from).select(
            "icd_version", subject_id="patient", hadm_id="visit", seq_num="place", icd_code="code"
        )
        codes, _ = resolve_versions(versioned, code_system, ledger, zeros=zeros, granularity=granularity)
    else:
        raw = diagnoses.select(patient_id="patient", admission_id="visit", position="place", raw="code")
        raw = with_leading_zeros(raw, edition.system, ledger, zeros)
        refuse_two_versions(path, raw["raw"], edition)
        codes = resolve_codes(raw, by_ontology(edition, granularity), edition.system, ledger)
    if codes.is_empty() and diagnoses.height:
        raise UserError(f"{path}: column {columns.code}: {why_no_code_is_known(diagnoses['code'], edition)}")
    if not event_columns:
        return TableVisits(visits=visits, codes=codes, events=None, event_names=None, file=table.file)
    placed = ordered(of_events, columns).rename({"patient": "patient_id", "visit": "admission_id"})
    events = read_table_events(
        placed, event_columns, visits, ledger, separator=event_separator, timed=columns.time is not None
    )
    return TableVisits(visits=visits, codes=codes, events=events.rows, event_names=events.names, file=table.file)


def _with_ids(
    path: str | Path, rows: pl.DataFrame, columns: TableColumns, ledger: Ledger, are_history: bool
) -> pl.DataFrame:
    """`rows` with the columns `patient` and `visit` (`are_history`: visits have an order in time), and with the age at
    the visit where birth dates are read."""
    if columns.birth_date is not None:
        rows = with_age_at_visit(path, rows, ledger)
    if are_history:
        columns.check_visits()
    if columns.patient is None:
        rows = rows.with_columns(patient=note_as_id(rows))
    if columns.visit is not None:
        return rows
    if columns.time is None:
        return rows.with_columns(visit=note_as_id(rows))
    return rows.with_columns(visit=day_as_id(rows, ledger) if are_history else time_as_id(rows))


def _with_bare_codes(
    path: str | Path, rows: pl.DataFrame, columns: TableColumns, edition: Ontology, ledger: Ledger
) -> pl.DataFrame:
    """`rows` with codes without the words behind them, and with `diagnosis`: whether a row is one. A row that is there
    for its event alone is of a visit, and no diagnosis without a code."""
    bare = bare_codes(rows["code"], edition)
    ledger.change("cell with words beside its code, which are left out", bare.num_named)
    ledger.change(
        "code that words beside it take back (excluded, suspected, history of), not read", bare.num_taken_back
    )
    ledger.change(edition.ancestor_change, bare.num_shortened)
    ledger.change(
        "cell of several codes with their names, none of which is read (--code-separator says what is between)",
        bare.num_several,
    )
    if bare.num_taken_back and bare.codes.null_count() == rows.height:
        raise UserError(
            f"{path}: words behind the codes of column {columns.code} take all of them back (excluded, suspected, "
            f"history of); such diagnoses are not read"
        )
    rows = rows.with_columns(bare.codes.alias("code"))
    return rows.with_columns(diagnosis=pl.col("code").is_not_null() | ~pl.col("has_event"))


def _named(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger) -> pl.DataFrame:
    """The rows of a patient and a visit; counts what is read and what is not."""
    ledger.read("diagnoses", num_diagnoses(rows))
    named = rows.drop_nulls(["patient", "visit"])
    unnamed = f"row without a patient or {'note' if columns.visit is None and columns.time is None else 'visit'}"
    ledger.drop("diagnoses", unnamed, num_diagnoses(rows) - num_diagnoses(named))
    ledger.read("visits", named.select("patient", "visit").n_unique())
    ledger.read("patients", named["patient"].n_unique())
    return named


def _without_events(rows: pl.DataFrame, event_columns: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """`rows` without the columns of events, and with `has_event`: whether any of them held something."""
    columns = [name for names in event_columns.values() for name in names]
    has = pl.any_horizontal(pl.col(name).is_not_null() for name in columns) if columns else pl.lit(False)
    return rows.with_columns(has_event=has).drop(columns)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare table`."""
    add_diagnosis_options(
        parser,
        "FILE",
        "CSV (.csv, .tsv, plain, gzipped or zipped), .parquet, .feather, .jsonl, .json, a spreadsheet (.xlsx, .xls, "
        ".ods), or a file of Stata (.dta), SAS (.sas7bdat, .xpt) or SPSS (.sav)",
    )
    add_kind(parser, "coding: codes of a visit from its --text")
    add_past_notes(parser)
    add_table_columns(parser.add_argument)
    parser.set_defaults(events=())
    add_min_event_patients(parser)
    parser.add_argument("--text", metavar="COLUMN", help="note of the visit; in several columns: history+course")
    parser.add_argument("--sex", metavar="COLUMN", help=SEX_HELP)
    parser.add_argument("--age", metavar="COLUMN", help=AGE_HELP)
    parser.add_argument(
        "--code-system",
        choices=tuple(CODE_SYSTEMS),
        help="the edition of the codes: icd9 and icd10 of the United States (CM), icd10who of the WHO; to-icd9 and "
        "to-icd10 translate a table that has both by the GEMs (--code-version, --icd10-from)",
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
    if arguments.code_system not in (None, "icd10") and arguments.codes is not None:
        raise UserError(
            f"--codes is itself the table of an edition of ICD-10; leave --code-system {arguments.code_system} out"
        )
    edition, edition_files = None, []
    if arguments.codes is not None:
        edition, file = read_national_edition(arguments.codes, ledger)
        edition_files.append(file)
    with encoding_hint():
        columns = columns.in_file(arguments.input, arguments.separator, arguments.encoding)
    table = read_user_table(
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
        arguments.icd10_from,
        arguments.primary_only,
    )
    return Source(
        name="table",
        system=CODE_SYSTEMS[arguments.code_system] if edition is None else edition.system,
        edition=edition,
        patients=table.cohort(ledger),
        event_names=table.event_names,
        ledger=ledger,
        files=[table.file, *edition_files],
        options={"code_system": arguments.code_system, "columns": columns.named()}
        | ({"keep": {name: list(values) for name, values in columns.keep.items()}} if columns.keep else {}),
    )


SOURCE = SourceCommand(
    name="table",
    help="""\
A table of your own: CSV, Parquet, Excel, Stata, SAS or SPSS, one row per diagnosis, or per visit with all its codes.

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
