"""A table of one's own: CSV or Parquet, one row per diagnosis or per visit, with columns named on the command line."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.code_columns import by_ontology, resolve_codes
from data.cohort import Patient, build_cohort
from data.leading_zeros import with_leading_zeros
from data.ledger import Ledger
from data.ontology import Ontology, load_ontology
from data.table_files.columns import ColumnForms, column, id_order, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile
from data.unusable_codes import why_no_code_is_known

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
            raise ValueError("a table needs --visit or --time, to tell the visits of a patient apart")

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
    `forms`: what the user says of the columns; `zeros`: of codes without leading zeros (`data.leading_zeros`);
    `granularity`: of the task (`by_ontology`). Raises FileNotFoundError or ValueError where the file cannot be used.
    """
    if edition is None and code_system not in SYSTEMS:
        raise ValueError(f"--code-system must be one of {', '.join(SYSTEMS)} for a table, got {code_system!r}")
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
    ontology = edition or load_ontology(SYSTEMS[code_system])
    diagnoses = timed.select(patient_id="patient", admission_id="visit", position="place", raw="code")
    diagnoses = with_leading_zeros(diagnoses, ontology.system, ledger, zeros)
    codes = resolve_codes(diagnoses, by_ontology(ontology, granularity), ontology.system, ledger)
    if codes.is_empty() and diagnoses.height:
        raise ValueError(f"{path}: column {columns.code}: {why_no_code_is_known(diagnoses['raw'], ontology)}")
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
        ledger.read("notes", texts["num_notes"].sum())
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
