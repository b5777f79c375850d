"""Editions of ICD-10 beside that of the United States: the WHO's, and national ones from a table."""

import itertools
import json
from datetime import datetime

import polars as pl
import pytest

from data.codes.code_columns import by_ontology
from data.editions.national_edition import read_national_edition
from data.ledger import Ledger
from data.ontology import UnknownCode, load_ontology
from data.prepare.options import parse_arguments
from data.prepare.run import prepare
from data.task import LEVELS, load_task
from memorize.code_sets.code_set import ontology_codes, task_codes

GM = """\
Code;Definition;Parent
IV;Stoffwechselkrankheiten;
E10-E14;Diabetes mellitus;IV
E11.-;Diabetes mellitus, Typ 2;E10-E14
E11.9-;Typ 2, ohne Komplikationen;E11.-
E11.90;Typ 2, ohne Komplikationen, nicht entgleist;E11.9-
E11.90;Altersdiabetes, nicht entgleist;
M79.70;Fibromyalgie: Mehrere Lokalisationen;
A17.0†;Tuberkulöse Meningitis;
U99.9;Belegte Schlüsselnummer;
M8000/3;Neoplasma;
"""


def edition_of(tmp_path, text):
    path = tmp_path / "gm.csv"
    path.write_text(text, encoding="utf-8")
    ledger = Ledger()
    return read_national_edition(path, ledger)[0], ledger.record()["changed"]


def assert_levels_nest(ontology):
    """Every group has a name and lies in one group of the level above."""
    parent_of = {}
    for code in ontology.leaves():
        groups = ontology.groups(code)
        assert list(groups) == list(LEVELS)
        assert ontology.normalize(code) == code
        assert ontology.definition(code)
        for upper, lower in itertools.pairwise(LEVELS):
            assert parent_of.setdefault((lower, groups[lower]), groups[upper]) == groups[upper], code
    for level, group in parent_of:
        assert ontology.group_name(level, group), (level, group)


@pytest.mark.parametrize(
    ("raw", "code", "exact"),
    [
        ("F17.1", "F17.1", True),  # three that ICD-10-CM does not have
        ("t810", "T81.0", True),
        ("M79.79", "M79.7", False),  # the site, which the WHO leaves to who wants it
        ("W01.0", "W01", False),  # the place, likewise
        ("I10X", "I10", True),
        ("A18.0+", "A18.0", True),
        ("M01.1*", "M01.1", True),
        ("E11.-", "E11", True),
        ("B18.00", "B18.00", True),
    ],
)
def test_the_whos_edition_reads_what_its_users_write(raw, code, exact):
    assert load_ontology("icd10who").resolve(raw) == (code, exact)


@pytest.mark.parametrize("raw", ["E11ZZZA", "C2100ZZ", "QQQ", "250.00", "E119XYZ", "", "A00-A09"])
def test_the_whos_edition_refuses_what_is_no_code(raw):
    with pytest.raises(UnknownCode, match="is not a code of ICD-10 of the WHO"):
        load_ontology("icd10who").resolve(raw)


def test_the_whos_levels_nest_and_chapters_are_called_by_their_range():
    who = load_ontology("icd10who")
    assert_levels_nest(who)
    assert tuple(who.groups("E11.9").values()) == ("all", "E00-E90", "E10-E14", "E11", "E11.9")
    assert who.group_name("chapter", "E00-E90") == "Endocrine, nutritional and metabolic diseases"
    assert who.ancestors("E11.9") == ["E11", "E10-E14", "E00-E90"]


@pytest.mark.parametrize("system", ["icd9cm", "icd10cm", "icd10who"])
def test_every_leaf_of_an_ontology_can_be_memorized(system):
    codes = ontology_codes(system)
    assert len(set(codes.codes)) == len(codes.codes) > 10_000


def test_a_table_is_an_edition_with_its_own_parents_and_the_whos_where_it_has_none(tmp_path):
    edition, changed = edition_of(tmp_path, GM)
    assert_levels_nest(edition)
    assert tuple(edition.groups("E11.90").values()) == ("all", "IV", "E10-E14", "E11", "E11.9")
    assert edition.group_name("chapter", "IV") == "Stoffwechselkrankheiten"
    assert edition.definition("E11.90") == "Typ 2, ohne Komplikationen, nicht entgleist"
    assert edition.synonyms("E11.90") == ["Altersdiabetes, nicht entgleist"]
    assert tuple(edition.groups("M79.70").values()) == ("all", "M00-M99", "M70-M79", "M79", "M79")
    assert edition.group_name("block", "M70-M79") == "Other soft tissue disorders"
    assert edition.resolve("A17.0+") == ("A17.0", True)
    assert edition.groups("U99.9")["chapter"] == "U00-U99"  # a category that the WHO does not know
    assert changed == {"row of gm.csv that is no ICD-10 code and stands over none, left out": 1}
    assert edition.system == "codes:gm"
    assert edition.edition.startswith("gm.csv (6 codes, sha256 ")


def test_listed_ranges_are_headings_without_a_column_of_parents(tmp_path):
    edition, changed = edition_of(
        tmp_path, "code,definition\nA00-B99,Infecciosas\nA15 - A19,Tuberculosis\nA18,Otras\nA18.0,Ósea\nB20,VIH\n"
    )
    assert tuple(edition.groups("A18.0").values()) == ("all", "A00-B99", "A15-A19", "A18", "A18.0")
    assert tuple(edition.groups("B20").values()) == ("all", "A00-B99", "B20", "B20", "B20")
    assert edition.group_name("block", "A15-A19") == "Tuberculosis"
    assert changed == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,definition\nfoo,bar\n", "gm.csv holds no code of the form of ICD-10 in its column code"),
        ("code,definition\nA00,x\nA01,\n", "gm.csv: 1 of 2 codes have no definition; every code needs one"),
        ("code,definition,parent\nA00,x,I\nI,y,II\nII,z,I\n", "gm.csv: the parents of A00 go round in a circle"),
        ("code,title\nA00,x\n", "definition"),
    ],
)
def test_a_table_that_is_no_edition_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        edition_of(tmp_path, text)


@pytest.mark.parametrize(
    ("system", "raw", "category"),
    [
        ("icd10cm", "M79.79", "M79"),
        ("icd10cm", "f171", "F17"),
        ("icd10cm", "T81.0", "T81"),
        ("icd10cm", "I10.00", "I10"),
        ("icd9cm", "401.55", "401"),
        ("icd9cm", "E950.77", "E950"),
        ("icd10who", "S52.5Z", "S52"),
        ("icd10cm", "C2100ZZ", None),  # a procedure
        ("icd10cm", "C20 3x", None),
        ("icd10cm", "E11 diabetes", None),
        ("icd10cm", "E11.ABC", None),
        ("icd9cm", "40155x", None),
    ],
)
def test_granularity_category_keeps_a_category_of_what_has_the_form_of_a_code(system, raw, category):
    resolve = by_ontology(load_ontology(system), "category")
    if category is None:
        with pytest.raises(UnknownCode):
            resolve(raw)
        return
    resolved = resolve(raw)
    assert resolved.codes == (category,)
    assert resolved.change == "full code unknown, its category kept"
    with pytest.raises(UnknownCode):
        by_ontology(load_ontology(system))(raw)


@pytest.fixture
def chilean_table(tmp_path):
    rows = [
        (patient, visit, f"2020-0{visit}-01", code)
        for patient in range(12)
        for visit in (1, 2)
        for code in ("M79.79", "F17.1", "T81.0", "E11.9")
    ]
    path = tmp_path / "egresos.csv"
    pl.DataFrame(rows, schema=["patient", "visit", "day", "icd"], orient="row").write_csv(path)
    return path


def prepared(table, output, *options):
    columns = ["--patient", "patient", "--visit", "visit", "--time", "day", "--code", "icd"]
    return prepare(
        parse_arguments(["table", "--input", str(table), *columns, "--output", str(output), *map(str, options)])
    )[0]


def test_a_task_of_each_edition_keeps_what_it_knows(chilean_table, tmp_path):
    american = prepared(chilean_table, tmp_path / "cm", "--code-system", "icd10")
    assert american.codes == ["E11.9"]
    assert american.info["dropped"]["not a code of icd10cm"] == 72
    by_category = prepared(chilean_table, tmp_path / "cat", "--code-system", "icd10", "--granularity", "category")
    assert by_category.codes == ["E11", "F17", "M79", "T81"]
    assert by_category.info["changed"]["full code unknown, its category kept"] == 72
    who = prepared(chilean_table, tmp_path / "who", "--code-system", "icd10who")
    assert who.codes == ["E11.9", "F17.1", "M79.7", "T81.0"]
    assert who.info["ontology"] == "icd10who"
    assert who.info["dropped"] == {}


def test_a_task_of_a_national_edition_needs_its_table_no_more(chilean_table, tmp_path):
    codes = tmp_path / "cie10.csv"
    codes.write_text("code,definition\nM79.79,Fibromialgia\nF17.1,Tabaco\nT81.0,Hemorragia\nE11.9,Diabetes\n")
    task = prepared(chilean_table, tmp_path / "national", "--codes", codes)
    assert task.codes == ["E11.9", "F17.1", "M79.79", "T81.0"]
    assert task.info["ontology"] == "codes:cie10"
    assert set(task.info["inputs"]) == {"egresos.csv", "cie10.csv"}
    codes.unlink()
    again = load_task(tmp_path / "national")
    learnt = task_codes(again)
    assert learnt.meanings()["M79.79"] == "Fibromialgia"
    assert learnt.group_names["block"][learnt.groups("block")[2]] == "Other soft tissue disorders"
    assert json.loads((tmp_path / "national" / "task.json").read_text())["edition"].startswith("cie10.csv (4 codes")


def test_a_table_of_diagnoses_says_which_edition_it_is_of(chilean_table, tmp_path):
    with pytest.raises(ValueError, match="a table needs --code-system or --codes"):
        prepared(chilean_table, tmp_path / "none")
    with pytest.raises(
        ValueError, match="--codes is itself the table of an edition of ICD-10; leave --code-system icd9 out"
    ):
        prepared(chilean_table, tmp_path / "nine", "--code-system", "icd9", "--codes", "x.csv")
    with pytest.raises(ValueError, match=r"--granularity ccs groups codes of ICD-9-CM and ICD-10-CM, got .* icd10who"):
        prepared(chilean_table, tmp_path / "ccs", "--code-system", "icd10who", "--granularity", "ccs")


def test_meds_codes_can_be_of_the_who(tmp_path):
    folder = tmp_path / "meds" / "data"
    folder.mkdir(parents=True)
    codes = ["ICD10//F17.1", "ICD10WHO//T81.0", "ICD10CM//E11.9", "ICD9//4280"]
    events = [(patient, datetime(2020, month, 1), code) for patient in range(12) for month in (1, 2) for code in codes]
    pl.DataFrame(events, schema=["subject_id", "time", "code"], orient="row").write_parquet(folder / "0.parquet")
    arguments = [
        "meds",
        "--input",
        str(tmp_path / "meds"),
        "--code-system",
        "icd10who",
        "--output",
        str(tmp_path / "o"),
    ]
    (task,) = prepare(parse_arguments(arguments))
    assert task.codes == ["F17.1", "T81.0"]
    assert task.info["ontology"] == "icd10who"
    assert task.info["dropped"] == {
        "diagnosis in the edition ICD10CM, which is not read": 24,
        "icd9cm row, not asked for": 24,
    }
