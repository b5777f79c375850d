"""A table of one's own: CSV or Parquet, one row per diagnosis or per visit, with columns named on the command line."""

import argparse
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
from data.sources.shared.options import add_diagnosis_options, add_kind, add_past_notes
from data.sources.shared.source_command import Arguments, SourceCommand, check_notes_are_read, column_forms
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.ids import id_order
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

SYSTEMS = {"icd9": "icd9cm", "icd10": "icd10cm", "icd10who": "icd10who"}
MEANINGS = {
    "patient": Meaning.ID,
    "visit": Meaning.ID,
    "time": Meaning.TIME_OR_DAYS,
    "code": Meaning.CODE,
    "position": Meaning.NUMBER,
    "sex": Meaning.SEX,
    "age": Meaning.AGE,
    "text": Meaning.TEXT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """Which column of the user's table holds what; None: none does."""

    patient: str
    code: str
    """One code, or with `code_separator` several."""
    visit: str | None = None
    """Id of the visit; None: rows of a patient with the same time are one."""
    time: str | None = None
    """Dates or times (`data.table_files.times`), or numbers of days; None: visits are in the order of their ids."""
    position: str | None = None
    """Numbers that order the codes of a visit; None: their order in a list of codes, else by code."""
    sex: str | None = None
    age: str | None = None
    text: str | None = None
    """A note; all rows of a visit repeat it, or only some have it."""

    def __post_init__(self) -> None:
        if self.visit is None and self.time is None:
            raise UserError("a table needs --visit or --time, to tell the visits of a patient apart")

    def named(self) -> dict[str, str]:
        """Our name -> the user's, for those there are."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if getattr(self, name) is not None}


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
) -> tuple[list[Patient], list[InputFile]]:
    """The cohort in the edition `code_system` (of SYSTEMS) or, where there is one, in `edition`; and the file.

    Where `columns` names a text, visits without one are dropped, unless `past_notes` wants the texts as history only.
    `forms`: what the user says of the columns; `zeros`: of codes without leading zeros (`data.codes.leading_zeros`);
    `granularity`: of the task (`by_ontology`). Raises FileNotFoundError or ValueError where the file cannot be used.
    """
    if edition is None and code_system not in SYSTEMS:
        raise UserError(f"--code-system must be one of {', '.join(SYSTEMS)} for a table, got {code_system!r}")
    wanted = [column(name, MEANINGS[name], header=header) for name, header in columns.named().items()]
    table = read_columns(path, wanted, ledger, forms, separator=separator)
    rows = table.rows if columns.visit is not None else table.rows.with_columns(visit=_time_as_id(table.rows))
    rows = _one_code_a_row(rows, code_separator)
    ledger.read("diagnoses", rows.height)
    named = rows.drop_nulls(["patient", "visit"])
    ledger.drop("diagnoses", "row without a patient or visit", rows.height - named.height)
    ledger.read("visits", named.select("patient", "visit").n_unique())
    ledger.read("patients", named["patient"].n_unique())
    timed = _with_order(named, columns, ledger)
    visits = _visits(timed, columns, ledger, past_notes)
    if edition is None:
        assert code_system is not None, "checked above"
        edition = load_ontology(SYSTEMS[code_system])
    diagnoses = timed.select(patient_id="patient", admission_id="visit", position="place", raw="code")
    diagnoses = with_leading_zeros(diagnoses, edition.system, ledger, zeros)
    codes = resolve_codes(diagnoses, by_ontology(edition, granularity), edition.system, ledger)
    if codes.is_empty() and diagnoses.height:
        raise UserError(f"{path}: column {columns.code}: {why_no_code_is_known(diagnoses['raw'], edition)}")
    return build_cohort(visits, codes, ledger), [table.file]


def _time_as_id(rows: pl.DataFrame) -> pl.Series:
    """Rows of a patient with one time are one visit, however the time is written."""
    moments = rows["time"].dt.strftime("%Y-%m-%d %H:%M:%S").str.strip_suffix(" 00:00:00")
    return moments.fill_null(rows["time_days"].cast(pl.String).str.strip_suffix(".0"))


def _one_code_a_row(rows: pl.DataFrame, code_separator: str | None) -> pl.DataFrame:
    """`place` orders the codes of a visit: the user's numbers, or the order of the list, or nothing."""
    number = pl.col("position") if "position" in rows.columns else pl.lit(None, pl.Float64)
    if code_separator is None:
        return rows.with_columns(place=number)
    listed = rows.with_columns(pl.col("code").str.split(code_separator), number=number)
    listed = listed.with_columns(place=pl.int_ranges(pl.col("code").list.len()).cast(pl.List(pl.Float64)))
    exploded = listed.filter(pl.col("code").list.len() > 0).explode("code", "place")
    # A list may come with the brackets and quotes of the program that wrote it.
    stripped = exploded.with_columns(pl.col("code").str.strip_chars(" \t[](){}\"'").replace({"": None}))
    return stripped.with_columns(place=pl.col("number").fill_null(0) * 1e6 + pl.col("place")).drop("number")


def _with_order(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger) -> pl.DataFrame:
    """`order`, in seconds where there are times; `day` where there are days. Rows without a time go, and with them the
    visits and patients that have no other; the ledger counts each.
    """
    if columns.time is None:
        ledger.change("visits in the order of their ids: no --time", rows.select("patient", "visit").n_unique())
        return rows.with_columns(order=id_order(rows["visit"]), day=pl.lit(None, dtype=pl.Int64))
    if rows["time_days"].null_count() == rows.height:
        order, day = pl.col("time").dt.epoch("s"), pl.col("time").dt.epoch("d").cast(pl.Int64)
    else:
        order, day = (pl.col("time_days") * 86_400).cast(pl.Int64), pl.col("time_days").floor().cast(pl.Int64)
    timed = rows.with_columns(order=order, day=day).drop_nulls("order")
    reason = "without a usable time"
    ledger.drop("diagnoses", f"row {reason}", rows.height - timed.height)
    for unit, key in (("visits", ["patient", "visit"]), ("patients", ["patient"])):
        ledger.drop(unit, reason, rows.select(key).n_unique() - timed.select(key).n_unique())
    return timed


def _visits(rows: pl.DataFrame, columns: TableColumns, ledger: Ledger, past_notes: bool) -> pl.DataFrame:
    first = rows.group_by("patient", "visit").agg(
        pl.col("order", "day").min(),
        sex=_one(pl.col("sex")) if columns.sex else pl.lit(None, dtype=pl.String),
        age=_one(pl.col("age")) if columns.age else pl.lit(None, dtype=pl.Int64),
        text=pl.col("text").drop_nulls().unique().sort().str.join("\n\n")
        if columns.text
        else pl.lit(None, dtype=pl.String),
        num_texts=pl.col("text").drop_nulls().n_unique() if columns.text else pl.lit(0),
    )
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
    ledger.read("notes", noted.height)
    ledger.drop("visits", "without a note", visits.height - noted.height)
    ledger.drop("patients", "without a note", visits["patient_id"].n_unique() - noted["patient_id"].n_unique())
    return noted


def _one(values: pl.Expr) -> pl.Expr:
    """The value where all that are there agree, else null."""
    known = values.drop_nulls()
    return pl.when(known.n_unique() == 1).then(known.min())


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare table`."""
    add_diagnosis_options(parser, "FILE", "CSV (.csv, .tsv, plain, gzipped or zipped) or .parquet")
    add_kind(parser, "coding: codes of a visit from its --text")
    add_past_notes(parser)
    columns = {
        "patient": "id of the patient",
        "visit": "id of the visit (default: rows of one time)",
        "time": "date or time, or days as numbers (default: visits in order of their ids)",
        "code": "diagnosis code",
        "position": "number that orders the codes of a visit",
        "sex": "F or M, or words for them in one of many languages; see --sex-values",
        "age": "years, as 67, 67.0, >89, 90+ or [60-70)",
        "text": "note of the visit",
    }
    for name, meaning in columns.items():
        parser.add_argument(f"--{name}", required=name in ("patient", "code"), metavar="COLUMN", help=meaning)
    parser.add_argument(
        "--code-system",
        choices=tuple(SYSTEMS),
        help="the edition of the codes: icd9 and icd10 of the United States (CM), icd10who of the WHO",
    )
    parser.add_argument(
        "--codes",
        metavar="TABLE",
        help="instead: a national edition of ICD-10 (GM, AM, CIE-10 ...), CSV or Parquet with the columns code, "
        "definition and perhaps parent",
    )
    parser.add_argument("--code-separator", metavar="TEXT", help="what stands between the codes, where a row has many")
    parser.add_argument("--separator", metavar="CHAR", help="of a CSV (default: found by the header)")


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    check_notes_are_read(arguments, kind, "--text", arguments.text)
    if (kind == "coding" or arguments.past_notes) and arguments.text is None:
        asked = "--past-notes" if arguments.past_notes else "--kind coding"
        raise UserError(f"{asked} needs --text, the column with the notes")
    if arguments.primary_only and arguments.position is None and arguments.code_separator is None:
        raise UserError("--primary-only needs --position or --code-separator, to tell which code of a visit is first")
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
    columns = TableColumns(**{name: getattr(arguments, name) for name in TableColumns.__dataclass_fields__})
    patients, files = read_user_table(
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
    )
    return Source(
        name="table",
        system=SYSTEMS[arguments.code_system] if edition is None else edition.system,
        edition=edition,
        patients=patients,
        ledger=ledger,
        files=[*files, *edition_files],
        options={"code_system": arguments.code_system, "columns": columns.named()},
    )


SOURCE = SourceCommand(
    name="table",
    help="""\
A table of your own: CSV or Parquet, one row per diagnosis, or per visit with a list of codes.

  mera prepare table --input visits.csv --patient pid --visit vid --time date --code icd \\
      --code-system icd10 --output prepared/mine
      icd10who in place of icd10: the WHO's edition; --codes icd10gm.csv in its place: a national one
  mera prepare table --input notes.parquet --patient pid --visit vid --code codes --code-separator ";" \\
      --text note --kind coding --code-system icd10 --output prepared/my-notes
      --past-notes instead of --kind coding: next diagnoses, with the notes of the visits before
  mera prepare table --input export.csv --patient pid --time admitted --code icd --sex sex --date-format %d.%m.%Y \\
      --sex-values F=2,M=1 --code-system icd9 --codes-without-zeros --output prepared/mine

What a column may hold, and what happens to the rest: docs/data.md.""",
    add_options=add_options,
    read=read_source,
)
