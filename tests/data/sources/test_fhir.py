"""FHIR: Bulk exports in US Core's shapes, counted by hand; and the MIMIC-IV demo on FHIR against its own tables."""

import gzip

import fhir_export as fhir
import polars as pl
import pytest
from fhir_export import prepared
from prepare_case import EVEN, accounting, dropped, every_row, example_of, run
from shared_data import shared_data


def test_codes_come_in_the_order_of_their_ranks(tmp_path):
    task = prepared(tmp_path, fhir.export())
    row = example_of(task, "p3")
    assert (row["age"], row["sex"], row["targets"]) == (69, "F", ["I50.9", "I10"])
    assert row["history"] == [{"codes": ["I50.9", "I10"], "days_before": 31}]
    assert accounting(task)["diagnoses"] == {"read": 48, "added": {}, "used": 48, "dropped": {}}
    assert sorted(task.info["inputs"]) == [
        "Condition.000.ndjson",
        "DocumentReference.000.ndjson",
        "Encounter.000.ndjson",
        "Patient.000.ndjson",
    ]
    primary = prepared(tmp_path, fhir.export(), "--primary-only", name="u")
    assert example_of(primary, "p3")["targets"] == ["I50.9"]


def test_one_gzipped_file_of_all_types_in_any_order_is_the_same(tmp_path):
    resources = fhir.export()
    (tmp_path / "one" / "deep").mkdir(parents=True)
    path = tmp_path / "one" / "deep" / "all.ndjson.gz"
    path.write_bytes(gzip.compress(fhir.lines(resources[::-1]).encode("utf-8-sig")))
    for options in ((), ("--kind", "coding")):
        name = f"{len(options)}"
        first = prepared(tmp_path, resources, *options, name=f"a{name}")
        assert every_row(prepared(tmp_path, tmp_path / "one", *options, name=f"b{name}")) == every_row(first)


def test_fhir_counts_every_trouble(tmp_path):
    refuted = {"verificationStatus": {"coding": [{"code": "refuted"}]}}
    resources = [
        *fhir.export(),
        {"resourceType": "Observation", "id": "o1", "status": "final"},
        fhir.encounter("x91", "p1", "2020-05-01", status="cancelled"),
        fhir.encounter("x92", "p1", "2020-05-01", kind="AMB"),
        fhir.encounter("e93", "p1", ""),
        fhir.encounter("e94", "", "2020-05-01") | {"subject": {}},
        fhir.encounter("e11", "p1", "2020-01-10"),  # a visit twice
        fhir.patient("p90", "unknown", "1880", deceasedDateTime="2020-02-01T00:00:00Z"),
        fhir.encounter("e95", "p90", "2020-01-01"),
        fhir.encounter("e96", "p90", "2020-01-02"),
        fhir.encounter("e97", "p90", "2021-01-02"),  # after death
        fhir.condition("c95", "p90", "e95", "I10"),
        fhir.condition("c96", "p90", "e96", "I10"),
        fhir.condition("c97", "p90", "e97", "I10"),
        fhir.condition("c1", "p1", "e11", "N17.9", **refuted),
        fhir.condition("c2", "p1", "e11", "73211009", system=fhir.SNOMED),
        fhir.condition("c3", "p1", "", "N17.9"),
        fhir.condition("c4", "p1", "e11", "NOCODE"),
    ]
    task = prepared(tmp_path, resources, "--encounter-class", "imp")
    assert dropped(task, "visits") == {
        "without a patient or visit id": 1,
        "planned, cancelled or entered in error": 1,
        "of another class": 1,
        "without a start": 1,
        "death before admission": 1,
    }
    assert dropped(task, "diagnoses") == {
        "condition refuted or entered in error": 1,
        "condition without a coding in ICD": 1,
        "condition without a patient or encounter": 1,
        "not a code of icd10cm": 1,
        "visit dropped or not listed": 1,
    }
    assert task.info["changed"] == {
        "age below 0 or above 120, left out": 2,
        "older version of a resource, left out": 1,
        "resource of the type Observation, which is not read, left out": 1,
    }
    row = example_of(task, "p90")
    assert (row["age"], row["sex"], len(row["history"])) == (None, None, 1)


def test_a_part_is_of_the_class_of_the_visit(tmp_path):
    part = fhir.encounter("x1", "p1", "2020-01-11", kind="ACUTE", partOf={"reference": "Encounter/e11"})
    alone = fhir.encounter("x2", "p1", "2020-01-12", kind="ACUTE")
    conditions = [fhir.condition("n1", "p1", "x1", "N17.9"), fhir.condition("n2", "p1", "x2", "J18.9")]
    task = prepared(tmp_path, [*fhir.export(), part, alone, *conditions], "--encounter-class", "IMP")
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "N17.9"]
    assert dropped(task, "visits") == {
        "of another class": 1,
        "part of another encounter, with which it is read": 1,
    }


def test_shapes_of_other_releases(tmp_path):
    """R5's lists, STU3's context, absolute addresses and urn:uuid references, conditions that only the visit lists."""
    resources = fhir.export()
    listed = [
        {"condition": [{"reference": {"reference": "Condition/n1"}}], "rank": 2},
        {"condition": [{"reference": {"reference": "https://ehr.example/fhir/Condition/n2/_history/3"}}], "rank": 1},
    ]
    r5 = {"class": [{"coding": [{"code": "IMP"}]}], "actualPeriod": {"start": "2020-07-01T00:00:00Z"}, "period": None}
    resources += [
        fhir.encounter("e99", "p1", "", diagnosis=listed, subject={"reference": "urn:uuid:p1"}, **r5),
        fhir.condition("n1", "p1", "", "N17.9"),
        fhir.condition("n2", "p1", "", "J18.9"),
        fhir.condition("n3", "p1", "", "E11.9", context={"reference": "Encounter/e99"}),
    ]
    assert example_of(prepared(tmp_path, resources), "p1")["targets"] == ["J18.9", "N17.9", "E11.9"]


def test_a_stay_on_a_ward_is_no_visit_of_its_own(tmp_path):
    """Germany's core data set has a level for the hospital, the department and the ward. As visits they would predict
    a stay's codes from its own."""
    resources, plain = fhir.export(), prepared(tmp_path, fhir.export())
    for visit in [each for each in resources if each["resourceType"] == "Encounter"]:
        stay, of = visit["id"], visit["subject"]["reference"].removeprefix("Patient/")
        resources += [
            fhir.encounter(f"{stay}-department", of, "2020-02-01", partOf={"reference": f"Encounter/{stay}"}),
            fhir.encounter(f"{stay}-ward", of, "2020-02-01", partOf={"reference": f"Encounter/{stay}-department"}),
            fhir.condition(f"{stay}-also", of, f"{stay}-ward", "I10"),
        ]
    resources += [fhir.condition("c1", "p3", "e32-ward", "J18.9"), fhir.document("d1", "p3", "e32-ward", "of the ward")]
    task = prepared(tmp_path, resources, name="parts")
    assert accounting(task)["visits"]["dropped"] == {"part of another encounter, with which it is read": 48}
    assert example_of(task, "p3")["targets"] == ["I50.9", "I10", "J18.9"]
    others = [row for row in every_row(task) if row["patient_id"] != "p3"]
    assert others == [row for row in every_row(plain) if row["patient_id"] != "p3"]
    notes = prepared(tmp_path, resources, "--kind", "coding", name="notes")
    assert "of the ward" in next(row["text"] for row in every_row(notes) if row["example_id"] == "p3:e32")


def test_encounters_that_are_part_of_each_other_are_visits(tmp_path):
    resources = fhir.export()
    circle = [
        fhir.encounter("a", "p1", "2020-05-01", partOf={"reference": "Encounter/b"}),
        fhir.encounter("b", "p1", "2020-06-01", partOf={"reference": "Encounter/a"}),
        fhir.encounter("c", "p1", "2020-07-01", partOf={"reference": "Encounter/elsewhere"}),
        *(fhir.condition(f"c{visit}", "p1", visit, "J18.9") for visit in "abc"),
    ]
    assert len(example_of(prepared(tmp_path, [*resources, *circle]), "p1")["history"]) == 4


def test_a_record_that_was_replaced_is_the_patient_that_replaced_it(tmp_path):
    resources = fhir.export()
    for each in resources:
        if each["resourceType"] == "Patient" and each["id"] in ("p2", "p4"):
            link = {"other": {"reference": f"Patient/p{int(each['id'][1:]) - 1}"}, "type": "replaced-by"}
            each["link"] = [{"type": "seealso"}, link]
    task = prepared(tmp_path, resources)
    assert accounting(task)["patients"]["read"] == 10
    assert task.info["changed"]["patient whose record was replaced by another, read as that one"] == 2
    assert len(example_of(task, "p1")["history"]) == 3
    assert not [row for row in every_row(task) if row["patient_id"] in ("p2", "p4")]


def test_the_record_that_stays_may_say_which_it_replaced(tmp_path):
    resources = fhir.export()
    kept = next(each for each in resources if (each["resourceType"], each["id"]) == ("Patient", "p1"))
    kept["link"] = [{"other": {"reference": f"Patient/{other}"}, "type": "replaces"} for other in ("p2", "p3")]
    task = prepared(tmp_path, resources)
    assert task.info["changed"] == {"patient whose record was replaced by another, read as that one": 2}
    assert len(example_of(task, "p1")["history"]) == 5


def test_documents_are_the_notes_of_their_visits(tmp_path):
    resources = [
        *fhir.export(),
        fhir.document("d1", "p1", "e11", "a later one", "2020-01-12"),
        fhir.document("d2", "p1", "e11", "an early one", "2020-01-09"),
        fhir.document("d3", "p1", "e11", "after the next visit began", "2020-03-12"),
        fhir.document("d4", "p1", "e11", "x", "2020-01-12", data=None, url="Binary/7"),
        fhir.document("d5", "p1", "e11", "x", "2020-01-12", contentType="application/pdf"),
        fhir.document("d6", "p1", "e11", "x", "2020-01-12", data="no base64!"),
        fhir.document("d7", "p1", "e11", "x", "2020-01-12") | {"status": "entered-in-error"},
        fhir.document("d8", "p1", "", "of no visit", "2020-01-12"),
    ]
    task = prepared(tmp_path, resources, "--kind", "coding")
    text = next(row["text"] for row in every_row(task) if row["example_id"] == "p1:e11")
    assert text == "an early one\n\nnote of e11 aaaaaa said so\n\na later one\n\nafter the next visit began"
    assert dropped(task, "notes") == {"empty": 4, "without an admission or patient id": 1}
    assert task.info["changed"] == {
        "document whose text is not read, counted as empty: entered in error": 1,
        "document whose text is not read, counted as empty: not base64 of a text": 1,
        "document whose text is not read, counted as empty: not plain text": 1,
        "document whose text is not read, counted as empty: text elsewhere (url), or none": 1,
    }
    past = prepared(tmp_path, resources, "--past-notes", name="u")
    assert "after the next visit" not in example_of(past, "p1")["history"][0]["text"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "line 1 is not JSON; a Bulk export has one resource a line"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b"[1]\n", "line 1 is no FHIR resource"),
        (b'\n{"resourceType": 3}', "line 2 is no FHIR resource"),
        (b'{"resourceType": "Patient", "id": "\xff"}', "line 1 is not JSON"),
        (b'{"resourceType": "Patient", "id": "\\ud800"}', "holds no resource Encounter"),
        (b"", "holds no resource Patient"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "x.ndjson").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, tmp_path / "f")
    with pytest.raises(FileNotFoundError, match=r"holds no \.ndjson or \.json file"):
        prepared(tmp_path, tmp_path / "nowhere")


def mimic_on_fhir(folder):
    """The demo's admissions as MIMIC-IV-on-FHIR has them: codes without dots under systems of its own, ids made new."""
    tables = {
        name: pl.read_csv(folder / f"{name}.csv", infer_schema=False).rows(named=True)
        for name in ("patients", "admissions", "diagnoses_icd")
    }
    resources, born = [], {}
    for row in tables["patients"]:
        born[row["subject_id"]] = int(row["anchor_year"]) - int(row["anchor_age"])
        death = {"deceasedDateTime": row["dod"]} if row["dod"] else {}
        resources.append(
            fhir.patient(
                f"pat-{row['subject_id']}",
                {"F": "female", "M": "male"}[row["gender"]],
                f"{born[row['subject_id']]}-01-01",
                identifier=[
                    {"system": "http://mimic.mit.edu/fhir/mimic/identifier/patient", "value": row["subject_id"]}
                ],
                **death,
            )
        )
    for row in tables["admissions"]:
        name = f"enc-{row['hadm_id']}"
        own = [each for each in tables["diagnoses_icd"] if each["hadm_id"] == row["hadm_id"]]
        listed = [
            {"condition": {"reference": f"Condition/{name}-{each['seq_num']}"}, "rank": int(each["seq_num"])}
            for each in own
        ]
        identifier = [{"system": "http://mimic.mit.edu/fhir/mimic/identifier/encounter-hosp", "value": row["hadm_id"]}]
        start = row["admittime"].replace(" ", "T") + "-05:00"
        subject = f"pat-{row['subject_id']}"
        resources.append(fhir.encounter(name, subject, start, identifier=identifier, diagnosis=listed))
        resources += [
            fhir.condition(
                f"{name}-{each['seq_num']}", subject, name, each["icd_code"], fhir.MIMIC + each["icd_version"]
            )
            for each in own
        ]
    return resources


def test_the_mimic_demo_on_fhir_is_the_mimic_demo(tmp_path):
    folder = shared_data("mimic4demo/hosp")
    options = ("--code-system", "to-icd10", "--every-visit")
    (tables,) = run("mimic4", "--input", folder, "--output", tmp_path / "tables", *EVEN, *options)
    task = prepared(tmp_path, mimic_on_fhir(folder), "--identifiers", *options)
    rows = [row | {"age": min(row["age"], 90)} for row in every_row(task)]  # the adapter's oldest
    assert rows == every_row(tables)
    assert accounting(task)["diagnoses"]["read"] == 4506
