"""A code for the page of `mera serve`: what stands above, below and beside it."""

from data.codes.book.display.code_page import code_page

KNOWN = {"E11.9": "Diabetes, as the task calls it", "E11.21": "Nephropathy"}


def codes(nodes):
    return [node["code"] for node in nodes]


def test_a_code_of_an_edition():
    page = code_page("e119", "icd10cm", KNOWN)
    assert (page["code"], page["definition"], page["is_candidate"]) == ("E11.9", KNOWN["E11.9"], True)
    assert codes(page["path"])[-1] == "E11"
    assert codes(page["path"])[0] == "E00-E89"
    assert "E11.8" in codes(page["neighbours"])
    assert "E11.9" not in codes(page["neighbours"])
    assert any("excludes1" in note for note in page["notes"])
    assert "ICD-10-CM" in page["edition"]
    above = code_page("E11", "icd10cm", KNOWN)
    assert not above["is_candidate"]
    assert {"E11.8", "E11.9"} <= set(codes(above["below"]))


def test_a_code_of_another_edition():
    page = code_page("428.0", "icd9cm", {})
    assert codes(page["path"])[-1] == "428"
    assert page["notes"] == []


def test_a_candidate_that_the_edition_does_not_have_is_shown_with_its_likes():
    page = code_page("E11.9", None, KNOWN | {"I10": "Hypertension"})
    assert codes(page["neighbours"]) == ["E11.21"]
    assert (page["edition"], page["path"]) == (None, [])
    assert code_page("GROUP-9", "icd10cm", {"GROUP-9": "A group"})["definition"] == "A group"


def test_what_is_no_code_is_none():
    assert code_page("Smith", "icd10cm", KNOWN) is None
    assert code_page("Smith", None, KNOWN) is None
