"""A table of the user's own."""

import polars as pl
import pytest

from data.codes.book.sources.book_part import TITLE, TOO_LONG, TWICE
from data.codes.book.sources.terms_table import (
    NO_CODE_OR_TERM,
    NO_LANGUAGE,
    RETIRED,
    UNKNOWN_CODE,
    read_terms_table,
    system_of_table,
)
from mera.system.errors import UserError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rows(part):
    return part.terms.select("code", "term", "language", "kind", "source").rows()


def test_codes_are_repaired_in_form_and_terms_in_spaces(tmp_path):
    path = write(tmp_path / "t.csv", "Code,TERM\ne119, sugar   diabetes \nI10,high blood pressure\n")
    part = read_terms_table(path, "icd10cm")
    assert rows(part) == [
        ("E11.9", "sugar diabetes", "en", "own", "own t.csv"),
        ("I10", "high blood pressure", "en", "own", "own t.csv"),
    ]
    assert part.record()["kind"] == "own t.csv"
    assert len(part.record()["sha256"]) == 64


def test_a_table_may_call_its_columns_otherwise(tmp_path):
    path = write(tmp_path / "t.csv", "Código;nivel;descripción\nE119;3;diabetes azucarada\n")
    part = read_terms_table(path, "icd10cm", "es", "código", "descripción")
    assert [row[:3] for row in rows(part)] == [("E11.9", "diabetes azucarada", "es")]
    assert system_of_table(path, "código", "descripción") == "icd10cm"
    with pytest.raises(UserError, match=r"t\.csv has no columns code and term; name its own with --code and --term"):
        read_terms_table(path, "icd10cm", "es")


def test_a_term_in_another_language_is_a_translation_of_the_title(tmp_path):
    lines = [
        "E11.9,diabetes   azucarada,es",
        "E11.9,sugar diabetes,en",
        "I10,hipertensión,es",
        f"I10,{'x' * 201},es",
        "Z22.50,portador,es",  # retired: the title above it is of something wider
    ]
    part = read_terms_table(write(tmp_path / "t.csv", "\n".join(["code,term,language", *lines])), "icd10cm")
    assert part.translations.rows() == [
        ("Type 2 diabetes mellitus without complications", "diabetes azucarada", "es", "own t.csv"),
        ("Essential (primary) hypertension", "hipertensión", "es", "own t.csv"),
    ]


def test_everything_left_out_is_counted(tmp_path):
    path = write(
        tmp_path / "t.tsv",
        "code\tterm\tlanguage\n"
        "E11.9\tdiabetes azucarada\tES\n"
        "E11.9\tDiabetes Azucarada\tes\n"
        "E11.9\tsugar\t\n"
        "E11.9\tsugar\tspanish\n"
        f"I10\t{'x' * 2000}\ten\n"
        "I10\tEssential (primary) hypertension\ten\n"
        "Q99.Z\tnothing\ten\n"
        "\tno code\ten\n"
        "I10\t\ten\n"
        "Z22.50\tcarrier\ten\n",
    )
    part = read_terms_table(path, "icd10cm", "fr")
    assert [row[:3] for row in rows(part)] == [
        ("E11.9", "diabetes azucarada", "es"),
        ("E11.9", "sugar", "fr"),
        ("Z22", "carrier", "en"),
    ]
    assert part.dropped == {
        NO_CODE_OR_TERM: 2,
        NO_LANGUAGE: 1,
        UNKNOWN_CODE: 1,
        TOO_LONG: 1,
        TWICE: 1,
        TITLE: 1,
    }
    assert part.changed[RETIRED] == 1
    assert sum(part.dropped.values()) + part.terms.height == 10


def test_parquet_and_a_semicolon(tmp_path):
    frame = pl.DataFrame({"code": ["428.0", "250.00"], "term": ["weak heart", "sugar"]})
    frame.write_parquet(tmp_path / "t.parquet")
    write(tmp_path / "t.csv", "code;term\n428.0;weak heart\n250.00;sugar\n")
    for name in ("t.parquet", "t.csv"):
        assert [row[:2] for row in rows(read_terms_table(tmp_path / name, "icd9cm"))] == [
            ("428.0", "weak heart"),
            ("250.00", "sugar"),
        ]


@pytest.mark.parametrize(
    ("codes", "system"),
    [(("E11.9", "I10"), "icd10cm"), (("428.0", "250.00"), "icd9cm"), (("E14", "M79.79", "A09.9"), "icd10who")],
)
def test_the_edition_is_that_of_the_codes(tmp_path, codes, system):
    path = write(tmp_path / "t.csv", "code,term\n" + "".join(f"{code},x {code}\n" for code in codes))
    assert system_of_table(path) == system


@pytest.mark.parametrize(
    ("text", "system", "message"),
    [
        ("code,name\nI10,a\n", "icd10cm", r"t.csv has no column term; found code, name. Is it the right file\?"),
        ("code,term\n", "icd10cm", "t.csv has a header but no rows"),
        ("code,term\n428.0,a\n250.00,b\n", "icd10cm", r"none of 2 values is a code of .*is it --system icd9cm\?"),
        ("code,term\nxyz,a\n", "icd10cm", "none of 1 values is a code of .*; they look like aaa"),
        ("code,term\nI10,\n", "icd10cm", "none of its 1 rows can be used; 1 times: row without a code or"),
        ("code,term\nI10;E11.9,a\nI10;I50.9,b\n", "icd10cm", "they look like lists of codes; write one code in a row"),
        ("code,term\n389,a\n8845,b\n4019.0,c\n25000.0,d\n", "icd9cm", "were stored as numbers and lost their zeros"),
        ("code,term\n1,\x00\n", "icd9cm", "t.csv is not a CSV: it holds binary data"),
    ],
)
def test_bad_tables(tmp_path, text, system, message):
    with pytest.raises(UserError, match=message):
        read_terms_table(write(tmp_path / "t.csv", text), system)


def test_a_language_is_a_code():
    with pytest.raises(UserError, match=r"--language must be a code of two or three small letters, .*'Spanish'"):
        read_terms_table("t.csv", "icd10cm", "Spanish")


def test_codes_stored_as_numbers_are_refused(tmp_path):
    pl.DataFrame({"code": [428.0, 250.0], "term": ["a", "b"]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="column code is stored as numbers, so codes have lost their zeros"):
        read_terms_table(tmp_path / "t.parquet", "icd9cm")
