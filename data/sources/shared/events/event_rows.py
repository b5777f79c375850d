"""Rows of procedures, drugs and labs from whatever tables hold them, put together as the events of visits."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from data.cohorts.cohort import KEY
from data.ledger import Ledger
from data.sources.shared.in_time import next_visits
from data.table_files.stored_files import InputFile

_LONGEST_KEY, _LONGEST_NAME, _DIGEST = 200, 200, 10
_COMPARISONS = {"<": " below ", ">": " above "}
"""What a key has for these marks, since an event is written `<lab:troponin_above_14>`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventTable:
    """The events of a cohort."""

    rows: pl.DataFrame
    """patient_id, admission_id, event; repeats within a visit are in it."""
    names: pl.DataFrame
    """event, kind, name: one row per event."""


@dataclass(kw_only=True, slots=True)
class EventRows:
    """Takes rows, a table or a part of one at a time, and counts those that it cannot use."""

    visits: pl.DataFrame
    """VISIT_COLUMNS of `data.cohorts.cohort`."""
    ledger: Ledger
    dated: bool
    """Whether `order` of the visits is in seconds since 1970, so that times can be compared with it."""
    files: list[InputFile] = field(default_factory=list)
    _parts: list[pl.DataFrame] = field(default_factory=list)
    _names: list[pl.DataFrame] = field(default_factory=list)
    _following: pl.DataFrame | None = None
    """Of each visit when the next one begins."""

    def add(self, kind: str, rows: pl.DataFrame) -> None:
        """`rows`: patient_id, admission_id, key (which event of the `kind` it is), name (in words), and `time` where
        the source knows it. Rows without one of the first four are counted, and so are those of a time after the
        patient's next visit began: they may tell what is to be predicted."""
        placed = rows.drop_nulls(KEY)
        self.ledger.drop("events", f"{kind} without a patient or visit", rows.height - placed.height)
        name = pl.col("name").str.strip_chars().str.slice(0, _LONGEST_NAME)
        cleaned = placed.with_columns(name, key=_short_keys(placed["key"]))
        named = cleaned.filter((pl.col("key") != "") & (pl.col("name") != ""))
        self.ledger.drop("events", f"{kind} without a code or a name", cleaned.height - named.height)
        if self.dated and "time" in named.columns:
            named = self._in_time(named, kind)
        events = named.with_columns(event=pl.concat_str(pl.lit(f"{kind}:"), "key"))
        self._names.append(events.group_by("event", "name").agg(rows=pl.len()).with_columns(kind=pl.lit(kind)))
        self._parts.append(self._different(events, kind))

    def _in_time(self, rows: pl.DataFrame, kind: str) -> pl.DataFrame:
        if self._following is None:
            self._following = next_visits(self.visits).select(*KEY, limit="next_order")
        known = rows.join(self._following, on=KEY, how="left", maintain_order="left")
        late = (pl.col("time").dt.epoch("s") > pl.col("limit")).fill_null(False)
        in_time = known.filter(~late).drop("limit")
        self.ledger.drop("events", f"{kind} of after the next visit began", known.height - in_time.height)
        return in_time

    def _different(self, events: pl.DataFrame, kind: str) -> pl.DataFrame:
        """Each event of a visit once: a table may name the same one a thousand times."""
        unique = events.select(*KEY, "event").unique()
        self.ledger.drop("events", "repeated in its visit", events.height - unique.height)
        return unique

    def table(self) -> EventTable:
        """All that was taken. Of several names of an event the most frequent stands for it, of equals the first by the
        alphabet."""
        schema = {**dict.fromkeys(KEY, pl.String()), "event": pl.String()}
        rows = pl.concat([pl.DataFrame(schema=schema), *self._parts])
        named = {"event": pl.String(), "name": pl.String(), "rows": pl.UInt32(), "kind": pl.String()}
        names = pl.concat([pl.DataFrame(schema=named), *(part.cast({"rows": pl.UInt32()}) for part in self._names)])
        counts = names.group_by("event", "kind", "name").agg(pl.col("rows").sum())
        best = counts.sort("event", "rows", "name", descending=[False, True, False])
        return EventTable(
            rows=rows, names=best.unique("event", keep="first", maintain_order=True).select("event", "kind", "name")
        )


def _short_keys(keys: pl.Series) -> pl.Series:
    """`keys` as a token may hold them. One longer than _LONGEST_KEY ends with a digest of all of it: two that differ
    only behind the cut stay two events."""
    different = keys.drop_nulls().unique()
    spelled = [as_key(text) for text in different]
    whole = keys.replace_strict(different, spelled, default=None, return_dtype=pl.String)
    long = whole.filter(whole.str.len_chars() > _LONGEST_KEY).unique()
    if long.is_empty():
        return whole
    digests = [hashlib.sha256(text.encode()).hexdigest()[:_DIGEST] for text in long]
    ends = pl.Series([f"~{digest}" for digest in digests])
    return whole.replace(long, long.str.slice(0, _LONGEST_KEY - _DIGEST - 1) + ends)


def as_key(text: str) -> str:
    """How a token spells a text."""
    for mark, word in _COMPARISONS.items():
        text = text.replace(mark, word)
    return re.sub(r"\s+", "_", text.strip())


def plain_name(text: str) -> str:
    """One line of words in the case that is read best: what is in capitals throughout becomes small."""
    words = re.sub(r"\s+", " ", text).strip()
    return words.lower() if words.isupper() else words


def names_of(table: pl.DataFrame, keys: Sequence[str], name: str) -> pl.DataFrame:
    """`keys` and `name` of a table of names, one row for each key whatever the order of the rows."""
    return table.select(*keys, name).drop_nulls().sort(pl.all()).unique(keys, keep="first", maintain_order=True)
