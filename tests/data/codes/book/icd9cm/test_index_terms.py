"""Terms of the ICD-9-CM index."""

from collections import Counter

from data.codes.book.icd9cm.index_lines import read_index
from data.codes.book.icd9cm.index_terms import index_terms
from data.codes.book.icd9cm.rtf_paragraphs import Paragraph

LINES = [
    (0, "Disease, diseased 799.9"),
    (1, "kidney (functional) (pelvis) 593.9"),
    (2, "chronic 585.9"),
    (0, "Diabetes, diabetic (mellitus) 250.0"),
    (1, "retinopathy 250.5 [362.01]"),
    (0, "Nephropathy - see Disease, kidney, chronic"),
    (0, "Glucosuria - see Nothing, at all"),
    (0, "Neoplasm, neoplastic 199.1 199.1 234.9 229.9 238.9 239.9"),
    (1, "bone 170.9 198.5 - 213.9 238.0 239.2"),
    (0, "Ghost 999.95"),
]


def terms():
    dropped = Counter()
    index = read_index([Paragraph(text, 360 * depth) for depth, text in LINES], "x.rtf", dropped)
    rows = list(index_terms(index, lambda raw: () if raw == "999.95" else (raw,), dropped))
    return rows, dropped


def test_paths_become_terms_as_one_says_them():
    rows, _ = terms()
    assert ("585.9", "chronic kidney disease", "index") in rows
    assert ("250.0", "diabetes mellitus", "index") in rows


def test_a_manifestation_is_called_what_its_cause_is():
    rows, _ = terms()
    for code in ("250.5", "362.01"):
        assert (code, "diabetic retinopathy", "index") in rows


def test_references_are_followed_or_counted():
    rows, dropped = terms()
    assert ("585.9", "nephropathy", "index") in rows
    assert dropped["index line with a reference to an entry that is not there"] == 1


def test_the_neoplasm_table_names_its_columns():
    rows, _ = terms()
    assert ("198.5", "secondary malignant neoplasm of bone", "neoplasm") in rows
    assert ("213.9", "benign neoplasm of bone", "neoplasm") in rows


def test_a_code_that_stands_for_nothing_has_no_term():
    rows, _ = terms()
    assert not [row for row in rows if "ghost" in row[1]]
