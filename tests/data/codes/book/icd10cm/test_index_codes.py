"""Codes of an older index in the edition of today."""

import pytest

from data.codes.book.icd10cm.index_codes import IndexCodes, NamedCode
from data.ontology import load_ontology


@pytest.fixture(scope="module")
def codes():
    return IndexCodes(load_ontology("icd10cm"))


def names(codes, raw, term="pain"):
    return {code.code: text for code in codes.resolve(raw) if (text := code.term(term))}


def test_a_leaf_is_itself(codes):
    assert codes.resolve("E11.21") == (NamedCode("E11.21"),)


def test_a_dash_is_the_node_the_unspecified_leaf_and_the_sides(codes):
    assert names(codes, "M08.24-") == {
        "M08.24": "pain",
        "M08.249": "pain",
        "M08.241": "right pain",
        "M08.242": "left pain",
    }


def test_a_code_that_was_divided_since_counts_like_one_with_a_dash(codes):
    assert list(names(codes, "N18.3")) == ["N18.3", "N18.30"]
    assert list(names(codes, "A04.7")) == ["A04.7", "A04.72"]  # not specified as recurrent


def test_the_seventh_character_is_that_of_the_initial_encounter(codes):
    assert list(names(codes, "T24.012")) == ["T24.012", "T24.012A"]
    assert names(codes, "S72.00-")["S72.001A"] == "right pain"


def test_where_two_codes_add_the_same_side_the_term_has_to_name_the_site(codes):
    assert names(codes, "M79.64-", "Pain in hand")["M79.641"] == "right pain in hand"
    assert "M79.644" not in names(codes, "M79.64-", "Pain in hand")
    assert names(codes, "M79.64-", "finger pain")["M79.644"] == "right finger pain"
    assert "M79.601" not in names(codes, "M79.60-", "foot pain")


def test_trimesters_come_after_the_term(codes):
    assert names(codes, "O40.-", "polyhydramnios")["O40.1"] == "polyhydramnios first trimester"


def test_codes_that_cannot_be_resolved_are_counted():
    codes = IndexCodes(load_ontology("icd10cm"))
    assert codes.resolve("Q99.99") == ()
    assert codes.resolve("ventral surface") == ()
    assert codes.resolve("T67.0")
    assert [code.code for code in codes.resolve("Z22.50")] == ["Z22"]
    assert codes.counts == {
        "code that no edition has": 1,
        "text in the place of a code": 1,
        "retired code, given to its ancestor": 1,
    }
