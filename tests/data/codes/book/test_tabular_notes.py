"""The notes of ICD-10-CM's tabular list: hand-checked notes of both lists, ranges in the edition's order, bad files."""

import zipfile

import pytest

from data.codes.book.book import RELATION_COLUMNS, RELATION_KINDS
from data.codes.book.tabular_notes import TabularNotes, package_notes, tabular_notes
from data.codes.notes.code_ranges import CodeOrder, load_order, topmost
from data.codes.notes.note_targets import read_targets
from mera.system.errors import UserError
from tests.helpers.shared_data import shared_data


@pytest.fixture(scope="module")
def order() -> CodeOrder:
    return load_order("icd10cm")


@pytest.fixture(scope="module")
def notes(order) -> TabularNotes:
    return package_notes(order)


def targets(notes: TabularNotes, node: str, kind: str, words: str) -> list[str]:
    """The ranges of the notes of `node` whose text holds `words`; `-` for a note without."""
    rows = notes.relations.filter(node=node, kind=kind).rows(named=True)
    assert any(words in row["text"] for row in rows), f"{node} has no such note"
    return [
        "-" if row["target_first"] is None else "..".join(dict.fromkeys((row["target_first"], row["target_last"])))
        for row in rows
        if words in row["text"]
    ]


# Node, kind, words of the note, ranges; read in the XML of April 2026 by hand.
BY_HAND = [
    ("A00-B99", "use_additional", "resistance to antimicrobial drugs", ["Z16"]),
    ("A00-B99", "excludes2", "other acute respiratory infections", ["J00..J22"]),
    ("A00-B99", "excludes1", "certain localized infections", ["-"]),
    ("O00-O9A", "excludes1", "supervision of normal pregnancy", ["Z34"]),
    ("O00-O9A", "use_additional", "weeks of gestation".capitalize(), ["Z3A"]),
    ("I10-I1A", "excludes1", "neonatal hypertension", ["P29.2"]),
    ("I10-I1A", "excludes2", "complicating pregnancy", ["O10..O11", "O13..O16"]),
    ("E11", "excludes1", "type 1 diabetes mellitus", ["E10"]),
    ("E11", "excludes1", "gestational diabetes", ["O24.4"]),
    ("E11.22", "use_additional", "stage of chronic kidney disease", ["N18.1..N18.6"]),
    ("E11", "includes", "diabetes NOS", ["-"]),
    ("D63.1", "code_first", "(CKD)", ["N18"]),
    ("D63.0", "code_first", "neoplasm", ["C00..D49"]),
    ("N18", "code_first", "diabetic chronic kidney", ["E08.22", "E09.22", "E10.22", "E11.22", "E13.22"]),
    ("N17", "code_also", "associated underlying condition", ["-"]),
    ("F32", "excludes1", "bipolar disorder", ["F31"]),
    ("I11", "includes", "any condition in I50.-", ["I50", "I51.4..I51.7", "I51.89", "I51.9"]),
    ("I12", "excludes2", "acute kidney failure", ["N17"]),
    ("K57", "code_also", "peritonitis K65.-", ["K65"]),
    ("J12.82", "code_first", "COVID-19", ["U07.1"]),
    ("J65", "excludes1", "", ["-"]),
    ("J60", "excludes1", "any type in A15", ["J65"]),
    ("G59", "excludes1", "diabetic mononeuropathy", ["E08.41", "E09.41", "E10.41", "E11.41", "E13.41"]),
    ("E87.2", "excludes1", "ketoacidosis", ["-"]),
    ("R47.01", "excludes1", "aphasia following", ["I69.020", "I69.120", "I69.220", "I69.320", "I69.820", "I69.920"]),
    ("T43.1", "seventh_character", "", ["-"]),
    ("H40.6", "seventh_character", "3: severe stage", ["H40.6"]),
    ("G31", "use_additional", "dementia with anxiety", ["F02.84", "F02.A4", "F02.B4", "F02.C4"]),
    ("I39", "excludes1", "endocardial involvement in: syphilis", ["A52.03"]),
    ("B20", "code_first", "complicating pregnancy", ["O98.7"]),
    ("M00.8", "use_additional", "to identify bacteria", ["B96"]),
    ("G93.7", "code_first", "salicylates", ["T39.011..T39.014", "T39.091..T39.094"]),
    ("B35", "includes", "except those in B36.-", ["-"]),
]
WITHOUT_NOTE = {("J65", "excludes1"), ("T43.1", "seventh_character")}


@pytest.mark.parametrize(("node", "kind", "words", "ranges"), BY_HAND, ids=[f"{row[0]}-{row[1]}" for row in BY_HAND])
def test_notes_read_by_hand(notes, node, kind, words, ranges):
    if (node, kind) in WITHOUT_NOTE:
        assert notes.relations.filter(node=node, kind=kind).is_empty()
    else:
        assert targets(notes, node, kind, words) == ranges


def test_the_package_gives_every_kind_of_note_in_the_form_of_a_book(notes, order):
    assert notes.version == "2026"
    assert notes.relations.schema == RELATION_COLUMNS
    assert set(notes.relations["kind"]) == set(RELATION_KINDS) == set(notes.notes)
    assert notes.notes == {
        "includes": 1_024,
        "excludes1": 5_353,
        "excludes2": 2_504,
        "code_first": 675,
        "use_additional": 1_311,
        "code_also": 553,
        "seventh_character": 508,
    }
    ends = notes.relations.drop_nulls("target_first")
    assert {*ends["target_first"], *ends["target_last"], *notes.relations["node"]} <= order.place.keys()
    assert notes.dropped == {
        "code in a note of which the edition has nothing": 1,
        "codes in a note whose limiting words are not read": 20,
    }


def test_the_list_of_another_year_counts_what_the_edition_lacks(order):
    with zipfile.ZipFile(shared_data("icd_index/ICD10CM_FY2017_Full_XML.zip")) as archive:
        of_2017 = tabular_notes(archive.read("icd10cm_tabular_2017.xml"), "icd10cm_tabular_2017.xml", order)
    assert of_2017.version == "2017"
    assert of_2017.dropped["note of a code that the edition does not have"] == 11
    assert targets(of_2017, "G14", "excludes1", "sequelae of poliomyelitis") == ["B91"]
    assert set(of_2017.relations["source"]) == {"icd10cm tabular 2017"}


# Text of a note (forms seen in the two lists) -> ranges.
FORMS = [
    ("(I70.2--I70.7-)", ["I70.2..I70.7"]),
    ("(I01.0 -I01.9)", ["I01.0..I01.9"]),
    ("(S00 - S09)", ["S00..S09"]),
    ("(F11.-F17.-)", ["F11..F17"]),
    ("(K85-K86.-)", ["K85..K86"]),
    ("(I69.81- I69.91-)", ["I69.81", "I69.91"]),
    ("(I60.-. I61.-, I62.-)", ["I60", "I61", "I62"]),
    ("(J00-J06; J20-J22)", ["J00..J06", "J20..J22"]),
    ("in subcategories S06.1- to S06.6-, and S06.81- to S06.89-, code to", ["S06.1..S06.6", "S06.81..S06.89"]),
    ("acquired absence of knee joint (Z89.52-", ["Z89.52"]),
    ("underdosing (T41.0-T41.2) with fifth or sixth character 6", ["T41.0X6", "T41.1X6", "T41.206", "T41.296"]),
    ("(E08, E09, E11 with final characters .00 or .01)", ["E08.00..E08.01", "E09.00..E09.01", "E11.00..E11.01"]),
    ("(E08-E09 with .51-.52)", ["E08.51..E08.52", "E09.51..E09.52"]),
    ("(T51-T51.1 with fifth or sixth character to indicate intent)", ["T51..T51.1"]),
    ("(C91.0-C91.1 with 5th character 1)", ["C91.01", "C91.11"]),
    ("vitamin B12 deficiency", []),
    ("code (Chapter 20) to identify external cause", ["V00..Y99"]),
    ("conditions (E87.8}", ["E87.8"]),
]


@pytest.mark.parametrize(("text", "ranges"), FORMS)
def test_forms_of_codes_in_a_note(order, text, ranges):
    read = read_targets(text, order, {"20": "V00-Y99"})
    assert ["..".join(dict.fromkeys(ends)) for ends in read.ranges] == ranges


def test_a_limit_that_cannot_be_read_leaves_the_codes_out(order):
    read = read_targets("open fracture (S52.- with open fracture 7th character)", order, {})
    assert (read.ranges, read.unread_limits, read.unknown) == ([], 1, 0)
    assert read_targets("retired (G31.90)", order, {}).unknown == 1


def test_the_intent_is_the_last_character_before_the_seventh(order):
    ranges = read_targets("(T36-T50 with fifth or sixth character 5)", order, {}).ranges
    assert {("T36.95", "T36.95"), ("T43.655", "T43.655")} <= set(ranges)
    assert not any("T43.651" in ends for ends in ranges)  # T43.65 is a drug, not an adverse effect


def test_ranges_follow_the_edition_not_the_alphabet(order):
    assert list(order.covers("D10", "D36", ["D36.9", "D3A.8", "D37.1", "D09.9"])) == [True, False, False, False]
    assert list(order.covers("C00-C96", "C00-C96", ["C7A.00", "C96.9", "D00.0"])) == [True, True, False]
    assert list(order.covers("E11.2", "E11.2", ["E11.22", "E11.2", "E11.3", "E11"])) == [True, True, False, False]
    assert order.existing("J00", "J22") == ("J00", "J22")
    assert order.existing("J23", "J29") is None
    assert order.existing("J21.95", "J29") == ("J22", "J22")


def test_topmost_codes():
    assert topmost(["E11.2", "E11.21", "E12", "E11.22"]) == ["E11.2", "E12"]


def test_icd9_has_an_order_too():
    order = load_order("icd9cm")
    assert list(order.covers("E880", "E887", ["E885.9", "E888.9", "885.0"])) == [True, False, False]
    assert list(order.covers("250", "250", ["250.00", "249.00"])) == [True, False]


LIST = b"<ICD10CM.tabular><version>2030</version><chapter><name>1</name><desc>Infections (A00-B99)</desc>%s</chapter>"


def test_a_made_up_list(order):
    body = (
        b'<section id="B20-B20"><excludes1><note>in:</note><note>one (A00)</note><note>two (Q99.9)</note>'
        b"<note>all (A77.7)</note></excludes1></section><diag><name>A00</name><codeFirst><note>  </note></codeFirst>"
        b"<excludes2><note>x &#38; y (A01.-,\n A02)</note></excludes2></diag>"
    )
    read = tabular_notes(LIST % body + b"</ICD10CM.tabular>", "made.xml", order)
    assert read.relations.drop("source").rows() == [
        ("A00", "excludes2", "A01", "A01", "x & y (A01.-, A02)"),
        ("A00", "excludes2", "A02", "A02", "x & y (A01.-, A02)"),
        ("B20", "excludes1", None, None, "all (A77.7)"),
        ("B20", "excludes1", "A00", "A00", "in: one (A00)"),
        ("B20", "excludes1", "Q99.9", "Q99.9", "in: two (Q99.9)"),
    ]
    assert read.dropped == {"code in a note of which the edition has nothing": 1}
    assert (read.notes["excludes1"], read.notes["code_first"]) == (3, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LIST % b"<section>", "made.xml is damaged: line 1, column"),
        (b"", "made.xml is damaged"),
        (b"\x00\xff\x00", "made.xml is damaged"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "made.xml is damaged"),
        (b"<ICD10CM.index/>", "begins with <ICD10CM.index>"),
        (
            b'<!DOCTYPE a [<!ENTITY b "secret"><!ENTITY c "&b;&b;">]><ICD10CM.tabular>&c;</ICD10CM.tabular>',
            "declares a document type",
        ),
    ],
)
def test_a_damaged_or_dangerous_list_is_refused(order, content, message):
    with pytest.raises(UserError, match=message):
        tabular_notes(content, "made.xml", order)
