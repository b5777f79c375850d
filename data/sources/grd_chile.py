"""Discharges of Chile's public hospitals by diagnosis-related group (GRD), published by FONASA and the DEIS.

One file a year, 2019 to 2024, columns separated by `|` (or `;`); UTF-8, UTF-16 or cp1252, which the file itself shows.
A discharge has up to 35 diagnoses in the WHO's ICD-10, the first the principal one. The patient's id is CIP_ENCRIPTADO,
in 2024 ID_BENEFICIARIO. It was made anew between 2020 and 2021: the same number before and after is another person. So
patients are linked within the discharges of 2019-2020 and within those of 2021-2024; a later year stands by itself.

A visit is a discharge, day surgery included. The files have no id of it: a visit is called by its number among its
patient's discharges, in order of admission, then of discharge. Files are read a piece at a time.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.cohorts.cohort import Patient, build_cohort
from data.cohorts.source import Source
from data.editions.national_edition import read_national_edition
from data.ledger import Ledger
from data.ontology import Ontology, load_ontology
from data.sources.shared.events.event_rows import EventRows, EventTable
from data.sources.shared.events.options import add_events
from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key
from data.sources.shared.grd_files import files_of, read_discharges
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms
from data.table_files.csv_stream import one_ahead
from data.table_files.meanings import LARGEST_AGE
from data.table_files.stored_files import InputFile
from data.table_files.times import completed_years

_VISITS_AT_A_TIME = 125_000
_SAME_DISCHARGE = ("person", "admitted", "discharged", "hospital", "content")
_DAYS = 2**23
"""More than there are days in the dates that polars reads, of the years 1 to 9999."""


def read_grd_chile(
    paths: Sequence[str | Path],
    ledger: Ledger,
    forms: ColumnForms | None = None,
    granularity: str = "full",
    edition: Ontology | None = None,
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], dict[str, str], pl.DataFrame | None]:
    """The cohort in the WHO's ICD-10 or in `edition`, the files, file name -> the encoding it is in, and the names of
    its events.

    `paths`: files, or folders of them; `kinds`: of events, which are procedures. Raises FileNotFoundError or UserError
    where there are none, or one cannot be used.
    """
    all_files = [file for path in paths for file in files_of(Path(path))]
    discharges = read_discharges(all_files, ledger, forms or ColumnForms(), bool(kinds))
    files, encodings = discharges.files, discharges.encodings
    codes = pl.Series("raw", discharges.codes, dtype=pl.Enum(discharges.codes))
    visits, people = _usable_visits(discharges.visits, ledger)
    parts = _parts(visits)
    by_part = _by_part(discharges.diagnoses, visits["row"], parts)
    num_used = sum(part.height for part in by_part.values())
    ledger.drop("diagnoses", "visit dropped", discharges.diagnoses.height - num_used)
    names = _procedure_names(discharges.procedure_codes)
    procedures = _of_usable(discharges.procedures, visits, ledger)
    del discharges  # half of what is in memory, before patients are made
    edition = edition or load_ontology("icd10who")
    resolve = by_ontology(edition, granularity)

    def read_part(number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        part = _cohort_visits(visits[slice(*parts[number])], people)
        written = _diagnoses(part, by_part.pop(number), codes)
        return part, resolve_codes(written, resolve, edition.system, ledger)

    patients: list[Patient] = []
    # In a thread, beside what follows: neither may count for a reason of the other's.
    for part, resolved in one_ahead(map(read_part, range(len(parts)))):
        events = _events(part, procedures, names, ledger).rows if kinds else None
        patients += build_cohort(part.drop("row"), resolved, ledger, events=events)
    if not kinds:
        return patients, files, encodings, None
    known = names.filter(pl.col("key") != "").unique("key", keep="first", maintain_order=True)
    event_names = known.select(event=pl.concat_str(pl.lit("procedure:"), "key"), kind=pl.lit("procedure"), name="name")
    return patients, files, encodings, event_names


def _by_part(diagnoses: pl.DataFrame, rows: pl.Series, parts: Sequence[tuple[int, int]]) -> dict[int, pl.DataFrame]:
    """The `diagnoses` of each of the `parts` of the visits, whose places in the files are `rows`; those of other rows
    are in none."""
    last = pl.concat([rows, diagnoses["row"]]).to_frame().select(pl.all().max()).item() or 0
    part_of = np.full(last + 1, len(parts), dtype=np.uint32)
    for number, (begin, end) in enumerate(parts):
        part_of[rows[begin:end].to_numpy()] = number
    numbered = diagnoses.with_columns(part=pl.Series(part_of).gather(diagnoses["row"]))
    known = numbered.filter(pl.col("part") < len(parts))
    by_part = known.partition_by("part", include_key=False, as_dict=True)
    return {number: by_part.get((number,), diagnoses.clear()) for number in range(len(parts))}


def _diagnoses(visits: pl.DataFrame, diagnoses: pl.DataFrame, codes: pl.Series) -> pl.DataFrame:
    """patient_id, admission_id, position, primary and raw of the diagnoses of the `visits` of one part."""
    rows = diagnoses.join(visits.select("row", "patient_id", "admission_id"), on="row", how="inner")
    return rows.select(
        "patient_id",
        "admission_id",
        position=pl.col("position").cast(pl.Int64),
        primary=pl.col("position") == 0,
        raw=codes.gather(rows["number"]),
    )


def _of_usable(procedures: pl.DataFrame, visits: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The procedures of the usable `visits`, without those of a stay that ended after the next one began: they have no
    dates, and may tell of it."""
    ledger.read("events", procedures.height)
    usable = procedures.join(visits.select("row"), on="row", how="semi")
    ledger.drop("events", "procedure without a usable discharge", procedures.height - usable.height)
    before = usable.join(visits.filter("overlaps").select("row"), on="row", how="anti")
    ledger.drop("events", "procedure of a stay that ended after the next began", usable.height - before.height)
    return before


def _procedure_names(codes: Sequence[str]) -> pl.DataFrame:
    """number, key, name of each code as written, in ICD-9-CM; both empty for what is none."""
    keys = [procedure_key(code, 9) for code in codes]
    names = [name_of_procedure(key) if key else "" for key in keys]
    schema = {"number": pl.UInt32, "key": pl.String, "name": pl.String}
    return pl.DataFrame({"number": range(len(keys)), "key": keys, "name": names}, schema=schema)


def _events(visits: pl.DataFrame, procedures: pl.DataFrame, names: pl.DataFrame, ledger: Ledger) -> EventTable:
    """The procedures of the `visits` of one part."""
    events = EventRows(visits=visits, ledger=ledger, dated=False)
    rows = procedures.join(visits.select("row", "patient_id", "admission_id"), on="row", how="inner")
    named = rows.join(names, on="number", how="left", maintain_order="left")
    events.add("procedure", named.select("patient_id", "admission_id", "key", "name"))
    return events.table()


def _usable_visits(visits: pl.DataFrame, ledger: Ledger) -> tuple[pl.DataFrame, pl.Series]:
    """row, person (the place of the patient's id in the second answer, the ids in order), sex, number (of the visit
    among its patient's), age, day and overlaps (whether it ended after the next began), in columns of few bytes, sorted
    by patient and in time; the others are counted."""
    ids = visits.select(pl.format("{}-{}", pl.col("block") - 2000, "patient")).to_series()
    people = ids.unique().drop_nulls().sort()
    places = people.to_frame("id").with_row_index("person")
    person = ids.to_frame("id").join(places, on="id", how="left", maintain_order="left")["person"]
    rows = visits.drop("patient", "block").with_columns(person)
    del ids, places
    ledger.read("visits", rows.height)
    ledger.read("patients", people.len())
    for name, reason in (("admitted", "without an admission date"), ("person", "without a patient id")):
        complete = rows.drop_nulls(name)
        ledger.drop("visits", reason, rows.height - complete.height)
        rows = complete
    ordered = _in_time(rows)
    repeats = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _SAME_DISCHARGE)
    unique = ordered.filter(~repeats)
    ledger.drop("visits", "discharge listed twice, all its diagnoses the same", ordered.height - unique.height)
    death = pl.col("discharged").filter("died").min().over("person")
    alive = unique.filter((pl.col("admitted") <= death).fill_null(True))
    ledger.drop("visits", "death before admission", unique.height - alive.height)
    ledger.drop("patients", "without a usable discharge", people.len() - alive["person"].n_unique())
    is_followed = pl.col("person") == pl.col("person").shift(-1)
    place = pl.int_range(pl.len(), dtype=pl.UInt32)
    first_place = pl.when(_is_first_of_person()).then(place).forward_fill()
    usable = alive.select(
        "row",
        "person",
        sex=pl.col("sex").cast(pl.Enum(["F", "M"])),
        number=place - first_place + 1,
        age=completed_years(pl.col("birth"), pl.col("admitted")),
        day=pl.col("admitted").dt.epoch("d").cast(pl.Int32),
        overlaps=(is_followed & (pl.col("discharged") > pl.col("admitted").shift(-1))).fill_null(False),
    )
    ledger.change(
        "discharge after the patient's next admission, which has it in its history", int(usable["overlaps"].sum())
    )
    possible = pl.col("age").is_between(0, LARGEST_AGE)
    odd = usable.select(possible.not_().fill_null(False)).to_series()
    ledger.change(f"age below 0 or above {LARGEST_AGE}, left out", int(odd.sum()))
    return usable.with_columns(age=pl.when(possible).then("age").cast(pl.Int16)), people


def _in_time(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` by person and admission, those with the same by all that they hold. One number for both sorts five times
    as fast as the columns, and few rows are left to tell apart."""
    day = pl.col("admitted").to_physical().cast(pl.Int64) + _DAYS // 2
    known = rows.with_columns(key=pl.col("person").cast(pl.Int64) * _DAYS + day).sort("key")
    key = pl.col("key")
    tied = known.select((key == key.shift(1)).fill_null(False) | (key == key.shift(-1)).fill_null(False)).to_series()
    places = tied.arg_true()
    ties = known.filter(tied).with_columns(place=places)
    ties = ties.sort("key", *_SAME_DISCHARGE, "birth", "sex", "died", "row", nulls_last=True)
    order = np.arange(known.height)
    order[places.to_numpy()] = ties["place"].to_numpy()
    return known[order].drop("key")


def _is_first_of_person() -> pl.Expr:
    """Of rows sorted by person."""
    return (pl.col("person") != pl.col("person").shift(1)).fill_null(True)


def _cohort_visits(visits: pl.DataFrame, people: pl.Series) -> pl.DataFrame:
    """`row` and the columns of `data.cohorts.cohort`, of visits sorted by patient and in time."""
    day = pl.col("day").cast(pl.Int64)
    return visits.select(
        "row",
        people.gather(visits["person"]).alias("patient_id"),
        pl.col("sex").cast(pl.String),
        pl.col("age").cast(pl.Int64),
        admission_id=pl.col("number").cast(pl.String),
        order=pl.col("number").cast(pl.Int64),
        day=day,
        period=day,
    )


def _parts(visits: pl.DataFrame) -> list[tuple[int, int]]:
    """First row and the one behind the last of parts of `visits`, sorted by patient, that hold whole patients; what is
    made of one fits into memory."""
    first_of_patient = visits.select(_is_first_of_person()).to_series()
    cuts = [0]
    for start in first_of_patient.arg_true():
        if start - cuts[-1] >= _VISITS_AT_A_TIME:
            cuts.append(start)
    return list(zip(cuts, [*cuts[1:], visits.height], strict=True))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare grd-chile`."""
    add_diagnosis_options(parser, "PATH", "yearly files, plain, gzipped or zipped, or folders of them", True, False)
    parser.add_argument(
        "--encoding", metavar="NAME", help="of all files, as cp1252 (default: each file's own, which it shows)"
    )
    parser.add_argument(
        "--codes",
        metavar="TABLE",
        help="instead of the WHO's edition: Chile's own as CSV or Parquet with the columns code, definition and "
        "perhaps parent",
    )
    add_events(parser, ("procedures",))


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    edition, edition_files = None, []
    if arguments.codes is not None:
        edition, file = read_national_edition(arguments.codes, ledger)
        edition_files.append(file)
    patients, files, encodings, event_names = read_grd_chile(
        arguments.input, ledger, column_forms(arguments), arguments.granularity, edition, arguments.events
    )
    return Source(
        name="grd-chile",
        system="icd10who" if edition is None else edition.system,
        edition=edition,
        patients=patients,
        ledger=ledger,
        files=[*files, *edition_files],
        options={"encodings": dict(encodings)},
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="grd-chile",
    help="""\
Chile's public hospitals: the yearly GRD files of FONASA, 2019 to 2024 (GRD_PUBLICO_2019.txt ...), in ICD-10.

  mera prepare grd-chile --input grd/ --output prepared/grd
  mera prepare grd-chile --input GRD_PUBLICO_2021.txt GRD_PUBLICO_EXTERNO_2022.txt --protocol temporal \\
      --output prepared/grd-2021-22
  mera prepare grd-chile --input grd/ --events procedures --output prepared/grd-procedures

Ids link within 2019-2020 and within 2021-2024 only; docs/data.md says what else is taken.""",
    add_options=add_options,
    read=read_source,
)
