"""Where the GEM leaves a choice: no organ that the source does not name, the unspecified code, the hospital's own."""

from collections import Counter

import polars as pl
import pytest
from shared_data import shared_data

from data.codes.body_sites import added_sites
from data.codes.code_columns import DroppedCode
from data.codes.gem import _read_gem, by_gem
from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from data.sources.shared.icd_versions import resolve_versions


@pytest.mark.parametrize(
    ("source", "raw", "code"),
    [
        ("icd9cm", "272.4", "E78.5"),  # hyperlipidemia: unspecified, not other
        ("icd9cm", "493.90", "J45.909"),
        ("icd9cm", "787.91", "R19.7"),
        ("icd9cm", "998.59", "T81.4"),  # an ancestor, rather than a retroperitoneal abscess
        ("icd9cm", "998.2", "T88.8XXA"),  # no organ, rather than the spleen
        ("icd9cm", "560.1", "K56.0"),  # the same title
        ("icd9cm", "250.50", "E11.39"),  # ophthalmic: retinopathy and cataract are more specific
        ("icd9cm", "511.89", "J90"),  # the pleura stands in the heading above
        ("icd9cm", "820.8", "S72.009A"),  # neither right nor left
        ("icd9cm", "272.0", "E78.00"),  # E78.0 of the GEM is divided into unspecified and familial
        ("icd9cm", "276.2", "E87.20"),  # acidosis
        ("icd9cm", "008.45", "A04.72"),  # not specified as recurrent
        ("icd9cm", "585.3", "N18.30"),
        ("icd9cm", "112.1", "B37.31"),  # whose inclusion term is `Candidiasis of vulva and vagina NOS`
        ("icd9cm", "332.0", "G20.A1"),  # Parkinson's disease NOS, and not G20.C, parkinsonism
        ("icd9cm", "519.2", "J98.51"),  # mediastinitis, and not the other diseases of the mediastinum
        ("icd9cm", "277.7", "E88.810"),  # dysmetabolic syndrome
        ("icd9cm", "334.0", "G11.11"),  # Friedreich
        ("icd9cm", "747.29", "Q25.49"),  # other, not unspecified
        ("icd9cm", "633.01", "O00.01"),  # with, not without
        ("icd9cm", "530.83", "K22.89"),  # a leukoplakia is no polyp, though both are esophageal
        ("icd9cm", "V28.6", "Z36.85"),
        ("icd9cm", "V02.61", "Z22"),  # what is left of a retired code is no divided one
        ("icd10cm", "I10", "401.9"),
        ("icd10cm", "I25.10", "414.01"),  # of a native artery, although 414.00 is unspecified
        ("icd10cm", "E78.5", "272.4"),
        ("icd9cm", "9623", "T38.3X1A"),  # no intent is known: an accident, not the assault that the GEM lists, too
        ("icd9cm", "960.0", "T36.0X1A"),
        ("icd9cm", "514", "J81.1"),  # `Hypostatic pneumonia, unspecified organism` is no unspecified disease
        ("icd10cm", "J44.1", "491.21"),  # bronchitis is as much of the lung as asthma
        ("icd10cm", "L03.116", "682.6"),  # of the lower limb: the leg except foot, not the foot
    ],
)
def test_a_choice_by_the_titles_alone(source, raw, code):
    target = {"icd9cm": "icd10cm", "icd10cm": "icd9cm"}[source]
    assert by_gem(source, target)(raw).codes == (code,)


def test_a_bleeding_after_a_procedure_is_of_no_single_organ():
    (code,) = by_gem("icd9cm", "icd10cm")("998.11").codes
    title = load_ontology("icd10cm").definition(code)
    assert added_sites(title, "") == 1, title  # every alternative names at least a system


def test_what_the_hospital_uses_decides_among_equals_and_never_brings_an_organ_in():
    for native, code in ({}, "J98.19"), ({"J98.11": 6}, "J98.11"), ({"J98.11": 6, "J98.19": 7}, "J98.19"):
        assert by_gem("icd9cm", "icd10cm", native)("518.0").codes == (code,)
    assert by_gem("icd9cm", "icd10cm", {"I34.0": 7})("424.0").codes == ("I34.0",)
    assert by_gem("icd9cm", "icd10cm", {"K68.11": 99})("998.59").codes == ("T81.4",)
    assert by_gem("icd9cm", "icd10cm", {"E78.4": 99})("272.4").codes == ("E78.5",)
    assert by_gem("icd9cm", "icd10cm", {"S72.001A": 99})("820.8").codes == ("S72.009A",)
    assert "one of several choices" in by_gem("icd9cm", "icd10cm", {"J98.11": 6})("518.0").change
    resolve = by_gem("icd9cm", "icd10cm", {"I97.42": 3})
    assert resolve("998.11").codes[0].startswith("I97")  # its category, where none of the codes themselves is used


@pytest.mark.parametrize(
    ("title", "of", "added"),
    [
        ("Infection following a procedure", "Other postoperative infection", 0),
        ("Postprocedural retroperitoneal abscess", "Other postoperative infection", 2),
        ("Other complications of the circulatory system", "Cardiac complications", 0),
        ("Cardiac arrest", "Complications of the circulatory system", 2),
        ("Retinal bleeding", "Diseases of the eye", 2),
        ("Disorder of the eye", "Retinal bleeding", 0),
        ("Injury of the skin and of the respiratory system", "Injury", 2),
        ("Early tears of a slip", "Injury", 0),  # no ear, no lip
        ("Fracture of right femur", "Fracture of femur", 2),
        ("Cellulitis of leg, except foot", "Cellulitis of the lower limb", 0),
        ("Cellulitis of foot", "Cellulitis of the lower limb", 2),
        ("Chronic bronchitis", "Chronic obstructive pulmonary disease", 0),
    ],
)
def test_sites_that_a_title_adds(title, of, added):
    assert added_sites(title, of) == added


def test_the_demo_of_mimic4_translates_to_what_its_hospital_uses():
    """Of the rows in ICD-9 whose code has alternatives, few become another one than the hospital's favourite."""
    table = pl.read_csv(shared_data("mimic4demo/hosp/diagnoses_icd.csv"), infer_schema=False)
    icd10 = load_ontology("icd10cm")
    native, old = Counter(), Counter()
    for raw, version in table.select("icd_code", "icd_version").iter_rows():
        if version == "10":
            native[icd10.resolve(raw)[0]] += 1
        else:
            old[raw.strip()] += 1
    resolve = by_gem("icd9cm", "icd10cm", native)
    others = 0
    for raw, count in old.items():
        for alternatives in _read_gem("icd9cm", "icd10cm").get(raw, []):
            codes = {icd10.resolve(alternative)[0] for alternative in alternatives}
            used = [code for code in resolve(raw).codes if code in codes]
            others += count * any(native[code] < max(native[other] for other in codes) for code in used)
    assert old.total() == 2193
    assert others <= 36


def test_rows_of_both_versions_count_the_target_edition_first():
    """The rows in ICD-10 decide about those in ICD-9, whichever stand first."""
    rows = [("1", "1", "1", "5180", 9), ("1", "2", "1", "J9811", 10), ("2", "3", "1", "J98.11", 10)]
    rows = pl.DataFrame(
        rows,
        schema={
            "subject_id": pl.String,
            "hadm_id": pl.String,
            "seq_num": pl.String,
            "icd_code": pl.String,
            "icd_version": pl.Int64,
        },
        orient="row",
    ).with_columns(pl.col("seq_num").cast(pl.Int64))
    ledger = Ledger()
    ledger.read("diagnoses", rows.height)
    codes, system = resolve_versions(rows, "to-icd10", ledger)
    assert system == "icd10cm"
    assert codes["code"].to_list() == ["J98.11"] * 3
    ledger.check_used("diagnoses", 3)


def test_every_source_code_has_one_translation_whatever_the_order_of_the_counts():
    counts = {"J98.11": 6, "I34.0": 7, "K72.00": 2}
    first = by_gem("icd9cm", "icd10cm", counts)
    second = by_gem("icd9cm", "icd10cm", dict(reversed(counts.items())))
    for raw in list(_read_gem("icd9cm", "icd10cm"))[::23]:
        try:
            codes = first(raw).codes
        except (UnknownCode, DroppedCode):
            continue
        assert codes == second(raw).codes
