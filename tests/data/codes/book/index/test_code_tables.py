"""Terms of the neoplasm and the drug table."""

from data.codes.book.index.code_tables import drug_terms, neoplasm_terms
from data.codes.book.index.index_xml import IndexEntry, Title


def entry(*titles, cells):
    return IndexEntry(path=tuple(Title(title) for title in titles), cells=cells)


def test_columns_of_the_neoplasm_table():
    row = entry("Neoplasm, neoplastic", "breast", cells=((2, "C50.9-"), (3, "C79.81"), (6, "D48.6-")))
    assert list(neoplasm_terms(row)) == [
        (["malignant primary neoplasm of breast", "malignant neoplasm of breast", "breast cancer"], "C50.9-"),
        (["secondary malignant neoplasm of breast", "breast metastasis"], "C79.81"),
        (["neoplasm of uncertain behavior of breast"], "D48.6-"),
    ]


def test_a_kind_of_carcinoma_is_what_the_site_has():
    row = entry("Neoplasm, neoplastic", "skin", "chin", "basal cell carcinoma", cells=((2, "C44.319"),))
    assert list(neoplasm_terms(row)) == [(["basal cell carcinoma of chin skin"], "C44.319")]


def test_the_whole_table_is_a_neoplasm_without_a_site():
    [(terms, code)] = neoplasm_terms(entry("Neoplasm, neoplastic", cells=((5, "D36.9"),)))
    assert (terms, code) == (["benign neoplasm", "benign tumor"], "D36.9")


def test_columns_of_the_drug_table():
    row = entry("Isopropyl", "alcohol", cells=((2, "T51.2X1"), (3, "T51.2X2"), (6, "T49.4X5"), (7, "T49.4X6")))
    assert [(terms[0], code) for terms, code in drug_terms(row)] == [
        ("poisoning by isopropyl alcohol, accidental", "T51.2X1"),
        ("poisoning by isopropyl alcohol, intentional self-harm", "T51.2X2"),
        ("adverse effect of isopropyl alcohol", "T49.4X5"),
        ("underdosing of isopropyl alcohol", "T49.4X6"),
    ]
