"""The tabular list of ICD-9-CM: made-up pieces, and the CDC's text of 2012."""

import polars as pl
import pytest
from shared_data import shared_data

from data.codes.book.icd9cm.tabular import (
    NOT_A_NAME,
    PART_OF_A_NAME,
    UNKNOWN_NODE,
    UNKNOWN_TARGET,
    UNREAD_LIMIT,
    is_tabular,
    read_tabular,
)
from data.codes.notes.code_ranges import load_order
from mera.system.errors import UserError


def read(text):
    return read_tabular(text.strip().splitlines(), "x.txt", load_order("icd9cm"), "test")


def terms_of(tabular, code):
    return [term for node, term in tabular.terms if node == code]


def notes_of(tabular, node):
    rows = tabular.relations.filter(pl.col("node") == node)
    return rows.select("kind", "text", "target_first", "target_last").rows()


def test_inclusion_terms_go_on_with_the_heading_above_them():
    tabular = read("""
300.00 Anxiety state, unspecified

Anxiety:

neurosis

state (neurotic)

Atypical anxiety disorder

382.9 Unspecified otitis media

Otitis media:

NOS

acute NOS
""")
    assert terms_of(tabular, "300.00") == ["Anxiety neurosis", "Anxiety state (neurotic)", "Atypical anxiety disorder"]
    assert terms_of(tabular, "382.9") == ["Otitis media NOS", "Otitis media acute NOS"]


def test_small_headings_end_where_the_alphabet_begins_anew():
    tabular = read("""
410 Acute myocardial infarction
Includes: cardiac infarction
coronary (artery):
embolism
thrombosis
infarction of heart, myocardium, or ventricle
any condition classifiable to 414.1-414.9 specified as acute
""")
    expected = [
        "cardiac infarction",
        "coronary (artery) embolism",
        "coronary (artery) thrombosis",
        "infarction of heart, myocardium, or ventricle",
    ]
    assert terms_of(tabular, "410") == expected
    assert [text for kind, text, *_ in notes_of(tabular, "410") if kind == "includes"][:4] == expected


def test_headings_within_a_heading():
    tabular = read("""
558.9 Other noninfectious gastroenteritis
Chronic:
colitis of:
cecum
rectum
diarrhea
Enteritis NOS
""")
    assert terms_of(tabular, "558.9") == [
        "Chronic colitis of cecum",
        "Chronic colitis of rectum",
        "Chronic diarrhea",
        "Enteritis NOS",
    ]


def test_notes_are_relations():
    tabular = read("""
1. INFECTIOUS AND PARASITIC DISEASES (001-139)
Excludes: acute respiratory infections (460-466)
influenza (487.0-487.8, 488.01-488.19)
250.4 Diabetes with renal manifestations
[0-3]
Diabetic kidney trouble
Use additional code to identify manifestation, as:
diabetic:
nephropathy NOS (583.81)
Kimmelstiel-Wilson syndrome (581.81)
294.1 Dementia in conditions classified elsewhere
Code first any underlying physical condition as:
Alzheimer's disease (331.0)
Excludes: dementia NOS (294.20-294.21)
""")
    assert notes_of(tabular, "001-139") == [
        ("excludes1", "acute respiratory infections (460-466)", "460", "466"),
        ("excludes1", "influenza (487.0-487.8, 488.01-488.19)", "487.0", "487.8"),
        ("excludes1", "influenza (487.0-487.8, 488.01-488.19)", "488.01", "488.19"),
    ]
    lead = "Use additional code to identify manifestation, as:"
    assert notes_of(tabular, "250.4") == [
        ("use_additional", f"{lead} diabetic nephropathy NOS (583.81)", "583.81", "583.81"),
        ("use_additional", f"{lead} Kimmelstiel-Wilson syndrome (581.81)", "581.81", "581.81"),
    ]
    assert notes_of(tabular, "294.1") == [
        (
            "code_first",
            "Code first any underlying physical condition as: Alzheimer's disease (331.0)",
            "331.0",
            "331.0",
        ),
        ("excludes1", "dementia NOS (294.20-294.21)", "294.20", "294.21"),
    ]


def test_what_is_left_out_is_counted():
    tabular = read("""
E801-E848 Unreal
OPEN WOUND OF LIMBS (870-897)
Excludes: burn (940.0-949.5)
428 Heart failure
Weak heart
vascular
Conditions classifiable to 428
Excludes: that complicating abortion (634-638 with .7, 639.8)
something (999.95)
rheumatic (398.91)
""")
    assert tabular.dropped[UNKNOWN_NODE] == 1
    assert tabular.dropped[UNREAD_LIMIT] == 1
    assert notes_of(tabular, "428")[0][2:] == ("639.8", "639.8")
    assert tabular.dropped[UNKNOWN_TARGET] == 1
    assert tabular.dropped[NOT_A_NAME] == 1
    assert tabular.dropped[PART_OF_A_NAME] == 1
    assert notes_of(tabular, "428")[-1] == ("excludes1", "rheumatic (398.91)", "398.91", "398.91")


def test_rules_for_the_fifth_digit_are_no_names():
    tabular = read("""
250 Diabetes mellitus
The following fifth-digit subclassification is for use with category 250:
0 type II or unspecified type, not stated as uncontrolled
Fifth-digit 0 is for use for type II patients, even if the patient requires insulin
Use additional code, if applicable, for associated long-term (current) insulin use V58.67
1 type I [juvenile type], not stated as uncontrolled
250.0 Diabetes mellitus without mention of complication
[0-3]
Diabetes (mellitus) NOS
""")
    assert tabular.terms == [("250.0", "Diabetes (mellitus) NOS")]
    assert notes_of(tabular, "250")[0][2] == "V58.67"


def test_a_text_that_is_no_list_is_refused():
    with pytest.raises(UserError, match=r"x.txt holds no code with an inclusion term; is it the tabular list"):
        read("428 Heart failure\n\nExcludes: rheumatic (398.91)")


def test_the_cdcs_list():
    lines = shared_data("icd_index/icd9cm_tabular_fy2012.txt").read_text(encoding="utf-8").splitlines()
    assert is_tabular(lines[:400])
    tabular = read_tabular(lines, "x.txt", load_order("icd9cm"), "test")
    assert len(tabular.terms) > 12_000
    kinds = dict(tabular.relations["kind"].value_counts().iter_rows())
    assert kinds["excludes1"] > 5_000
    assert kinds["code_first"] > 450
    assert kinds["use_additional"] > 700
    assert tabular.dropped[UNKNOWN_TARGET] == 0
    assert "Stähli's lines" in terms_of(tabular, "371.11")
    assert ("excludes1", "hyperglycemia NOS (790.29)", "790.29", "790.29") in notes_of(tabular, "250")


def test_other_texts_are_no_list():
    assert not is_tabular(["code,term", "250.0,sugar", "428.0,weak heart"])
