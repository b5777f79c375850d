"""The CDC's index of fiscal year 2017 as terms of the codes of today."""

import zipfile

import pytest
from shared_data import shared_data

from data.codes.book.book import TERM_COLUMNS
from data.codes.book.icd10cm.icd10cm_index import read_icd10cm_index
from data.codes.book.sources.book_part import LONGEST_TERM
from data.ontology import load_ontology
from mera.system.errors import UserError

# What the index has, checked by hand: its path, the code it writes, the codes of today, the term.
PATHS = [
    ("Disease, kidney, chronic", "N18.9", "N18.9", "functional chronic kidney disease"),
    ("Disease, kidney, chronic, stage 4 (severe)", "N18.4", "N18.4", "stage 4 chronic kidney disease"),
    ("Disease, kidney, chronic, stage 3", "N18.3", "N18.3 N18.30", "chronic kidney disease stage 3"),
    ("Disease, pulmonary, chronic obstructive", "J44.9", "J44.9", "chronic obstructive pulmonary disease"),
    ("Failure, heart, congestive", "I50.9", "I50.9", "congestive heart failure"),
    ("Failure, heart, diastolic, acute (congestive)", "I50.31", "I50.31", "acute diastolic heart failure"),
    ("Failure, respiration, respiratory, acute", "J96.00", "J96.00", "acute respiratory failure"),
    ("Diabetes, diabetic (mellitus) (sugar)", "E11.9", "E11.9", "sugar diabetes"),
    ("Diabetes, type 2, with, nephropathy", "E11.21", "E11.21", "diabetes type 2 with nephropathy"),
    ("Diabetes (mellitus), type 2, with, nephropathy", "E11.21", "E11.21", "diabetes mellitus type 2 with nephropathy"),
    ("Diabetes (sugar), type 2, with, nephropathy", "E11.21", "E11.21", "sugar diabetes type 2 with nephropathy"),
    ("Nephropathy, diabetic, see E08-E13 with .21", "E08.21 ...", "E08.21 E09.21 E10.21 E11.21 E13.21",
     "diabetic nephropathy"),
    ("Diabetes, diabetic, type 1, with, ketoacidosis", "E10.10", "E10.10", "type 1 diabetic ketoacidosis"),
    ("Diabetes, brittle, see Diabetes, type 1", "E10.9", "E10.9", "brittle diabetes"),
    ("Anemia, due to (in), chronic kidney disease", "D63.1", "D63.1", "anemia due to chronic kidney disease"),
    ("Insomnia, due to, amphetamines, abuse", "F15.182", "F15.182", "insomnia due to amphetamines abuse"),
    ("Dementia, in, Parkinson's disease", "G20 [F02.80]", "F02.80 G20 G20.C", "dementia in Parkinson's disease"),
    ("Atrophy (of), bladder", "N32.89", "N32.89", "atrophy of bladder"),
    ("History, family (of), malignant neoplasm (of), trachea", "Z80.1", "Z80.1",
     "family history of malignant neoplasm of trachea"),
    ("Ulcer, duodenum, duodenal, with, hemorrhage", "K26.4", "K26.4", "duodenal ulcer with hemorrhage"),
    ("Ulcer, duodenum (peptic), with, hemorrhage", "K26.4", "K26.4", "peptic duodenal ulcer with hemorrhage"),
    ("Cirrhosis, alcoholic, with ascites", "K70.31", "K70.31", "alcoholic cirrhosis with ascites"),
    ("Stroke (ischemic)", "I63.9", "I63.9", "ischemic stroke"),
    ("Accident, cerebrovascular", "I63.9", "I63.9", "cerebrovascular accident"),
    ("Hepatitis, viral, chronic, type, C", "B18.2", "B18.2", "chronic viral hepatitis type C"),
    ("Deficiency, vitamin, B12", "E53.8", "E53.8", "vitamin B12 deficiency"),
    ("Activation, mast cell (syndrome)", "D89.40", "D89.40", "mast cell activation syndrome"),
    ("Syndrome, mast cell activation, see Activation, mast cell", "D89.40", "D89.40", "mast cell activation syndrome"),
    ("Syphilis, syphilitic, monoplegia", "A52.17", "A52.17", "syphilitic monoplegia"),
    ("Rheumatism, palindromic, elbow", "M12.32-", "M12.32 M12.329", "elbow palindromic rheumatism"),
    ("Rheumatism, palindromic, elbow, of the right", "M12.32-", "M12.321", "right elbow palindromic rheumatism"),
    ("Pain, limb, lower, foot, of the left", "M79.67-", "M79.672", "left foot pain"),
    ("Fracture, traumatic, femur, neck, see ... neck", "S72.00-", "S72.00 S72.009A", "femoral neck fracture"),
    ("Fracture, traumatic, hip, see Fracture, femur, neck", "S72.00-", "S72.00 S72.009A", "hip fracture"),
    ("Burn, thigh, left", "T24.012", "T24.012 T24.012A", "left thigh burn"),
    ("Attack, heart, see Infarct, myocardium", "I21.3", "I21.3", "heart attack"),
    ("Piles, see Hemorrhoids", "K64.9", "K64.9", "piles"),
    ("Bedsore, see Ulcer, pressure, by site", "L89.9-", "L89.9 L89.90", "bedsore"),
    ("Adenoma, tubular, see also Neoplasm, benign, by site", "D36.9", "D36.9", "tubular adenoma"),
    ("Disease, kidney, diabetic, see E08-E13 with .22", "E08.22 ...", "E08.22 E09.22 E10.22 E11.22 E13.22",
     "diabetic kidney disease"),
    ("Bite, bitten by, dog", "W54.0", "W54.0 W54.0XXA", "dog bite"),
    ("Neoplasm, breast, malignant primary", "C50.9-", "C50.9", "malignant primary neoplasm of breast"),
    ("Neoplasm, brain, malignant secondary", "C79.31", "C79.31", "brain metastasis"),
    ("Aspirin, poisoning, accidental", "T39.011", "T39.011 T39.011A", "poisoning by aspirin, accidental"),
    ("Aleve, see Naproxen, poisoning, accidental", "T39.311", "T39.311 T39.311A", "aleve poisoning"),
]  # fmt: skip


@pytest.fixture(scope="module")
def ontology():
    return load_ontology("icd10cm")


@pytest.fixture(scope="module")
def index(ontology):
    return read_icd10cm_index(shared_data("icd_index/ICD10CM_FY2017_Full_XML.zip"), ontology)


@pytest.fixture(scope="module")
def codes_of(index):
    grouped = index.terms.filter(index.terms["kind"] != "inclusion").group_by("term").agg("code")
    return {term: set(codes) for term, codes in grouped.iter_rows()}


@pytest.mark.parametrize(("path", "written", "codes", "term"), PATHS, ids=[path for path, *_ in PATHS])
def test_a_path_of_the_index_is_a_readable_term_of_its_codes(codes_of, path, written, codes, term):
    assert codes_of.get(term) == set(codes.split()), f"{path} -> {written}"


def test_the_index_is_read_as_a_whole(index, ontology):
    assert index.year == "2017"
    assert index.num_pairs >= 59_000
    assert index.num_codes >= 18_700
    assert dict(index.terms.schema) == TERM_COLUMNS
    assert set(index.terms["kind"]) == {"index", "external", "neoplasm", "drug", "inclusion"}
    assert set(index.terms["language"]) == {"en"}
    assert set(index.terms["code"]) <= set(ontology.nodes())
    assert index.terms["term"].str.len_chars().max() <= LONGEST_TERM + len("bilateral ")
    assert index.terms.is_unique().all()


def test_what_is_left_out_is_counted(index):
    assert index.counts["reference to no entry, such as `see condition`"] > 500
    assert index.counts["reference to an entry that is not there"] < 400
    assert index.counts["code that no edition has"] < 60
    assert index.counts[f"term of more than {LONGEST_TERM} characters"] > 0
    assert index.counts["retired code, given to its ancestor"] > 0


def test_a_term_that_is_the_title_of_its_code_is_not_repeated(index, ontology):
    titles = ontology.nodes()
    assert all(titles[code].lower() != term.lower() for code, term in index.terms.select("code", "term").iter_rows())


ENTRIES = """<?xml version="1.0"?><ICD10CM.index><version>2031</version><letter><title>A</title>
<mainTerm><title>Grippe<nemod>(summer)</nemod> NEC</title><code>J11.1</code>
  <term level="1"><title>{long}</title><code>J11.1</code></term>
  <term level="1"><title>made up</title><code>U99.9</code></term>
  <term level="1"><title>nowhere</title><see>Influenza</see></term>
  <term level="1"><title>round</title><see>Grippe, about</see></term>
  <term level="1"><title>about</title><see>Grippe, round</see></term>
</mainTerm></letter></ICD10CM.index>"""


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"Table and Index/{name}.xml", text)
    return path


def test_names_of_another_year_are_read_too_and_every_loss_has_a_reason(tmp_path, ontology):
    path = write_zip(tmp_path / "a.zip", **{"icd10cm-index-April-1-2031": ENTRIES.format(long="x " * 1000)})
    index = read_icd10cm_index(path, ontology)
    assert index.year == "2031"
    assert index.terms.select("code", "term").rows() == [("J11.1", "grippe"), ("J11.1", "summer grippe")]
    assert index.counts == {
        "code that no edition has": 1,
        "reference that leads in a circle": 2,
        "reference to an entry that is not there": 1,
        "term of more than 200 characters": 2,
    }


def test_an_index_of_another_edition_is_refused(tmp_path):
    with pytest.raises(UserError, match="the CDC's index is one of ICD-10-CM, not of ICD-9-CM"):
        read_icd10cm_index(tmp_path / "a.zip", load_ontology("icd9cm"))


def test_a_file_without_entries_is_refused(tmp_path, ontology):
    path = write_zip(tmp_path / "a.zip", icd10cm_index_2031="<ICD10CM.index/>")
    with pytest.raises(UserError, match=r"icd10cm_index_2031.xml has no entry \(<mainTerm>\)"):
        read_icd10cm_index(path, ontology)
