"""The ICD-9-CM index: made-up lines, and the CDC's own of 2012."""

import zipfile
from collections import Counter

import pytest
from shared_data import shared_data

from data.codes.book.icd9cm.index_lines import read_index
from data.codes.book.icd9cm.rtf_paragraphs import Paragraph, read_paragraphs
from data.codes.book.index.index_xml import Title
from mera.system.errors import UserError


def read(*lines):
    """`lines`: (depth, text). Returns the entries and what was left out."""
    dropped = Counter()
    index = read_index([Paragraph(text, 360 * depth) for depth, text in lines], "x.rtf", dropped)
    return index, dropped


def paths(index):
    return {
        " > ".join(title.full_text for title in entry.path): (*entry.codes, *entry.manifestations)
        for entry in index.entries
    }


def test_the_indent_says_what_a_line_stands_under():
    index, _ = read(
        (0, "Asthma, asthmatic (bronchial) 493.9"), (1, "with"), (2, "hay fever 493.0"), (1, "late-onset 493.1")
    )
    assert paths(index) == {
        "Asthma, asthmatic (bronchial)": ("493.9",),
        "Asthma, asthmatic (bronchial) > with": (),
        "Asthma, asthmatic (bronchial) > with > hay fever": ("493.0",),
        "Asthma, asthmatic (bronchial) > late-onset": ("493.1",),
    }


def test_a_level_may_be_skipped():
    index, _ = read((0, "Abscess 682.9"), (3, "deep 682.8"), (1, "lung 513.0"))
    assert list(paths(index)) == ["Abscess", "Abscess > deep", "Abscess > lung"]


@pytest.mark.parametrize(
    ("line", "title", "codes"),
    [
        ("retinopathy 250.5 [362.01]", "retinopathy", ("250.5", "362.01")),
        ("sarcoid 135 [359.6]", "sarcoid", ("135", "359.6")),
        ("personal V10.3", "personal", ("V10.3",)),
        ("fall E888.9", "fall", ("E888.9",)),
        ("aniridia365.42", "aniridia", ("365.42",)),
        ("adhesive (shoulder)726.0", "adhesive (shoulder)", ("726.0",)),
        ("carcinoid (M8240/1) 235.2", "carcinoid", ("235.2",)),
        ("syphilis (conditions classifiable to 090-097) 647.0", "syphilis", ("647.0",)),
        ("noted during delivery - 656.8", "noted during delivery", ("656.8",)),
        ("late effect - see category 326", "late effect", ("326",)),
        ("PIE (pulmonary infiltration 518.3", "PIE (pulmonary infiltration)", ("518.3",)),
        ("negative [ER-] V86.1", "negative [ER-]", ("V86.1",)),
        ("cancer antigen 125 [CA 125] 795.82", "cancer antigen 125 [CA 125]", ("795.82",)),
        ("ankle NEC* 195.5", "ankle NEC", ("195.5",)),
    ],
)
def test_titles_and_codes(line, title, codes):
    index, _ = read((0, "Main 799.9"), (1, line))
    assert index.entries[1].path[1].full_text == title
    assert (*index.entries[1].codes, *index.entries[1].manifestations) == codes


@pytest.mark.parametrize(
    ("line", "title", "see", "see_also", "codes"),
    [
        ("Abactio - see Abortion, induced", "Abactio", ("Abortion, induced",), (), ()),
        ("Abdomen - see also condition", "Abdomen", (), ("condition",), ()),
        ("spell (see also Epilepsy) 345.5", "spell", (), ("Epilepsy",), ("345.5",)),
        ("antepartum \xad see Hypertension", "antepartum", ("Hypertension",), (), ()),
        ("sinus\xadsee Neoplasm, sinus", "sinus", ("Neoplasm, sinus",), (), ()),
        ("Katatonia- see Catatonia", "Katatonia", ("Catatonia",), (), ()),
        ("cervix see Retraction, uterus", "cervix", ("Retraction, uterus",), (), ()),
        ("AAV (disease) - see HIV (disease) (illness)", "AAV (disease)", ("HIV (disease) (illness)",), (), ()),
        ("peptic ulcer - see Ulcer, peptic 533.9", "peptic ulcer", ("Ulcer, peptic",), (), ("533.9",)),
        ("morning glory seeds 304.5", "morning glory seeds", (), (), ("304.5",)),
    ],
)
def test_references(line, title, see, see_also, codes):
    index, _ = read((0, line), (0, "Other 799.9"))
    entry = index.entries[0]
    assert (entry.path[0].full_text, entry.see, entry.see_also, entry.codes) == (title, see, see_also, codes)


def test_the_columns_of_the_neoplasm_table():
    index, _ = read(
        (0, "Asthma 493.9"),
        (0, "Neoplasm, neoplastic 199.1 199.1 234.9 229.9 238.9 239.9"),
        (1, "bone 170.9 198.5 - 213.9 238.0 239.2"),
        (2, "contiguous sites 170.8 - - - - -"),
        (1, "bladder - see Neoplasm, urinary"),
    )
    assert len(index.entries) == 1
    assert index.neoplasms[1].cells == ((2, "170.9"), (3, "198.5"), (5, "213.9"), (6, "238.0"), (7, "239.2"))
    assert index.neoplasms[2].cells == ((2, "170.8"),)
    assert index.neoplasms[3].see == ("Neoplasm, urinary",)


def test_the_columns_of_the_hypertension_table():
    index, _ = read(
        (0, "Hypertension Table Malignant Benign Unspecified"),
        (0, "Hypertension, hypertensive (arterial) 401.0 401.1 401.9"),
        (1, "borderline - - 796.2"),
        (1, "necrotizing 401.0 - -"),
        (1, "encephalopathy 437.2 437.2 437.2"),
    )
    top = "Hypertension, hypertensive (arterial)"
    assert paths(index) == {
        top: ("401.9",),
        f"{top} > malignant": ("401.0",),
        f"{top} > benign": ("401.1",),
        f"{top} > borderline": ("796.2",),
        f"{top} > necrotizing": (),
        f"{top} > necrotizing > malignant": ("401.0",),
        f"{top} > encephalopathy": ("437.2",),
    }


def test_what_is_no_entry_is_counted():
    _, dropped = read(
        (0, "INDEX TO DISEASES AND INJURIES"),
        (0, "A"),
        (0, "Asthma 493.9"),
        (0, "Note Use the following fifth-digit subclassification with category 493"),
        (1, "arrest - code to underlying condition"),
    )
    assert dropped == {
        "heading or note between the entries of the index": 3,
        "index line that says how to code in words": 1,
    }


def test_modifiers_within_a_title():
    index, _ = read((0, "Autonomic (poly)neuropathy (acute) 337.9"))
    assert index.entries[0].path == (Title("Autonomic", ("poly", "acute"), "neuropathy", True),)


def test_a_file_without_codes_is_refused():
    with pytest.raises(UserError, match=r"x.rtf holds no line that ends in an ICD-9-CM code; is it .* Dindex\?"):
        read((0, "A letter to a friend"), (1, "see you soon"))


@pytest.fixture(scope="module")
def cdc():
    with zipfile.ZipFile(shared_data("icd_index/icd9cm_index_fy2012_rtf.zip")) as archive:
        return read_index(read_paragraphs(archive.read("Dindex12.rtf"), "Dindex12.rtf"), "Dindex12.rtf", Counter())


CHECKED_BY_HAND = {
    ("Diabetes, diabetic", "retinopathy"): "250.5 362.01",
    ("Diabetes, diabetic", "with", "gangrene"): "250.7 785.4",
    ("Failure, failed", "heart", "congestive"): "428.0",
    ("Infarct, infarction", "myocardium, myocardial"): "410.9",
    ("Abscess", "lung"): "513.0",
    ("Pneumonia", "due to", "Pseudomonas"): "482.1",
    ("Fracture", "humerus", "condyle", "medial"): "812.43",
    ("Abderhalden-Kaufmann-Lignac syndrome",): "270.0",
    ("Abdomen, abdominal", "angina"): "557.1",
    ("Aberrant", "blood vessel NEC", "renal"): "747.62",
    ("Arthritis, arthritic", "due to or associated with", "diphtheria"): "032.89 711.4",
    ("Hypertension, hypertensive", "with", "chronic kidney disease", "stage V or end stage renal disease"): "403.91",
    ("Hypertension, hypertensive", "malignant"): "401.0",
    ("Sacks-Libman disease",): "710.0 424.91",
    ("Mesencephalitis", "late effect"): "326",
    ("Polysialia",): "527.7",
    ("Gingivitis",): "523.10",
}


def test_paths_of_the_cdc(cdc):
    codes = {tuple(title.text for title in entry.path): entry for entry in cdc.entries}
    for path, expected in CHECKED_BY_HAND.items():
        entry = codes[path]
        assert " ".join((*entry.codes, *entry.manifestations)) == expected, path


def test_how_much_the_cdcs_index_holds(cdc):
    pairs = sum(len(entry.codes) + len(entry.manifestations) for entry in cdc.entries)
    assert pairs >= 60_000
    assert len(cdc.neoplasms) > 1_800
    assert sum(len(entry.cells) for entry in cdc.neoplasms) > 8_500
    assert sum(len(entry.see) + len(entry.see_also) for entry in cdc.entries) > 10_000
