"""CSV files in pieces: the same rows as a loop over the lines, however the pieces are cut."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.table_files import csv_stream
from data.table_files.csv_stream import CsvStream
from mera.system.errors import UserError

CELLS = st.lists(st.text("abé 1\"'", max_size=4), min_size=0, max_size=5)
HEADER = ["first", "second", "third"]


def by_loop(lines, separator):
    """Rows of `second` and `first`, and how many lines were blank, short and long."""
    rows, blank, short, long = [], 0, 0, 0
    for line in lines:
        cells = line.split(separator)
        if not line:
            blank += 1
        elif len(cells) > len(HEADER):
            long += 1
        elif cells != HEADER:
            short += len(cells) < len(HEADER)
            padded = [*cells, None, None, None]
            rows.append((padded[1], padded[0]))
    return rows, blank, short, long


def without_quotes(cell):
    cell = (cell or "").strip()
    return (cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell).strip()


@given(
    st.lists(CELLS, max_size=20),
    st.sampled_from("|;"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]),
    st.integers(1, 90),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_pieces_are_the_lines(tmp_path, rows, separator, encoding, size):
    lines = [separator.join(cells) for cells in rows] + [separator.join(["é", "y", "z"])]
    expected, blank, short, long = by_loop(lines, separator)
    path = tmp_path / "t.txt"
    path.write_bytes("\n".join([separator.join(HEADER), *lines]).encode(encoding))
    before = csv_stream.CHUNK
    csv_stream.CHUNK = size
    try:
        stream = CsvStream(path, HEADER, None if encoding != "utf-16-le" or len(lines) > 8 else encoding)
        table = pl.concat(stream.pieces({"two": "second", "one": "first"}))
    finally:
        csv_stream.CHUNK = before
    assert [tuple((cell or "").strip() for cell in row) for row in table.iter_rows()] == [
        tuple(map(without_quotes, row)) for row in expected
    ]
    assert (stream.num_rows, stream.num_blank, stream.num_short, stream.num_long) == (len(expected), blank, short, long)


def test_a_binary_file_is_no_table(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError, match=r"has no column second; its first line does not look like names of columns"):
        list(CsvStream(path, HEADER).pieces({"two": "second"}))
