"""eICU Collaborative Research Database (Pollard et al. 2018): tables patient and diagnosis.

A visit is a hospital stay with the diagnoses of its ICU stays, or with `visit="unit"` each ICU stay. The data have a
year of discharge and no dates: a hospital stay in which the patient died comes last (of two such, the second cannot be
and is left out), the others are ordered by year, within a year by age, and then by their id, which is no time; how many
that concerns is counted in task.json. ICU stays of one hospital stay are in order of admission. The column icd9code
lists codes of both editions (`401.9, I10`), some in the wrong place, so that each is taken for what it is. Diagnoses
are ordered Primary, Major, Other, then by time. Ages over 89 become 90. A demo of 2,520 ICU stays is open.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data.codes.code_columns import DroppedCode, Resolve, Resolved, by_ontology, resolve_codes
from data.cohorts.cohort import KEY, Patient, build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from data.sources.shared.events.of_eicu import KINDS, read_eicu_events
from data.sources.shared.events.options import add_events
from data.sources.shared.in_time import next_visits
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import ColumnForms, column, read_columns
from data.table_files.meanings import Meaning
from data.table_files.stored_files import InputFile, find_table
from mera.system.errors import UserError

VISITS = ("hospital", "unit")
_ENDS = {"hospital": "hospitaldischargeoffset", "unit": "unitdischargeoffset"}
SYSTEMS = {"icd9": "icd9cm", "icd10": "icd10cm"}
UNIT_STAY = column("patientunitstayid", Meaning.NUMBER_ID)
STAYS = (
    UNIT_STAY,
    column("patienthealthsystemstayid", Meaning.NUMBER_ID),
    column("uniquepid", Meaning.ID),
    column("gender", Meaning.SEX),
    column("age", Meaning.AGE),
    column("hospitaldischargeyear", Meaning.WHOLE),
    column("hospitaladmitoffset", Meaning.WHOLE),
    column("hospitaldischargestatus", Meaning.WORD, optional=True),
    column("unitdischargeoffset", Meaning.WHOLE, optional=True),
    column("hospitaldischargeoffset", Meaning.WHOLE, optional=True),
)
DIAGNOSES = (
    UNIT_STAY,
    column("icd9code", Meaning.CODE),
    column("diagnosispriority", Meaning.WORD),
    column("diagnosisoffset", Meaning.WHOLE),
)
STATUSES = ("alive", "expired")
PRIORITIES = {"primary": 0, "major": 1, "other": 2}
_LONGEST_OFFSET = 10_000_000
"""Minutes; more than any stay lasts, so that priority sorts before time."""


def read_eicu(
    folder: str | Path,
    ledger: Ledger,
    code_system: str = "icd9",
    visit: str = "hospital",
    forms: ColumnForms | None = None,
    granularity: str = "full",
    kinds: Sequence[str] = (),
) -> tuple[list[Patient], list[InputFile], str, pl.DataFrame | None]:
    """The cohort, the files it was read from, the ontology its codes are in, and the names of its events.

    `folder` holds patient and diagnosis as .csv or .csv.gz. `code_system`: `icd9` or `icd10`; `visit`: `hospital` or
    `unit`; `kinds`: of events. Raises FileNotFoundError or UserError where a table cannot be used.
    """
    if code_system not in SYSTEMS:
        raise UserError(f"--code-system must be one of {', '.join(SYSTEMS)} for eicu, got {code_system!r}")
    if visit not in VISITS:
        raise UserError(f"--visit must be one of {', '.join(VISITS)}, got {visit!r}")
    people = read_columns(find_table(folder, "patient"), STAYS, ledger, forms)
    diagnoses = read_columns(find_table(folder, "diagnosis"), DIAGNOSES, ledger, forms)
    stays = _unit_stays(people.rows, visit, ledger)
    rows = diagnoses.rows
    ledger.read("diagnoses", rows.height)
    priority = pl.col("diagnosispriority").str.to_lowercase().replace_strict(PRIORITIES, default=len(PRIORITIES))
    offset = pl.col("diagnosisoffset").fill_null(0)
    placed = rows.join(
        stays.select("patientunitstayid", "patient_id", "admission_id", "end"), on="patientunitstayid", how="inner"
    )
    ledger.drop("diagnoses", "ICU stay dropped or not listed", rows.height - placed.height)
    known = _known_in_time(placed, stays, ledger)
    table = known.select(
        "patient_id",
        "admission_id",
        raw="icd9code",
        position=priority.cast(pl.Int64) * 2 * _LONGEST_OFFSET + offset.clip(-_LONGEST_OFFSET + 1, _LONGEST_OFFSET - 1),
        primary=(priority == 0).fill_null(False),
    )
    system = SYSTEMS[code_system]
    codes = resolve_codes(table, _of_either_edition(system, granularity), f"{system}, or not of either edition", ledger)
    visits = stays.unique(["patient_id", "admission_id"], keep="first", maintain_order=True)
    files, events = [people.file, diagnoses.file], None
    if kinds:
        events, more = read_eicu_events(folder, kinds, stays, visit, ledger, forms)
        files += more
    rows_of_events = None if events is None else events.rows
    cohort = build_cohort(visits.drop("patientunitstayid", "end"), codes, ledger, events=rows_of_events)
    return cohort, files, system, None if events is None else events.names


def _known_in_time(diagnoses: pl.DataFrame, stays: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`diagnoses` without those entered after the end of a visit that another one of the patient follows: in a history
    they may tell what that visit found. Stays have a clock each, so when the next one began is not known."""
    has_next = next_visits(stays.unique(KEY, keep="first", maintain_order=True)).select(
        *KEY, has_next=pl.col("next_order").is_not_null()
    )
    dated = diagnoses.join(has_next, on=KEY, how="left", maintain_order="left")
    late = (pl.col("has_next") & (pl.col("diagnosisoffset") > pl.col("end"))).fill_null(False)
    known = dated.filter(~late)
    ledger.drop("diagnoses", "diagnosis of after the end of a visit that another follows", dated.height - known.height)
    return known


def _unit_stays(rows: pl.DataFrame, visit: str, ledger: Ledger) -> pl.DataFrame:
    """VISIT_COLUMNS, patientunitstayid and `end`, the minutes from its beginning to the end of its visit, a row per ICU
    stay, in order."""
    named = rows.drop_nulls(["patientunitstayid", "patienthealthsystemstayid", "uniquepid"])
    unique = named.sort(pl.all(), nulls_last=True).unique("patientunitstayid", keep="first", maintain_order=True)
    stay = "patienthealthsystemstayid" if visit == "hospital" else "patientunitstayid"
    # Ids become visits only here, so the rows that are none of a stay's first are accounted for as rows of the table.
    ledger.read("visits", unique[stay].n_unique())
    ledger.read("patients", unique["uniquepid"].n_unique())
    for reason, count in (
        ("ICU stay without ids", rows.height - named.height),
        ("ICU stay listed twice", named.height - unique.height),
    ):
        ledger.change(f"{reason}, left out", count)
    died = pl.lit(None, dtype=pl.String)
    if "hospitaldischargestatus" in unique.columns:
        died = pl.col("hospitaldischargestatus")
    known = pl.lit(True) if "hospitaldischargestatus" not in unique.columns else died.str.to_lowercase().is_in(STATUSES)
    ledger.change(
        "hospitaldischargestatus is neither Alive nor Expired, taken as alive",
        unique.filter(~known.fill_null(True)).height,
    )
    timed = unique.with_columns(
        year="hospitaldischargeyear",
        # Minutes from the ICU's admission back to the hospital's: the more negative, the later in the stay.
        minutes=-pl.col("hospitaladmitoffset"),
        died=(died.str.to_lowercase() == "expired").fill_null(False).any().over("patienthealthsystemstayid"),
        # Of the stay as a whole: an age may be missing in one ICU stay.
        age_of_stay=pl.col("age").max().over("patienthealthsystemstayid"),
    ).sort(
        "uniquepid",
        "died",
        "year",
        "age_of_stay",
        "patienthealthsystemstayid",
        "minutes",
        "patientunitstayid",
        nulls_last=True,
    )
    timed = _without_stays_after_death(timed, stay, ledger)
    hospital_stays = timed.unique(["uniquepid", "patienthealthsystemstayid"])
    same = hospital_stays.filter(pl.len().over("uniquepid", "year", "died", "age_of_stay") > 1).height
    ledger.change("hospital stays whose order within a year is not known, taken by their id", same)
    return timed.with_row_index("order").select(
        "patientunitstayid",
        "order",
        patient_id="uniquepid",
        admission_id=stay,
        sex="gender",
        age="age",
        end=ends if (ends := _ENDS[visit]) in timed.columns else pl.lit(None, dtype=pl.Int64),
        day=pl.lit(None, dtype=pl.Int64),
        period="year",
    )


def _without_stays_after_death(stays: pl.DataFrame, stay: str, ledger: Ledger) -> pl.DataFrame:
    """`stays`, in order, with one hospital stay of each patient in which they died, the first."""
    first = pl.col("patienthealthsystemstayid").filter(pl.col("died")).first().over("uniquepid")
    alive = stays.filter(~pl.col("died") | (pl.col("patienthealthsystemstayid") == first))
    ledger.drop("visits", "death before admission", stays[stay].n_unique() - alive[stay].n_unique())
    return alive


def _of_either_edition(wanted: str, granularity: str) -> Resolve:
    """The codes of the `wanted` edition in a list that mixes both."""
    editions = {system: by_ontology(load_ontology(system)) for system in SYSTEMS.values()}
    # A category is looked for only where no edition has the code.
    looser = {system: by_ontology(load_ontology(system), granularity) for system in SYSTEMS.values()}

    def resolve(raw: str) -> Resolved:
        codes: dict[str, list[str]] = {system: [] for system in editions}
        change = None
        for part in filter(None, (part.strip() for part in raw.split(","))):
            for system, of_edition in (*editions.items(), *looser.items()):
                resolved = _resolved(of_edition, part)
                if resolved is not None:
                    codes[system] += resolved.codes
                    change = resolved.change if system == wanted and resolved.change else change
                    break
        if not any(codes.values()):
            raise UnknownCode(f"{raw!r} holds no ICD code")
        if not codes[wanted]:
            raise DroppedCode(f"no {wanted} code in the row")
        return Resolved(tuple(dict.fromkeys(codes[wanted])), change)

    return resolve


def _resolved(resolve: Resolve, raw: str) -> Resolved | None:
    try:
        return resolve(raw)
    except UnknownCode:
        return None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare eicu`."""
    add_diagnosis_options(parser, "FOLDER", "folder with patient and diagnosis", zeros=False)
    parser.add_argument(
        "--code-system", choices=tuple(SYSTEMS), default="icd9", help="codes to take (default: %(default)s)"
    )
    parser.add_argument(
        "--visit", choices=VISITS, default="hospital", help="hospital stays or ICU stays (default: %(default)s)"
    )
    add_events(parser, KINDS)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    patients, files, system, event_names = read_eicu(
        arguments.input,
        ledger,
        arguments.code_system,
        arguments.visit,
        column_forms(arguments),
        arguments.granularity,
        arguments.events,
    )
    return Source(
        name="eicu",
        system=system,
        patients=patients,
        ledger=ledger,
        files=files,
        options={"code_system": arguments.code_system, "visit": arguments.visit},
        event_names=event_names,
    )


SOURCE = SourceCommand(
    name="eicu",
    help="""\
eICU: the folder with patient and diagnosis, as .csv or .csv.gz.

  mera prepare eicu --input eicu-crd/2.0 --output prepared/eicu
  mera prepare eicu --input eicu-crd/2.0 --visit unit --code-system icd10 --output prepared/eicu-icu
  mera prepare eicu --input eicu-crd/2.0 --events procedures,drugs --output prepared/eicu-events
      treatments and drugs of the visits before (docs/events.md)""",
    add_options=add_options,
    read=read_source,
)
