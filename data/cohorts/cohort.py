"""Patients and their visits in memory: what the reader of every source returns."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from data.cohorts.events.attach import attach_events
from data.cohorts.notes.note_spool import SpooledText
from data.ledger import Ledger
from data.table_files.ids import id_order
from data.table_files.meanings import LARGEST_AGE
from mera.system.errors import UserError

Value = TypeVar("Value")
Evidence = tuple[str, int, int]
"""A code and the characters `[start, end)` of the note that support it."""


class Visit(NamedTuple):
    """One admission. A tuple: there are millions of them, and a frozen dataclass takes ten times as long to make."""

    admission_id: str
    codes: tuple[str, ...]
    """Canonical, without repeats, in the source's order."""
    num_primary: int = 1
    """How many of `codes`, from the first on, stand for the diagnosis listed first; 0 where that one was dropped."""
    age: int | None = None
    day: int | None = None
    """Days since any fixed date, fixed for the patient at least; None where the source has no dates."""
    period: int | None = None
    """Real time of the visit, comparable between patients, in a unit of the source's (day or year); None where the
    source hides it."""
    text: str | SpooledText | None = None
    num_notes: int = 0
    """How many notes of the source are in `text`."""
    evidence: tuple[Evidence, ...] = ()
    events: tuple[str, ...] = ()
    """Procedures, drugs and labs of the visit, sorted, where they were asked for."""

    def __repr__(self) -> str:
        """Without the events, whose digest stands beside that of the rest (`data.cohorts.events.vocabulary`)."""
        values = self._asdict()
        del values["events"]
        return f"Visit({', '.join(f'{name}={value!r}' for name, value in values.items())})"


class Patient(NamedTuple):
    """One patient, visits oldest first."""

    patient_id: str
    sex: str | None
    """`F`, `M` or None."""
    visits: tuple[Visit, ...]


VISIT_COLUMNS = ("patient_id", "admission_id", "order", "sex", "age", "day")
"""What an adapter's visits table holds; `order` sorts the visits of one patient."""
OPTIONAL_VISIT_COLUMNS = ("period", "text", "num_notes", "events")
"""What it may hold besides; see `Visit`."""
DIAGNOSIS_COLUMNS = ("patient_id", "admission_id", "position", "code")
"""What a diagnoses table holds once its codes are resolved; `position` sorts the codes of one visit. It may hold
`primary` besides: whether the code comes from the row listed first."""
KEY = ["patient_id", "admission_id"]
SHORT_ID = 3
"""Characters of admission ids of which there are few."""


def with_people(visits: pl.DataFrame, people: pl.DataFrame, key: str, ledger: Ledger) -> pl.DataFrame:
    """`visits`, in their order, with the columns of `people`, by the column `key`; of several rows of one person what
    all agree in that say it. The ledger counts those in which they do not, and patients who have no row: of a file that
    was copied by half, nobody would miss them."""
    values = [pl.col(name).drop_nulls() for name in people.columns if name != key]
    merged = people.group_by(key, maintain_order=True).agg(
        *(pl.when(value.n_unique() == 1).then(value.first()) for value in values),
        differs=pl.any_horizontal(value.n_unique() > 1 for value in values) if values else pl.lit(False),
    )
    each = merged.drop("differs")
    several = merged.filter("differs").join(visits, on=key, how="semi").height
    ledger.change("patient whose rows of their own differ, in what is left out", several)
    unlisted = visits.join(each, on=key, how="anti")[key].n_unique()
    ledger.change("patient without a row of their own, whose age and sex are not known", unlisted)
    return visits.join(each, on=key, how="left", maintain_order="left")


def visits_in_order(visits: pl.DataFrame) -> pl.DataFrame:
    """By patient and time; of visits that begin at once the one with the smaller id first, numbers as numbers."""
    by_id = visits.with_columns(tie=id_order(visits["admission_id"]))
    return by_id.sort("patient_id", "order", "tie", "admission_id", nulls_last=True).drop("tie")


def build_cohort(
    visits: pl.DataFrame,
    diagnoses: pl.DataFrame,
    ledger: Ledger,
    evidence: Mapping[str, Sequence[Evidence]] | None = None,
    texts: Mapping[tuple[str, str], SpooledText] | None = None,
    events: pl.DataFrame | None = None,
) -> list[Patient]:
    """Put visits and patients together, in the order of their ids, whatever the order of the rows.

    `visits` has VISIT_COLUMNS with one row per visit, without those that the reader dropped and counted. `diagnoses`
    has DIAGNOSIS_COLUMNS; rows whose visit is not in `visits` are dropped and counted, and so are repeats within a
    visit, visits without a code, and patients without a visit. `evidence`: by admission id; what supports a code that
    its visit lacks is left out. `texts`: by patient and admission id, where `visits` does not hold them. `events`:
    patient_id, admission_id, event. Raises UserError where no diagnosis has a visit.
    """
    is_age = pl.col("age").is_between(0, LARGEST_AGE)
    ledger.change(f"age below 0 or above {LARGEST_AGE}, left out", visits.filter(~is_age).height)
    visits = visits.with_columns(age=pl.when(is_age).then("age"))
    ordered_visits = visits_in_order(visits).with_row_index("visit")
    sexes = visits.drop_nulls("sex").group_by("patient_id").agg(pl.col("sex").n_unique())
    ledger.change("patient recorded with both sexes, which is left out", sexes.filter(pl.col("sex") > 1).height)
    names = diagnoses["code"].unique().sort()
    known = _number(diagnoses, names).join(ordered_visits.select(*KEY, "visit"), on=KEY, how="inner").drop(KEY)
    if known.is_empty() and diagnoses.height and visits.height:
        raise UserError(
            f"none of the {diagnoses.height:,} diagnoses belongs to one of the {visits.height:,} visits: the ids of "
            "patients or visits in the two tables are not the same"
        )
    ledger.drop("diagnoses", "visit dropped or not listed", diagnoses.height - known.height)
    ordered = _in_order(known)
    unique = ordered.filter((pl.col("visit").cast(pl.Int64) * names.len() + pl.col("code")).is_first_distinct())
    ledger.drop("diagnoses", "repeated in its visit", ordered.height - unique.height)
    codes_of = unique.group_by("visit", maintain_order=True).agg("code", pl.col("primary").sum().alias("num_primary"))
    joined = ordered_visits.join(codes_of, on="visit", how="inner", maintain_order="left")
    ledger.drop("visits", "without a usable code", visits.height - joined.height)
    if "num_notes" in visits.columns:
        num_dropped = int(visits["num_notes"].sum()) - int(joined["num_notes"].sum())
        ledger.drop("notes", "visit without a usable code", num_dropped)
    if events is not None:
        joined = attach_events(joined, events, ledger)
    patients = list(_patients(joined, _visits(joined, names, evidence or {}, texts or {})))
    ledger.drop("patients", "without a usable visit", visits["patient_id"].n_unique() - len(patients))
    return patients


def _number(diagnoses: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    """`diagnoses` with each code as its number among the sorted `names`, and a column `primary`: numbers are smaller
    and faster to sort than the codes, and sort the same."""
    if "primary" not in diagnoses.columns:
        diagnoses = diagnoses.with_columns(primary=pl.lit(False))
    return diagnoses.with_columns(pl.col("code").cast(pl.Enum(names)).to_physical().cast(pl.UInt32))


def _in_order(diagnoses: pl.DataFrame) -> pl.DataFrame:
    """`diagnoses` by visit, position and code, nulls last. Sorted by one column after the other, the last first, which
    is four times as fast as by the three at once."""
    for name in ("code", "position", "visit"):
        diagnoses = diagnoses.sort(name, nulls_last=True, maintain_order=True)
    return diagnoses


def _patients(joined: pl.DataFrame, visits: Iterator[Visit]) -> Iterator[Patient]:
    """`joined`: a row for each of `visits`, sorted by patient, then in time."""
    known = pl.col("sex").drop_nulls()
    one_sex = pl.when(known.n_unique() == 1).then(known.first())
    patients = joined.group_by("patient_id", maintain_order=True).agg(pl.len(), sex=one_sex)
    for patient_id, num_visits, sex in patients.iter_rows():
        yield Patient(patient_id, sex, tuple(islice(visits, num_visits)))


def _visits(
    joined: pl.DataFrame,
    names: pl.Series,
    evidence: Mapping[str, Sequence[Evidence]],
    texts: Mapping[tuple[str, str], SpooledText],
) -> Iterator[Visit]:
    """A visit for each row of `joined`, which holds codes by their number among `names`. Columns become Python's
    objects as a whole, which is twice as fast as rows."""
    flat = iter(np.array(names.to_list(), dtype=object)[joined["code"].explode().to_numpy()].tolist())
    wanted = ("admission_id", "num_primary", "age", "day", *OPTIONAL_VISIT_COLUMNS)
    columns = {name: joined[name].to_list() for name in wanted if name in joined.columns}
    # Days and short ids, which are numbers of visits, repeat a million times over: one object for each saves a fifth.
    has_short_ids = all(len(admission_id) <= SHORT_ID for admission_id in columns["admission_id"])
    for name in ("day", "period", *(["admission_id"] if has_short_ids else [])):
        if name in columns:
            columns[name] = _one_for_each(columns[name])
    if texts:
        columns["text"] = [texts.get(key) for key in joined.select(KEY).iter_rows()]
    columns["codes"] = [tuple(islice(flat, num_codes)) for num_codes in joined["code"].list.len()]
    if "events" in columns:
        columns["events"] = [tuple(events) for events in columns["events"]]
    if evidence:
        columns["evidence"] = [
            tuple(span for span in evidence.get(admission_id, ()) if span[0] in codes)
            for admission_id, codes in zip(columns["admission_id"], columns["codes"], strict=True)
        ]
    every = (columns.get(name, repeat(Visit._field_defaults.get(name), joined.height)) for name in Visit._fields)
    return map(Visit._make, zip(*every, strict=True))


def _one_for_each(values: list[Value]) -> list[Value]:
    """The values, those that are equal as one object."""
    one_of: dict[Value, Value] = {}
    return [one_of.setdefault(value, value) for value in values]
