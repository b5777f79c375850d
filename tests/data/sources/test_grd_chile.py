"""Chile's GRD: files written in all three forms, counted by hand."""

import gzip
import random
import zipfile

import grd_files as grd
import pytest
from prepare_case import EVEN, accounting, assert_adds_up, dropped, every_row, example_of, run, split_of

from data.sources import grd_chile
from data.table_files import csv_stream


def prepared(tmp_path, folder, *more, name="t"):
    (task,) = run("grd-chile", "--input", folder, "--output", tmp_path / name, *EVEN, *more)
    assert_adds_up(task)
    return task


def test_the_three_forms_say_the_same(tmp_path, capsys):
    rows = {year: grd.patients(year, 8, first=100 * year) for year in grd.FORMS}
    for year in grd.FORMS:
        grd.write(tmp_path / "grd", year, rows[year])
    task = prepared(tmp_path, tmp_path / "grd")
    assert task.info["options"]["encodings"] == {
        "GRD_PUBLICO_2019.txt": "utf-8",
        "GRD_PUBLICO_2020.txt": "utf-8",
        "GRD_PUBLICO_2021.txt": "utf-8",
        "GRD_PUBLICO_2022.txt": "utf-16",
        "GRD_PUBLICO_2023.txt": "utf-16",
        "GRD_PUBLICO_2024.txt": "utf-8",
    }
    assert "GRD_PUBLICO_2022.txt utf-16, GRD_PUBLICO_2023.txt utf-16" in " ".join(capsys.readouterr().out.split())
    assert task.info["ontology"] == "icd10who"
    assert accounting(task)["visits"] == {"read": 96, "added": {}, "used": 96, "dropped": {}}
    assert accounting(task)["diagnoses"]["read"] == 3 * 96
    assert len(task.info["inputs"]) == 6
    one_form = {year: grd.write(tmp_path / "same", year, rows[year], ";", "utf-8", line_end="\n") for year in rows}
    assert len(one_form) == 6
    assert every_row(prepared(tmp_path, tmp_path / "same", name="u")) == every_row(task)


def test_ids_link_within_their_years_only(tmp_path):
    for year in grd.FORMS:
        own = [grd.row(year, "7", f"{year}-03-0{number + 1}", [code]) for number, code in enumerate(grd.CODES[:2])]
        grd.write(tmp_path / "grd", year, own + grd.patients(year, 6, first=1000 * year))
    task = prepared(tmp_path, tmp_path / "grd", "--candidates", "all")
    before, after = example_of(task, "19-7"), example_of(task, "21-7")
    assert [visit["codes"] for visit in before["history"]] == [["I10"], ["E11.9"], ["I10"]]
    assert [visit["days_before"] for visit in before["history"]] == [367, 366, 1]
    assert len(after["history"]) == 7
    assert "7" not in split_of(task)


def test_a_year_across_the_border_goes_by_its_discharge(tmp_path):
    rows = [
        grd.row(2021, "7", "2020-12-28", ["I10"], discharged="2021-01-03"),
        grd.row(2021, "7", "2021-05-01", ["N18.5"]),
    ]
    grd.write(tmp_path / "grd", 2021, rows + grd.patients(2021, 8))
    assert example_of(prepared(tmp_path, tmp_path / "grd"), "21-7")["history"] == [
        {"codes": ["I10"], "days_before": 124}
    ]


def test_grd_counts_every_trouble(tmp_path):
    trouble = [
        grd.row(2024, "7", "2024-02-01", ["I10", "", "i10", "E119", "NOCODE"], sex="HOMBRE"),
        grd.row(2024, "7", "2024-02-01", ["I10", "", "i10", "E119", "NOCODE"], sex="HOMBRE"),  # listed twice
        grd.row(2024, "7", "2024-02-01", ["K80.2"], sex="HOMBRE"),  # another of the same day
        grd.row(2024, "7", "2024-03-01", ["J18.9"], sex="HOMBRE", ending="FALLECIDO", discharged="2024-03-09"),
        grd.row(2024, "7", "2024-04-01", ["H26.9"], sex="HOMBRE"),  # after death
        grd.row(2024, "DESCONOCIDO", "2024-04-01", ["H26.9"]),
        grd.row(2024, "Sin información", "2024-04-01", ["H26.9"]),
        grd.row(2024, "0", "2024-04-01", ["H26.9", "I10"]),
        grd.row(2024, "8", "", ["H26.9"], discharged="2024-04-02"),
        grd.row(2024, "9", "2024-06-01", [], sex="DESCONOCIDO"),
        [],
        [*grd.row(2024, "10", "2024-06-01", ["I10"]), "one", "too many"],
        grd.row(2024, "11", "2024-06-01", ["I10"])[:9],
        grd.row(2024, "11", "2024-07-01", ["I10"], birth="1890-01-01"),
        grd.header(2024),
    ]
    grd.write(tmp_path / "grd", 2024, trouble + grd.patients(2024, 8))
    task = prepared(tmp_path, tmp_path / "grd")
    assert dropped(task, "visits") == {
        "without an admission date": 1,
        "without a patient id": 3,
        "discharge listed twice, all its diagnoses the same": 1,
        "death before admission": 1,
        "without a usable code": 1,
    }
    assert dropped(task, "diagnoses") == {
        "visit dropped": 1 + 1 + 1 + 2 + 4 + 1,
        "repeated in its visit": 1,
        "not a code of icd10who": 1,
    }
    assert dropped(task, "patients") == {"without a usable discharge": 1, "without a usable visit": 1}
    assert task.info["changed"] == {
        "age below 0 or above 120, left out": 1,
        "empty line, left out": 1,
        "row that repeats the header, left out": 1,
        "row with fewer fields than the header, the rest taken for empty": 1,
        "row with more fields than the header, left out": 1,
    }
    row = example_of(task, "21-7")
    assert row["targets"] == ["J18.9"]
    assert sorted(visit["codes"] for visit in row["history"]) == [["I10", "E11.9"], ["K80.2"]]
    assert (row["age"], row["sex"], row["text"]) == (63, "M", None)
    assert example_of(task, "21-11")["age"] is None


def test_cp1252_is_known_by_what_utf8_cannot_hold_and_damage_is_counted(tmp_path):
    rows = grd.patients(2024, 12)
    path = grd.write(tmp_path / "grd", 2024, rows)
    plain = prepared(tmp_path, tmp_path / "grd")
    stored = path.read_bytes().replace(b"MAPUCHE", b"MAPUCH\xc9", 3).replace(b"DOMICILIO", b"DOM\x81\x00IO", 2)
    path.write_bytes(stored)
    task = prepared(tmp_path, tmp_path / "grd", name="u")
    assert task.info["options"]["encodings"] == {"GRD_PUBLICO_2024.txt": "cp1252"}
    assert task.info["changed"] == {"character of GRD_PUBLICO_2024.txt that is none in its encoding": 4}
    assert every_row(task) == every_row(plain)


def test_packed_files_pieces_and_the_order_of_rows_change_nothing(tmp_path, monkeypatch):
    rows = grd.patients(2022, 40)
    rows += [grd.row(2022, "100", "2022-02-05", [code]) for code in grd.CODES]
    whole = prepared(tmp_path, grd.write(tmp_path / "a", 2022, rows))
    shuffled = random.Random(0).sample(rows, len(rows))
    plain = grd.write(tmp_path / "b", 2022, shuffled, encoding="utf-16-le")
    packed = tmp_path / "c" / "GRD_PUBLICO_2022.txt.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(plain, plain.name)
    monkeypatch.setattr(csv_stream, "CHUNK", 1001)
    monkeypatch.setattr(grd_chile, "_VISITS_AT_A_TIME", 7)
    for number, source in enumerate((plain, packed.parent, tmp_path / "d.zip")):
        assert every_row(prepared(tmp_path, source, name=f"s{number}")) == every_row(whole)


@pytest.mark.parametrize("seed", range(3))
def test_discharges_of_one_admission_day_stand_in_the_order_of_their_ends_without_repeats(tmp_path, seed):
    rows = [
        grd.row(2021, "7", "2021-02-01", ["I10"], discharged="2021-02-05"),
        grd.row(2021, "7", "2021-02-01", ["E11.9"], discharged="2021-02-03"),
        grd.row(2021, "7", "2021-02-01", ["N18.5"], discharged=""),
        grd.row(2021, "7", "2021-02-01", ["I10"], discharged="2021-02-05"),
        grd.row(2021, "7", "2021-03-01", ["K80.2"]),
        grd.row(2021, "6", "2021-02-01", ["I10"], discharged="2021-02-05"),  # another patient's is no repeat
        grd.row(2021, "6", "2021-04-01", ["I10"]),
        *grd.patients(2021, 6),
    ]
    random.Random(seed).shuffle(rows)
    grd.write(tmp_path / "grd", 2021, rows)
    task = prepared(tmp_path, tmp_path / "grd", "--candidates", "all")
    history = example_of(task, "21-7")["history"]
    assert [visit["codes"] for visit in history] == [["E11.9"], ["I10"], ["N18.5"]]
    assert dropped(task, "visits") == {"discharge listed twice, all its diagnoses the same": 1}
    assert [visit["codes"] for visit in example_of(task, "21-6")["history"]] == [["I10"]]


def test_stays_that_overlap_are_counted(tmp_path):
    rows = [
        grd.row(2021, "7", "2021-05-01", ["I10"], discharged="2021-05-20"),
        grd.row(2021, "7", "2021-05-10", ["N18.5"], discharged="2021-05-12"),
        grd.row(2021, "7", "2021-05-12", ["E11.9"]),
    ]
    task = prepared(tmp_path, grd.write(tmp_path / "grd", 2021, rows + grd.patients(2021, 8)))
    assert task.info["changed"] == {"discharge after the patient's next admission, which has it in its history": 1}


def test_primary_is_the_first_column_or_nothing(tmp_path):
    rows = grd.patients(2023, 8)
    rows += [
        grd.row(2023, "7", f"2023-0{month}-01", ["", "I10"] if month == 2 else ["N18.5", "I10"]) for month in (1, 2, 3)
    ]
    grd.write(tmp_path / "grd", 2023, rows)
    row = example_of(prepared(tmp_path, tmp_path / "grd", "--primary-only"), "21-7")
    assert row["targets"] == ["N18.5"]
    assert [visit["codes"] for visit in row["history"]] == [["N18.5", "I10"], ["I10"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(b"CIP_ENCRIPTADO", b"CIP"), "has no column cip_encriptado"),
        (
            lambda text: text.replace(b"ETNIA", b"ID_BENEFICIARIO"),
            "has both columns cip_encriptado and id_beneficiario",
        ),
        (lambda text: text.split(b"\n")[0] + b"\n", "has a header but no rows"),
        (lambda text: b"", "is empty, or has an empty first line"),
        (lambda text: gzip.compress(text)[:-20], "is cut off"),
        (lambda text: text.replace(b"MUJER", b"M").replace(b"HOMBRE", b"H"), "do not say whether they mean F or M"),
    ],
)
def test_files_that_are_refused(tmp_path, change, message):
    path = grd.write(tmp_path / "grd", 2019, grd.patients(2019, 8))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, path)


def test_an_encoding_that_is_named_is_used(tmp_path):
    path = grd.write(tmp_path / "grd", 2019, grd.patients(2019, 8), encoding="utf-16")
    with pytest.raises(ValueError, match="is not text in utf-8"):
        prepared(tmp_path, path, "--encoding", "utf-8")
    with pytest.raises(ValueError, match="--encoding must be one that Python knows"):
        prepared(tmp_path, path, "--encoding", "nonsense")
    prepared(tmp_path, path, "--encoding", "utf-16", name="u")
    with pytest.raises(FileNotFoundError, match=r"holds no \.txt or \.csv file"):
        prepared(tmp_path, tmp_path, name="v")
