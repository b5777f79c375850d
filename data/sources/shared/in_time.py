"""What was known of a patient when the next visit began. A history must not tell what that visit found."""

import polars as pl

from data.cohorts.cohort import KEY, visits_in_order
from data.ledger import Ledger


def next_visits(visits: pl.DataFrame) -> pl.DataFrame:
    """patient_id, admission_id, and of the patient's next visit `next_order` and `next_day`; null behind the last.

    `visits` has VISIT_COLUMNS of `data.cohorts.cohort`.
    """
    following = (pl.col(name).shift(-1).over("patient_id").alias(f"next_{name}") for name in ("order", "day"))
    return visits_in_order(visits).select(*KEY, *following)


def known_in_time(diagnoses: pl.DataFrame, visits: pl.DataFrame, ledger: Ledger, what: str) -> pl.DataFrame:
    """`diagnoses` (subject_id, hadm_id and `known_on`, days since 1970, or null) without those of after the day on
    which the patient's next visit began, which are counted as `what`."""
    limits = next_visits(visits).select(subject_id="patient_id", hadm_id="admission_id", limit="next_day")
    dated = diagnoses.join(limits, on=["subject_id", "hadm_id"], how="left", maintain_order="left")
    known = dated.filter(~(pl.col("known_on") > pl.col("limit")).fill_null(False)).drop("limit")
    ledger.drop("diagnoses", f"{what} of after the next visit began", diagnoses.height - known.height)
    return known


def count_overlaps(visits: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`visits` without their column `end` (days since 1970, or null). Those that went on after the day on which the
    patient's next visit began are counted: what was coded at their end stands in the history of that visit."""
    swapped = visits.filter((pl.col("end") < pl.col("day")).fill_null(False)).height
    ledger.change("visit that ends on a day before it begins, read as it stands", swapped)
    ends = visits.select(*KEY, "end").join(next_visits(visits), on=KEY, how="inner")
    late = ends.filter((pl.col("end") > pl.col("next_day")).fill_null(False)).height
    ledger.change("visit that ended after the patient's next one began, in whose history its codes stand", late)
    return visits.drop("end")
