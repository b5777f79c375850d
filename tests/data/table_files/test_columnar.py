"""JSON, lists in columns, and files of Stata, SAS and SPSS, as other columns are read."""

import datetime
import gzip
import json

import pandas as pd
import polars as pl
import pyreadstat
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


WRITE = {
    "dta": pyreadstat.write_dta,
    "xpt": pyreadstat.write_xport,
    "sav": pyreadstat.write_sav,
    "por": pyreadstat.write_por,
}
STAYS = {
    "PID": [7.0, 8.0, 9.0],
    "admitted": [datetime.datetime(2020, 1, 31, 8, 30), None, datetime.datetime(2021, 5, 2)],
    "born": [datetime.date(1950, 2, 1), datetime.date(1960, 3, 2), None],
    "sex": [1, 2, 1],
    "icd": ["I10", "E11.9", None],
    "days": [1.5, None, 3.0],
}
SEXES = {1: "Männlich", 2: "Weiblich"}


def stays(folder, kind, **further):
    path = folder / f"stays.{kind}"
    WRITE[kind](pd.DataFrame(STAYS), str(path), **further)
    return path


@pytest.mark.parametrize("kind", sorted(WRITE))
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_statistical_programs_are_read_with_their_types(tmp_path, kind, packed):
    path = stays(tmp_path, kind)
    if packed:
        path = path.with_suffix(f".{kind}.gz")
        path.write_bytes(gzip.compress((tmp_path / f"stays.{kind}").read_bytes()))
    assert column_names(path, ()) == ["pid", "admitted", "born", "sex", "icd", "days"]
    assert records_in(path) == []
    table = read_text_table(path, {"id": "pid", "time": "Admitted", "birth": "born", "code": "icd", "days": "days"})
    assert table.rows.to_dict(as_series=False) == {
        "id": ["7.0", "8.0", "9.0"],
        "time": STAYS["admitted"],
        "birth": [datetime.datetime(1950, 2, 1), datetime.datetime(1960, 3, 2), None],
        "code": STAYS["icd"],
        "days": ["1.5", None, "3.0"],
    }
    assert table.stored_as_numbers == {"id", "days"}
    with pytest.raises(ValueError, match="has no column day; found pid, admitted"):
        read_text_table(path, {"day": "day"})


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ({"sex": SEXES}, ["Männlich", "Weiblich", "Männlich"]),
        ({"sex": {1: "Männlich"}}, ["1.0", "2.0", "1.0"]),  # half a label is none: 2 would have lost its meaning
        ({"icd": {"I10": "Hypertension", "E11.9": "Diabetes"}}, ["1.0", "2.0", "1.0"]),
    ],
)
def test_labels_are_read_where_every_number_has_one(tmp_path, labels, read):
    table = read_text_table(stays(tmp_path, "sav", variable_value_labels=labels), {"sex": "sex", "code": "icd"})
    assert (table.rows["sex"].to_list(), table.rows["code"].to_list()) == (read, STAYS["icd"])


def test_labels_of_codes_places_and_ages_say_less_than_their_numbers(tmp_path):
    columns = {"icd": [428.0, 250.0], "rank": [1, 2], "age": [0, 95]}
    labels = {
        "icd": {428.0: "Heart failure", 250.0: "Diabetes"},
        "rank": {1: "principal", 2: "secondary"},
        "age": {0: "under 1", 95: "95 and older"},
    }
    pyreadstat.write_sav(pd.DataFrame(columns), str(tmp_path / "t.sav"), variable_value_labels=labels)
    table = read_text_table(tmp_path / "t.sav", {name: name for name in columns})
    assert {name: table.rows[name].cast(pl.Float64).to_list() for name in columns} == columns
    assert table.stored_as_numbers == set(columns)


def test_what_spss_calls_missing_is_missing(tmp_path):
    path = stays(tmp_path, "sav", missing_ranges={"days": [3.0]})
    assert read_text_table(path, {"days": "days"}).rows["days"].to_list() == ["1.5", None, None]


@pytest.mark.parametrize(("kind", "called"), [("dta", "Stata"), ("sav", "SPSS"), ("sas7bdat", "SAS")])
@pytest.mark.parametrize("broken", ["cut off", "another"])
def test_a_damaged_file_is_said_to_be_so(tmp_path, kind, called, broken):
    path = tmp_path / f"stays.{kind}"
    whole = stays(tmp_path, kind if kind in WRITE else "sav").read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if broken == "cut off" else b"Smith" * 999)
    with pytest.raises(ValueError, match=f"{path.name} is no {called} file that can be read"):
        read_text_table(path, {"code": "icd"})


def test_times_of_day_are_texts_and_lengths_of_time_are_none(tmp_path):
    path = tmp_path / "t.parquet"
    rows = {"at": [datetime.time(8, 30)], "stay": [datetime.timedelta(hours=5)], "icd": ["I10"]}
    pl.DataFrame(rows).write_parquet(path)
    assert records_in(path) == ["stay"]
    assert read_text_table(path, {"at": "at"}).rows["at"][0].startswith("08:30:00")
    with pytest.raises(ValueError, match="column stay holds Duration"):
        read_text_table(path, {"stay": "stay"})


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
