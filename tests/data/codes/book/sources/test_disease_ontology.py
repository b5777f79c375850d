"""Names of the Disease Ontology."""

import gzip

import pytest
from shared_data import shared_data

from data.codes.book.sources.disease_ontology import (
    NO_NAME,
    NO_REFERENCE,
    RANGE,
    RETIRED,
    TO_LEAF,
    UNKNOWN_CODE,
    find_disease_ontology,
    read_disease_ontology,
)
from mera.system.errors import UserError

REFERENCES = (
    "id\tlabel\txref\n"
    '"DOID:1"\t"Addison\'s disease"\t"ICD10CM:E27.1"\n'
    '"DOID:1"\t"Addison\'s disease"\t"ICD9CM:255.41"\n'
    '"DOID:2"\t"asthma"\t"ICD10CM:J45"\n'
    '"DOID:3"\t"diabetes mellitus"\t"ICD10CM:E08-E13"\n'
    '"DOID:4"\t"AIDS"\t"ICD9CM:042-042.99"\n'
    '"DOID:5"\t"unreal disease"\t"ICD10CM:Q99.Z"\n'
    '"DOID:6"\t"carrier"\t"ICD10CM:Z22.50"\n'
)
TRANSLATIONS = (
    "source_id\tpredicate\tsource_text\ttranslation_text\ttranslator\n"
    "DOID:1\toboInOwl:hasExactSynonym\tbronze disease\tenfermedad bronceada\tx\n"
    "DOID:2\trdfs:label\tasthma\tasma\tx\n"
    "DOID:2\toboInOwl:hasRelatedSynonym\twheezing\tsibilancia\tx\n"
    'DOID:2\tIAO:0000115\tA disease that\tUna enfermedad que\t"two\nlines"\n'
    "DOID:9\trdfs:label\telsewhere\ten otra parte\tx\n"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "icd_xrefs.tsv").write_text(REFERENCES, encoding="utf-8")
    (tmp_path / "doid-es-translated.tsv.gz").write_bytes(gzip.compress(TRANSLATIONS.encode()))
    return tmp_path


def test_names_in_two_languages(folder):
    part = read_disease_ontology(folder, "icd10cm")
    assert sorted(part.terms.select("code", "term", "language").rows()) == [
        ("E27.1", "Addison's disease", "en"),
        ("E27.1", "bronze disease", "en"),
        ("E27.1", "enfermedad bronceada", "es"),
        ("J45", "asma", "es"),
        ("J45.909", "asma", "es"),
        ("J45.909", "asthma", "en"),
        ("Z22", "carrier", "en"),
        ("Z22.9", "carrier", "en"),
    ]
    assert set(part.terms["kind"]) == {"name"}
    # Of diseases without a code too: words are learnt of them.
    assert part.translations.rows() == [
        ("bronze disease", "enfermedad bronceada", "es", "disease ontology"),
        ("asthma", "asma", "es", "disease ontology"),
        ("elsewhere", "en otra parte", "es", "disease ontology"),
    ]
    assert part.dropped[RANGE] == 1
    assert part.dropped[UNKNOWN_CODE] == 1
    assert part.dropped[NO_NAME] == 2
    assert part.dropped[NO_REFERENCE] == 1
    assert part.changed[RETIRED] == 1
    assert part.changed[TO_LEAF] == 2


def test_a_range_within_a_category_is_the_category(folder):
    part = read_disease_ontology(folder, "icd9cm")
    assert ("042", "AIDS") in part.terms.select("code", "term").rows()


def test_bad_folders(tmp_path, folder):
    assert find_disease_ontology(tmp_path / "nowhere") is None
    with pytest.raises(UserError, match="refers to codes of icd10cm and icd9cm, not of icd10who"):
        read_disease_ontology(folder, "icd10who")
    (folder / "icd_xrefs.tsv").write_text("id\tlabel\txref\nDOID:1\tx\tICD9CM:042\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"icd_xrefs.tsv refers to no code of ICD-10-CM"):
        read_disease_ontology(folder, "icd10cm")
    (folder / "icd_xrefs.tsv").unlink()
    with pytest.raises(UserError, match=r"lacks icd_xrefs.tsv or doid-es-translated.tsv"):
        read_disease_ontology(folder, "icd10cm")


def test_the_real_tables():
    part = read_disease_ontology(shared_data("disease_ontology"), "icd10cm")
    languages = dict(part.terms["language"].value_counts().iter_rows())
    assert languages["en"] > 5_500
    assert languages["es"] > 1_900
    assert part.dropped[UNKNOWN_CODE] < 30
