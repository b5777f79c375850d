"""What a prepared task says of the events in its histories: procedures, drugs and abnormal labs, a name for each."""

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

EVENT_SCHEMA: dict[str, pl.DataType] = {
    **{column: pl.String() for column in ("event", "kind", "name")},
    "train_patients": pl.Int64(),
}
"""One row per event that a history may hold; `kind` is `procedure`, `drug` or `lab`."""


def counted_events(tables: Mapping[str, pa.Table], names: pl.DataFrame) -> pl.DataFrame:
    """EVENT_SCHEMA from `names` (event, kind, name) and the rows of each split: the rarest event of train first, which
    is the order in which a prompt with too little room takes them."""
    events = {name: _of_patients(table) for name, table in tables.items()}
    assert set(pl.concat(events.values())["event"]) <= set(names["event"]), "an event of the rows has a name"
    counts = events["train"].unique().group_by("event").agg(train_patients=pl.len().cast(pl.Int64))
    counted = names.join(counts, on="event", how="left").with_columns(pl.col("train_patients").fill_null(0))
    columns = [pl.col(name).cast(kind) for name, kind in EVENT_SCHEMA.items()]
    return counted.select(columns).sort("train_patients", "event")


def _of_patients(table: pa.Table) -> pl.DataFrame:
    """(patient, event) of each event of a history."""
    rows = pl.DataFrame({name: pl.from_arrow(table[name]) for name in ("patient_id", "history")})
    visits = rows.explode("history").drop_nulls("history")
    events = visits.select("patient_id", event=pl.col("history").struct.field("events"))
    return events.explode("event").drop_nulls("event").select("patient_id", pl.col("event").cast(pl.String))
