"""JSON, and lists in columns, as other columns are read."""

import gzip
import json

import polars as pl
import pytest

from data.table_files.columnar import records_in
from data.table_files.text_tables import column_names, read_text_table

ROWS = [
    {"Id": 7, "note": "seen, and well", "codes": ["I10", "E11.9"], "more": {"a": 1}},
    {"Id": 8, "note": None, "codes": [], "more": None},
]


def written(path):
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    packed = path.suffix == ".gz"
    kind = path.suffixes[-2] if packed else path.suffix
    if kind == ".parquet":
        pl.DataFrame(ROWS).write_parquet(path)
    else:
        text = json.dumps(ROWS).encode() if kind == ".json" else lines
        path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.jsonl.gz", "t.json.gz", "t.parquet"])
def test_the_same_rows_whatever_the_file(tmp_path, name):
    path = written(tmp_path / name)
    assert column_names(path, ()) == ["id", "note", "codes", "more"]
    assert records_in(path) == ["more"]
    table = read_text_table(path, {"ids": "ID", "text": "note", "code": "codes"})
    assert table.rows.rows() == [("7", "seen, and well", "I10;E11.9"), ("8", None, None)]
    assert table.stored_as_numbers == {"ids"}
    with pytest.raises(ValueError, match="column more holds Struct"):
        read_text_table(path, {"more": "more"})
    with pytest.raises(ValueError, match="has no column day; found id, note, codes, more"):
        read_text_table(path, {"day": "day"})


@pytest.mark.parametrize(
    ("name", "text"), [("t.jsonl", b'{"id": "Smith"\n'), ("t.json", b"[1, 2"), ("t.json.gz", b"x")]
)
def test_what_is_no_json_is_said_without_a_value(tmp_path, name, text):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(ValueError, match="is no JSON with") as refused:
        read_text_table(tmp_path / name, {"id": "id"})
    assert "Smith" not in str(refused.value)


def test_a_file_in_utf8_is_not_read_as_windows(tmp_path):
    """Its letters would be others, and nobody would see it."""
    path = tmp_path / "t.csv"
    path.write_text("id;note\n1;Lungenentzündung\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is in UTF-8, and read as cp1252 its letters would be others"):
        read_text_table(path, {"note": "note"}, encoding="cp1252")
    path.write_text("id;note\n1;Lungenentzündung\n", encoding="cp1252")
    assert read_text_table(path, {"note": "note"}, encoding="cp1252").rows["note"].to_list() == ["Lungenentzündung"]
    path.write_text("id;note\n1;ascii\n")
    assert read_text_table(path, {"note": "note"}, encoding="cp1252").rows.height == 1
