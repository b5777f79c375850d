"""Tables of one export as one table: the diagnoses with the stays and the patients that they are of.

Databases keep a row of each thing once, and refer to it by its id; a table of one's own has everything in its rows. The
first file gives the rows, every further one at most one row to each of them.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.sources.shared.own_table.header_checks import refuse_codes_as_names, refuse_no_names
from data.table_files.columns import without_nothing
from data.table_files.ids import with_one_spelling
from data.table_files.text_tables import all_columns, read_text_table
from mera.system.errors import UserError

_LEAST_MATCH = 0.5
"""Share of the rows with a partner that one column finds and all common ones together do not, from which on they are
no ids of the same thing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Further:
    """A file to join, as the command line names it."""

    path: Path
    keys: tuple[tuple[str, str], ...] = ()
    """(column of what is joined so far, column of this file); none: the columns that both have."""

    @classmethod
    def parse(cls, word: str) -> "Further":
        """`stays.csv`, `stays.csv:stay_id`, `patients.csv:pid=id`, `stays.csv:clinic+stay=id`."""
        path, mark, columns = word.rpartition(":")
        if not mark or Path(word).is_file():
            return cls(path=Path(word))
        pairs = [part.strip().lower().partition("=") for part in columns.split("+")]
        if not all(left for left, _, _ in pairs):
            raise UserError(f"a file to join is FILE, FILE:COLUMN or FILE:COLUMN=ITS_COLUMN, got {word!r}")
        return cls(path=Path(path), keys=tuple((left.strip(), (right or left).strip()) for left, _, right in pairs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """What became of one further file."""

    name: str
    keys: tuple[str, ...]
    """As what is joined calls them."""
    num_found: int
    """Rows of the first file that have one here."""
    num_unused: int
    """Rows of this file that none of those has; they are left out."""
    renamed: dict[str, str]
    """Column of this file -> its name now, where the name was taken."""


def read_whole_table(
    path: str | Path, separator: str | None = None, encoding: str | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Every column as text, named in lower case, null where nothing is there; and `TextTable.changes`. Raises UserError
    where the first line holds no names or two have one name, and as `read_text_table`."""
    names, separator = all_columns(path, separator, encoding)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path} has several columns called {', '.join(twice)}; rename all but one")
    refuse_no_names(Path(path), names)
    table = read_text_table(path, {name: name for name in names}, separator=separator, encoding=encoding)
    rows = table.rows.select(_as_text(without_nothing(table.rows[name])) for name in names)
    refuse_codes_as_names(Path(path), rows)
    return rows, table.changes()


def join_tables(rows: pl.DataFrame, further: Further, other: pl.DataFrame) -> tuple[pl.DataFrame, Joined]:
    """`rows`, all of them and in their order, with the columns of `other`, the table of `further`.

    Raises UserError where they have no column to be joined by, a value there stands in several different rows of
    `other`, or no row finds a partner.
    """
    path, keys = further.path, further.keys or _common(rows, further.path, other)
    missing = [left for left, _ in keys if left not in rows.columns]
    if missing:
        raise UserError(f"the tables before {path} have no column {', '.join(missing)} to join it by")
    missing = [right for _, right in keys if right not in other.columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)} to be joined by")
    names = [f"\0{number}" for number in range(len(keys))]  # no column of a file is called so
    named = list(zip(names, keys, strict=True))
    left = rows.with_columns(_spelled(rows[own], f"column {own}", name) for name, (own, _) in named)
    right = other.with_columns(_spelled(other[its], f"{path}: column {its}", name) for name, (_, its) in named)
    num_unused = right.height - right.join(left, on=names, how="semi").height
    right = right.drop([its for _, its in keys]).unique(maintain_order=True)
    several = right.drop_nulls(names).group_by(names).len().filter(pl.col("len") > 1).height
    if several:
        raise UserError(
            f"{path}: {several:,} values of {' and '.join(its for _, its in keys)} stand in several different rows; a "
            f"file that is joined has one row for each: put the one with several first, or join by further columns"
        )
    prefix = path.name.split(".")[0].lower()
    while any(f"{prefix}.{name}" in rows.columns for name in right.columns):  # files of one name in two folders
        prefix += "'"
    taken = {name: f"{prefix}.{name}" for name in right.columns if name in rows.columns}
    num_found = left.join(right, on=names, how="semi").height
    if not num_found:
        raise UserError(
            f"{path}: no row has a partner there by {' and '.join(own for own, _ in keys)}; name the columns as "
            f"{path.name}:COLUMN, or {path.name}:COLUMN=ITS_COLUMN"
        )
    joined = left.join(right.rename(taken), on=names, how="left", maintain_order="left")
    record = Joined(
        name=path.name,
        keys=tuple(own for own, _ in keys),
        num_found=num_found,
        num_unused=num_unused,
        renamed=taken,
    )
    return joined.drop(names), record


def _common(rows: pl.DataFrame, path: Path, other: pl.DataFrame) -> list[tuple[str, str]]:
    """The columns that both have. Raises UserError where there is none, or one alone finds far more partners than all
    together, so that some of them are not about the same."""
    common = [name for name in other.columns if name in rows.columns]
    if not common:
        raise UserError(
            f"{path} has no column that the tables before have too; name them as {path.name}:COLUMN=ITS_COLUMN"
        )
    if len(common) > 1:
        together = rows.join(other.select(common).unique(), on=common, how="semi").height
        for name in common:
            if together < _LEAST_MATCH * rows.join(other, on=name, how="semi").height and other[name].is_unique().all():
                raise UserError(
                    f"{path} shares the columns {', '.join(common)} with the tables before, and they do not agree in "
                    f"all of them; say by which to join, as {path.name}:{name}"
                )
    return [(name, name) for name in common]


def _spelled(ids: pl.Series, place: str, name: str) -> pl.Series:
    return with_one_spelling(ids, are_numbers=False, place=place)[0].alias(name)


def _as_text(values: pl.Series) -> pl.Series:
    """Times that a file holds as such in the form of ISO."""
    if values.dtype != pl.Datetime:
        return values.cast(pl.String)
    return values.dt.strftime("%Y-%m-%d %H:%M:%S").str.strip_suffix(" 00:00:00")
