"""Examples as Arrow tables: built in batches, checked and fingerprinted by columns."""

import hashlib
import mmap
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from data.task_folder.features import TaskRow
from data.task_folder.task_info import OutsideCounts
from mera.system.errors import UserError

Hashes = dict[str, "hashlib._Hash"]
"""Leaf of a column (`history[].codes[]/text`) -> the sha256 of its values so far."""
BATCH_ROWS = 5_000
ROWS_AT_ONCE = 100_000
BATCH_CHARACTERS = 1 << 28
"""Arrow counts the bytes of a batch's strings in 31 bits, and a character has up to four."""


def rows_to_table(rows: Iterable[TaskRow], schema: pa.Schema, on_disk: bool = False) -> pa.Table:
    """A table with the columns of `schema`, from rows with its names as keys, taken a batch at a time.

    With `on_disk` the table lies in a file of TMPDIR and is mapped into memory. The file has no name: nobody else can
    open it, and it is gone when the process is, however that ends.
    """
    batches = (
        pa.RecordBatch.from_arrays([_column(batch, field) for field in schema], schema=schema)
        for batch in _batches(rows)
    )
    if not on_disk:
        return pa.Table.from_batches(batches, schema=schema)
    with tempfile.TemporaryFile(prefix="mera-task-") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.flush()
        mapped = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return pa.ipc.open_stream(pa.BufferReader(mapped)).read_all()


def _column(batch: Sequence[Mapping[str, object]], field: pa.Field) -> pa.Array:
    return pa.array([row[field.name] for row in batch], field.type)


def codes_of_rows(tables: Iterable[pa.Table]) -> set[str]:
    """Every code among the targets and in the histories."""
    columns = (
        column
        for table in tables
        for column in (table["targets"], pc.struct_field(pc.list_flatten(table["history"]), "codes"))
    )
    return {code for column in columns for code in pc.unique(pc.list_flatten(column)).to_pylist()}


def check_codes(name: str, table: pa.Table, codes: set[str]) -> None:
    """Raise UserError where split `name` has an example without targets, or a code that is not among `codes`: the
    row is named by its number, not by what it holds.
    """
    if codes_of_rows([table]) - codes:
        raise UserError(
            f"row {_first_row_outside(table, codes)} of the {name} split holds a code that is not among the "
            "candidates, nor among the other codes of the task"
        )
    if pc.min(pc.list_value_length(table["targets"])).as_py() == 0:
        raise UserError(f"the {name} split holds an example without target codes")


def _first_row_outside(table: pa.Table, codes: set[str]) -> int:
    """The number, from 1, of the first row with a code that is not among `codes`."""
    rows = zip(table["targets"].to_pylist(), table["history"].to_pylist(), strict=True)
    return next(
        number
        for number, (targets, history) in enumerate(rows, start=1)
        if not codes.issuperset([*targets, *(code for visit in history or [] for code in visit["codes"])])
    )


def count_outside(table: pa.Table, candidates: Sequence[str]) -> OutsideCounts:
    """Targets of `table` that are no candidates, the examples that have one or more, and how many codes these are."""
    known = list(candidates)
    outside = [targets.filter(~pl.col("code").is_in(known)) for targets in _targets(table)]
    examples = sum(part["row"].n_unique() for part in outside)
    codes = {code for part in outside for code in part["code"].unique()}
    return {"examples": examples, "targets": sum(part.height for part in outside), "codes": len(codes)}


def num_without_target_among(table: pa.Table, candidates: Sequence[str]) -> int:
    """The examples that have no target among `candidates`."""
    known = list(candidates)
    having = sum(targets.filter(pl.col("code").is_in(known))["row"].n_unique() for targets in _targets(table))
    return int(table.num_rows) - having


def count_targets(table: pa.Table, codes: Sequence[str]) -> np.ndarray:
    """(C,) int64: the examples of `table` with each of `codes` among their targets."""
    counts: Counter[str] = Counter()
    for targets in _targets(table):
        counts.update(dict(targets.unique().group_by("code").len().iter_rows()))
    return np.array([counts[code] for code in codes], dtype=np.int64)


def _targets(table: pa.Table) -> Iterator[pl.DataFrame]:
    """`row` and `code` of each target, some rows of `table` at a time: of millions they would take a gigabyte."""
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        part = pl.DataFrame({"code": pl.from_arrow(table["targets"].slice(start, ROWS_AT_ONCE))})
        yield part.with_row_index("row").explode("code")


def digest_table(table: pa.Table) -> str:
    """sha256 of the values, the same however they are cut into chunks."""
    leaves: Hashes = {}
    for field in table.schema:
        for chunk in table[field.name].chunks:
            _digest(field.name, chunk, leaves)
    together = hashlib.sha256()
    for name in sorted(leaves):
        together.update(f"{name} {leaves[name].hexdigest()}\n".encode())
    return together.hexdigest()


def _digest(name: str, array: pa.Array, leaves: Hashes) -> None:
    """Feed `array`'s nulls, lengths and values each to the hash of their own name."""
    _feed(leaves, f"{name}/null", pc.is_null(array).cast(pa.uint8()).to_numpy(zero_copy_only=False))
    if pa.types.is_struct(array.type):
        for position, field in enumerate(array.type):
            _digest(f"{name}.{field.name}", array.field(position), leaves)
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
        _feed(leaves, f"{name}/length", lengths.to_numpy(zero_copy_only=False))
        _digest(f"{name}[]", array.flatten(), leaves)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        filled = pc.fill_null(array, "").cast(pa.large_string())
        _feed(leaves, f"{name}/length", pc.binary_length(filled).cast(pa.int64()).to_numpy(zero_copy_only=False))
        if len(filled):
            leaves.setdefault(f"{name}/text", hashlib.sha256()).update(_characters(filled))
    else:
        _feed(leaves, f"{name}/value", pc.fill_null(array, 0).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _characters(strings: pa.LargeStringArray) -> memoryview:
    """The UTF-8 of all strings one after the other, as Arrow holds them."""
    _, offsets, characters = strings.buffers()
    if characters is None:
        return memoryview(b"")
    places = np.frombuffer(offsets, dtype=np.int64)
    return memoryview(characters)[places[strings.offset] : places[strings.offset + len(strings)]]


def _feed(leaves: Hashes, name: str, values: np.ndarray) -> None:
    leaves.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(values).tobytes())


def _batches(rows: Iterable[TaskRow]) -> Iterator[list[TaskRow]]:
    batch: list[TaskRow] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(visit.get("text") or "") for visit in row["history"] or ()) + len(row["text"] or "")
        if len(batch) == BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
