"""Which XML files of a zip are those of ICD-10-CM, and what is wrong with one that has none."""

import zipfile

import pytest

from data.codes.book.icd10cm.icd10cm_files import year_files
from mera.system.errors import UserError


def write_zip(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, "<a>text</a>" * 50)
    return path


def test_parts_are_told_by_the_pattern_of_their_names(tmp_path):
    names = ["ICD10CM_FY2019/icd10cm_index_2019.xml", "icd10cm_eindex_2019.xml", "icd10cm-tabular-April-1-2019.xml"]
    path = write_zip(tmp_path / "a.zip", *names, "icd10cm_index_addenda_2019.xml", "icd10cm_index.xsd", "readme.pdf")
    files = year_files([path])
    assert list(files) == ["index", "eindex", "tabular"]
    assert files["index"].name == "icd10cm_index_2019.xml"
    assert {file.year for file in files.values()} == {"2019"}
    with files["index"].stream() as file:
        assert file.read(3) == b"<a>"


def test_xml_files_can_stand_alone(tmp_path):
    (tmp_path / "icd10cm_index_2020.xml").write_text("<a/>")
    assert year_files([tmp_path / "icd10cm_index_2020.xml"])["index"].member is None


def test_another_zip_is_refused(tmp_path):
    path = write_zip(tmp_path / "other.zip", "a.csv")
    with pytest.raises(UserError, match=r"other.zip has none of the CDC's XML files of ICD-10-CM"):
        year_files([path])


def test_a_year_without_an_index_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", "icd10cm_tabular_2019.xml")
    with pytest.raises(UserError, match=r"no alphabetic index .*, only icd10cm_tabular_2019.xml; take the full zip"):
        year_files([path])


def test_two_years_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", "icd10cm_index_2019.xml", "icd10cm_tabular_2020.xml")
    with pytest.raises(UserError, match="mixes the years 2019, 2020; add one year"):
        year_files([path])
    path = write_zip(tmp_path / "b.zip", "icd10cm_index_2019.xml", "icd10cm_index_2020.xml")
    with pytest.raises(UserError, match="two files of one kind"):
        year_files([path])


def test_a_damaged_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(UserError, match=r"a.zip is no zip, or a damaged one"):
        year_files([path])


def test_a_damaged_member_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", "icd10cm_index_2019.xml")
    content = bytearray(path.read_bytes())
    start = content.index(b".xml") + 4
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(content))
    with (
        pytest.raises(UserError, match=r"a.zip: icd10cm_index_2019.xml in it cannot be unpacked"),
        year_files([path])["index"].stream() as file,
    ):
        file.read()
