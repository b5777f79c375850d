"""Codes of procedures: their key, and what they say where no table has a title."""

import pytest

from data.sources.shared.events.procedure_names import name_of_procedure, procedure_key


@pytest.mark.parametrize(
    ("code", "version", "key"),
    [
        ("96.71", 9, "9:9671"),
        ("9671", 9, "9:9671"),
        ("0bh17ez", 10, "10:0BH17EZ"),
        ("966", 9, "9:966"),
        ("I10", 10, ""),
        ("0BH17IO", 10, ""),
        ("V45", 9, ""),
        ("", 9, ""),
    ],
)
def test_keys(code, version, key):
    assert procedure_key(code, version) == key


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("9:9671", "Miscellaneous diagnostic and therapeutic procedures (96.71)"),
        ("9:0066", "Procedures and interventions, not elsewhere classified (00.66)"),
        ("9:3961", "Operations on the cardiovascular system (39.61)"),
        ("9:1711", "Other miscellaneous diagnostic and therapeutic procedures (17.11)"),
        ("9:1811", "Operations on the ear (18.11)"),
        ("9:1602", "Operations on the eye (16.02)"),
        ("10:0BH17EZ", "Medical and Surgical, Respiratory System, Insertion (0BH17EZ)"),
        ("10:02703ZZ", "Medical and Surgical, Heart and Great Vessels, Dilation (02703ZZ)"),
        ("10:0YQF0ZZ", "Medical and Surgical, Anatomical Regions, Lower Extremities, Repair (0YQF0ZZ)"),
        ("10:B2111ZZ", "Imaging (B2111ZZ)"),
    ],
)
def test_names_without_a_title(key, name):
    assert name_of_procedure(key) == name


def test_every_category_of_icd9_has_a_chapter():
    assert all(name_of_procedure(f"9:{category:02d}") for category in range(100))
