"""The layout of a CSV: separators, quotes, and a count of records of its own."""

import bz2
import csv
import gzip
import io
import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.ledger import Ledger
from data.table_files import csv_layout
from data.table_files.columns import column, read_columns
from data.table_files.csv_layout import find_separator, inspect_csv
from data.table_files.meanings import Meaning
from mera.system.errors import UserError

WANTED = [column("a", Meaning.WORD), column("b", Meaning.WORD)]


def read(tmp_path, text, **options):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ledger = Ledger()
    return read_columns(path, WANTED, ledger, **options).rows.rows(), ledger.record()["changed"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_by_the_header(tmp_path, separator):
    rows, _ = read(tmp_path, f"a{separator}x{separator}b\n1{separator}2{separator}3\n")
    assert rows == [("1", "3")]


def test_a_comma_in_a_name_does_not_mislead():
    assert find_separator(b"a;b,c;d", {"a", "d"}) == ";"
    assert find_separator(b"a,b", {"a", "b"}, preferred="\t") == ","


def test_marks_of_other_systems(tmp_path):
    expected = [("1", "ü"), ("2", None)]
    text = "a,b\n1,ü\n2,\n"
    for stored in (
        text.encode("utf-8-sig"),
        text.encode("utf-16"),
        text.replace("\n", "\r\n").encode(),
        text.replace("\n", "\r").encode(),
        ('"' + text.replace(",", '","').replace("\n", '"\n"')).removesuffix('"').encode(),
    ):
        assert read(tmp_path, stored)[0] == expected


def test_packed_files(tmp_path):
    stored = b"a,b\n1,2\n3,4\n"
    for packed in (gzip.compress(stored), bz2.compress(stored), lzma.compress(stored)):
        assert read(tmp_path, packed)[0] == [("1", "2"), ("3", "4")]
        with pytest.raises(UserError, match=r"cut off|damaged"):
            read(tmp_path, packed[:-10])
    with pytest.raises(UserError, match="packed by zstd, which is not read here"):
        read(tmp_path, b"\x28\xb5\x2f\xfd" + stored)


def test_tables_written_one_behind_the_other(tmp_path):
    part = "a,b\n1,2\n".encode("utf-8-sig")
    rows, changed = read(tmp_path, part + part)
    assert rows == [("1", "2"), ("1", "2")]
    assert changed == {"row that repeats the header or underlines it, left out": 1}


def test_a_spreadsheet_may_name_its_separator(tmp_path):
    assert read(tmp_path, "sep=;\r\na;b\r\n1,5;2\r\n")[0] == [("1,5", "2")]


def test_stray_quotes_of_an_unquoted_export_are_text(tmp_path):
    text = 'a,c,b\n1,scar 5" long,x\n2,"late effect,y\n3,plain,"z"\n4,mass",w\n'
    rows, changed = read(tmp_path, text)
    assert rows == [("1", "x"), ("2", "y"), ("3", "z"), ("4", "w")]
    assert changed == {"quote that encloses nothing, read as it stands": 5}


def test_quotes_that_swallow_rows_do_not(tmp_path):
    """Opened in row 2 and closed in row 4, the quotes are right by RFC 4180, and two rows would be gone."""
    rows, _ = read(tmp_path, 'a,b,c\n1,x,fine\n2,y,"late effect\n3,z,fine\n4,w,5 cm mass"\n')
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,"x, y\n2,z\n', "line 2: a quote is opened or closed wrongly"),
        ('a,b\n1,"x, y" z\n2,z\n', "line 2: a quote is opened or closed wrongly"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 fields where the first line has 2"),
        ('a,b\n1,"x\ny"\n2,3,4\n', "record 3: 3 fields where the first line has 2"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_short_rows_and_empty_lines_are_counted(tmp_path):
    rows, changed = read(tmp_path, "a,b\n\n1,2\n3\n\r\n4,5\n\n")
    assert rows == [("1", "2"), ("3", None), ("4", "5")]
    assert changed == {
        "empty line, left out": 3,
        "row with fewer fields than the header, the rest taken for empty": 1,
    }


def test_a_file_without_a_header_shows_no_row(tmp_path):
    for first in ("7,Zyxquander,HIV,I10", "Zyxquander,female,HIV"):
        with pytest.raises(ValueError, match="has no column a, b; its first line does not look like names") as caught:
            read(tmp_path, f"{first}\n" * 3)
        assert "yxquander" not in str(caught.value).lower()
    with pytest.raises(ValueError, match="has no column b; found a, bb"):
        read(tmp_path, "a,bb\nx,y\n")
    with pytest.raises(ValueError, match="has no column a, b; found pid, icd"):
        read(tmp_path, "pid,icd\nSmith,I10\n")
    with pytest.raises(ValueError, match="has several columns called a"):
        read(tmp_path, "a,b,A\n1,2,3\n")


cells = st.text(alphabet='ab1",;\n\r\t |ü', max_size=6)


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8),
    separator=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    chunk=st.sampled_from([3, 7, 1 << 24]),
)
def test_records_are_those_that_a_csv_writer_wrote(tmp_path_factory, rows, separator, quoting, chunk):
    """Whatever the size of the pieces that the text is looked at in."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n").writerows([("h", "i", "j"), *rows])
    stored = text.getvalue().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_layout, "CHUNK", chunk)
        layout = inspect_csv(tmp_path_factory.getbasetemp(), stored, separator)
    if layout.num_stray_quotes == 0:
        assert layout.num_records == len(rows) + 1
        assert not len(layout.blank)
        assert layout.num_short == 0


def test_chunks_see_what_one_look_sees(monkeypatch):
    text = ('a,b,c\n"x\n,y",1,2\n\n3,"",\n' * 40).encode()
    data = np.frombuffer(text, dtype=np.uint8)
    whole = csv_layout.line_records(data, ",", quoted=True)
    for chunk in (1, 2, 5, 64):
        monkeypatch.setattr(csv_layout, "CHUNK", chunk)
        pieces = csv_layout.line_records(data, ",", quoted=True)
        assert pieces.separators.tolist() == whole.separators.tolist()
        assert pieces.blank.tolist() == whole.blank.tolist()
        assert csv_layout._first_wrong_quote(data, ",") is None
