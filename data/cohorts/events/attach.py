"""Events put to the visits that they belong to."""

import polars as pl

from data.ledger import Ledger

KEY = ["patient_id", "admission_id"]


def attach_events(visits: pl.DataFrame, events: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """`visits` with a column `events`: the different events of each, sorted. Events of other visits are counted, and so
    are those that their visit has already.

    `visits`: KEY and more, one row per visit. `events`: KEY and event.
    """
    known = events.join(visits.select(KEY), on=KEY, how="semi")
    ledger.drop("events", "visit dropped, without a usable code, or not listed", events.height - known.height)
    unique = known.select(*KEY, "event").unique()
    ledger.drop("events", "repeated in its visit", known.height - unique.height)
    lists = unique.sort(*KEY, "event").group_by(KEY, maintain_order=True).agg("event").rename({"event": "events"})
    joined = visits.join(lists, on=KEY, how="left", maintain_order="left")
    return joined.with_columns(pl.col("events").fill_null(pl.lit([], dtype=pl.List(pl.String))))
