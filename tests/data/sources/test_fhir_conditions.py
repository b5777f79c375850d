"""FHIR: which conditions are diagnoses of which visits, and what they tell too late."""

import json

import fhir_export as fhir
import pytest
from fhir_export import prepared
from prepare_case import accounting, dropped, every_row, example_of

ICD10 = ("--code-system", "icd10")


def test_each_coding_in_the_wanted_version_is_a_code(tmp_path):
    both = fhir.condition("n1", "p1", "e11", "E11.22")
    both["code"]["coding"].append({**both["code"]["coding"][-1], "code": "N18.30"})
    task = prepared(tmp_path, [*fhir.export(), both])
    assert {"E11.22", "N18.30"} <= set(example_of(task, "p1")["history"][0]["codes"])
    assert accounting(task)["diagnoses"]["added"] == {"further coding of a condition": 1}


def test_what_began_after_the_next_visit_is_no_past(tmp_path):
    """By the condition's own time, or where it has none by the encounter that it names: part b of a first visit that
    began after the second."""
    late = {"onsetDateTime": "2020-03-01", "recordedDate": "2020-01-11"}
    resources = [
        *fhir.export(),
        fhir.condition("n1", "p1", "e11", "C34.90", **late),
        fhir.condition("n2", "p1", "e11", "J18.9", onsetDateTime="2019-06", recordedDate="2020-01-11"),
        fhir.encounter("x1", "p2", "2020-04-01", partOf={"reference": "Encounter/e21"}),
        fhir.condition("n3", "p2", "x1", "C34.90"),
    ]
    task = prepared(tmp_path, resources)
    assert dropped(task, "diagnoses") == {"condition of after the next visit began": 2}
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "J18.9"]
    assert example_of(task, "p2")["history"][0]["codes"] == ["I50.9", "I10"]


def test_visits_that_overlap_are_counted(tmp_path):
    long = [fhir.encounter("x1", "p1", "2019-12-01"), fhir.condition("n1", "p1", "x1", "N17.9")]
    long[0]["period"]["end"] = "2020-01-20T10:00:00Z"
    task = prepared(tmp_path, [*fhir.export(), *long])
    reason = "visit that ended after the patient's next one began, in whose history its codes stand"
    assert task.info["changed"] == {reason: 1}


def test_the_newest_version_of_a_resource_counts(tmp_path):
    def version(number, status, day):
        verified = {"verificationStatus": {"coding": [{"code": status}]}}
        about = {"meta": {"versionId": f"{number}", "lastUpdated": f"2020-05-{day}T00:00:00Z"}}
        return fhir.condition("n1", "p1", "e11", "A41.9", **verified, **about)

    versions = [version(10, "entered-in-error", "10"), version(2, "confirmed", "02")]
    for name, order in (("a", versions), ("b", versions[::-1])):
        task = prepared(tmp_path, [*fhir.export(), *order], name=name)
        assert "A41.9" not in example_of(task, "p1")["history"][0]["codes"]
        assert task.info["changed"] == {"older version of a resource, left out": 1}


def test_what_is_not_certain_is_counted(tmp_path):
    statuses = {"n1": ("differential", "I26.99"), "n2": ("provisional", "I21.4"), "n3": ("unconfirmed", "K85.90")}
    resources = [
        fhir.condition(name, "p1", "e11", code, verificationStatus={"coding": [{"code": status}]})
        for name, (status, code) in statuses.items()
    ]
    task = prepared(tmp_path, [*fhir.export(), *resources])
    assert dropped(task, "diagnoses") == {"condition of a differential diagnosis": 1}
    assert task.info["changed"] == {"condition that is unconfirmed or provisional, read as a diagnosis": 2}
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "I21.4", "K85.90"]


def test_a_death_of_a_year_is_its_last_day(tmp_path):
    resources = [*fhir.export(), *(fhir.patient(f"p{n}", "female", "1950", deceasedDateTime="2020") for n in (1, 2))]
    task = prepared(tmp_path, resources)
    assert dropped(task, "visits") == {}
    assert len(every_row(task)) == 12


def test_an_encounter_lists_conditions_and_nothing_else(tmp_path):
    listed = [
        {"condition": {"reference": "Procedure/c21a"}},
        {"condition": {"reference": "#inside"}},
        {"condition": [{"concept": {"coding": [{"code": "N17.9"}]}}]},
        {"condition": {"reference": "https://ehr.example/fhir/Condition/n1/_history/2"}},
    ]
    resources = [
        *fhir.export(),
        fhir.encounter("x1", "p1", "2020-07-01", diagnosis=listed),
        fhir.condition("n1", "p1", "", "J18.9"),
    ]
    task = prepared(tmp_path, resources)
    assert example_of(task, "p1")["targets"] == ["J18.9"]
    reason = "diagnosis of an encounter that is no resource Condition of its own, left out"
    assert task.info["changed"] == {reason: 2}


def test_a_condition_is_of_every_encounter_that_lists_it(tmp_path):
    """Problem lists: one condition, named by each visit where it was treated."""
    resources = [each for each in fhir.export() if each["resourceType"] != "Condition"]
    for each in resources:
        if each["resourceType"] == "Encounter":
            of, place = each["subject"]["reference"].removeprefix("Patient/"), each["id"][-1]
            each["diagnosis"] = [
                {"condition": {"reference": f"Condition/{of}-{name}"}, "rank": rank}
                for rank, name in enumerate(["new", "old"] if place == "2" else ["old"], start=1)
            ]
    for number in range(1, 13):
        resources += [
            fhir.condition(f"p{number}-{name}", f"p{number}", "", code)
            for name, code in (("old", "I10"), ("new", "N17.9"))
        ]
    task = prepared(tmp_path, resources)
    assert example_of(task, "p3")["targets"] == ["N17.9", "I10"]
    assert accounting(task)["diagnoses"]["added"] == {"condition of several encounters": 12}


def test_a_refuted_condition_may_say_so_in_any_of_its_codings(tmp_path):
    both = {"verificationStatus": {"coding": [{"system": fhir.SNOMED, "code": "410516002"}, {"code": "refuted"}]}}
    task = prepared(tmp_path, [*fhir.export(), fhir.condition("c1", "p1", "e12", "N17.9", **both)])
    assert dropped(task, "diagnoses") == {"condition refuted or entered in error": 1}


def test_of_two_codings_the_wanted_version_counts(tmp_path):
    nine = {"system": "http://hl7.org/fhir/sid/icd-9-cm", "code": "401.9"}
    resources = fhir.export()
    for resource in resources:
        if resource["resourceType"] == "Condition":
            resource["code"]["coding"].append(nine)
    assert example_of(prepared(tmp_path, resources, *ICD10), "p1")["targets"] == ["I50.9", "I10"]
    assert example_of(prepared(tmp_path, resources, "--code-system", "icd9", name="u"), "p1")["targets"] == ["401.9"]
    with pytest.raises(ValueError, match="no Condition has an encounter and a coding in ICD-9-CM or ICD-10-CM"):
        prepared(tmp_path, resources, "--code-system", "icd10who", name="v")


def test_versions_are_compared_by_time_and_documents_have_them_too(tmp_path):
    def version(code, updated):
        return fhir.condition("n1", "p1", "e11", code, meta={"lastUpdated": updated})

    newest = "2020-05-01T10:00:00.500Z"
    for name, older in (("a", "2020-05-01T10:00:00Z"), ("b", "2020-05-01T11:30:00+02:00"), ("c", "")):
        task = prepared(tmp_path, [*fhir.export(), version("J18.9", newest), version("N17.9", older)], name=name)
        assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "J18.9"]
    notes = [
        fhir.document("d1", "p1", "e12", f"a {word} note", "2020-02-11") | {"meta": {"versionId": number}}
        for word, number in (("newer", "2"), ("former", "1"))
    ]
    task = prepared(tmp_path, [*fhir.export(), *notes], "--kind", "coding", name="notes")
    texts = " ".join(row["text"] for row in every_row(task))
    assert "a newer note" in texts
    assert "former" not in texts
    assert task.info["changed"]["older version of a resource, left out"] == 1


def test_a_stay_within_a_ward_of_another_class_is_of_the_hospital_stay(tmp_path):
    ward = fhir.encounter("x1", "p1", "2020-01-11", kind="ACUTE", partOf={"reference": "Encounter/e11"})
    bed = fhir.encounter("x2", "p1", "2020-01-12", kind="ACUTE", partOf={"reference": "Encounter/x1"})
    task = prepared(
        tmp_path, [*fhir.export(), ward, bed, fhir.condition("n1", "p1", "x2", "J44.9")], "--encounter-class", "IMP"
    )
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "J44.9"]


def test_a_year_alone_may_be_after_the_next_visit(tmp_path):
    late = fhir.condition("n1", "p1", "e11", "C34.90", onsetDateTime="2021")
    known = fhir.condition("n2", "p1", "e11", "J18.9", onsetDateTime="2020")
    task = prepared(tmp_path, [*fhir.export(), late, known])
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "J18.9"]
    assert dropped(task, "diagnoses") == {"condition of after the next visit began": 1}


def test_times_that_cannot_be_read_are_counted(tmp_path):
    resources = [*fhir.export(), fhir.condition("n1", "p1", "e11", "J18.9", onsetDateTime="2020-13-40")]
    resources += [fhir.encounter("x1", "p1", "2019-12-01"), fhir.condition("n2", "p1", "x1", "N17.9")]
    resources[-2]["period"]["end"] = "soon"
    task = prepared(tmp_path, resources)
    assert task.info["changed"] == {
        "end of an encounter that cannot be read, taken for none": 1,
        "time of a condition that cannot be read, taken for none": 1,
    }


@pytest.mark.parametrize("status", [{"text": "Entered in error"}, {"coding": [{"code": "Entered-In-Error"}]}])
def test_what_was_entered_in_error_is_none_however_it_is_written(tmp_path, status):
    wrong = fhir.condition("n1", "p1", "e11", "J18.9", verificationStatus=status)
    task = prepared(tmp_path, [*fhir.export(), wrong])
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10"]
    assert dropped(task, "diagnoses") == {"condition refuted or entered in error": 1}


def test_codings_in_another_edition_of_icd_are_not_called_none(tmp_path):
    of_the_who = fhir.condition("n1", "p1", "e11", "J18.9", system="http://hl7.org/fhir/sid/icd-10")
    task = prepared(tmp_path, [*fhir.export(), of_the_who])
    assert dropped(task, "diagnoses") == {"condition with codings in another edition of ICD alone (--code-system)": 1}


def bundle(entries):
    return json.dumps({"resourceType": "Bundle", "entry": entries}, indent=1)


def test_files_of_json_and_bundles_are_read_beside_ndjson(tmp_path):
    folder = fhir.write(tmp_path / "fhir", fhir.export())
    whole = example_of(prepared(tmp_path, folder, name="whole"), "p1")
    stored = (folder / "Condition.000.ndjson").read_text(encoding="utf-8").splitlines()
    (folder / "Condition.000.ndjson").write_text("\n".join(stored[:4]) + "\n", encoding="utf-8")
    (folder / "Condition.001.json").write_text("\n".join(stored[4:8]) + "\n", encoding="utf-8")
    resources = [{"resource": json.loads(line)} for line in stored[8:]]
    (folder / "bundle.json").write_text(bundle(resources), encoding="utf-8")
    (folder / "manifest.json").write_text('{"transactionTime": "2020-01-01", "output": []}', encoding="utf-8")
    task = prepared(tmp_path, folder, name="parts")
    assert example_of(task, "p1") == whole
    assert accounting(task)["diagnoses"]["read"] == len(stored)


def test_what_an_export_deletes_is_left_out(tmp_path):
    folder = fhir.write(tmp_path / "fhir", [*fhir.export(), fhir.condition("n1", "p1", "e11", "J18.9")])
    (folder / "deleted").mkdir()
    request = {"method": "DELETE", "url": "Condition/n1"}
    deletion = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}
    (folder / "deleted" / "del.ndjson").write_text(json.dumps(deletion) + "\n", encoding="utf-8")
    task = prepared(tmp_path, folder)
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10"]
    assert task.info["changed"] == {"resource that the export says was deleted, left out": 1}


def deletion(url, when=""):
    entry = {"request": {"method": "DELETE", "url": url}}
    return {"resourceType": "Bundle", "meta": {"lastUpdated": when}, "entry": [entry]}


def test_a_deletion_counts_against_older_versions_alone_and_others_are_told(tmp_path):
    folder = fhir.write(tmp_path / "fhir", fhir.export())
    newer = fhir.condition("n1", "p1", "e11", "J18.9", meta={"lastUpdated": "2022-01-01T00:00:00Z"})
    older = fhir.condition("n2", "p1", "e11", "N17.9", meta={"lastUpdated": "2019-01-01T00:00:00Z"})
    when = "2020-01-01T00:00:00Z"
    lines = [newer, older, *(deletion(url, when) for url in ("Condition/n1", "Condition/n2", "Procedure/x"))]
    (folder / "later.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    task = prepared(tmp_path, folder)
    assert example_of(task, "p1")["history"][0]["codes"] == ["I50.9", "I10", "J18.9"]
    assert task.info["changed"] == {
        "resource that the export says was deleted, left out": 1,
        "deletion of a resource of the type Procedure, which is not looked at": 1,
    }


def test_bundles_within_bundles_are_opened_and_damaged_ones_refused(tmp_path):
    extra = fhir.condition("n1", "p1", "e11", "J18.9")
    folder = fhir.write(tmp_path / "fhir", fhir.export())
    inner = {"resourceType": "Bundle", "entry": [{"resource": extra}]}
    (folder / "bundle.json").write_text(bundle([{"resource": inner}]), encoding="utf-8")
    assert "J18.9" in example_of(prepared(tmp_path, folder), "p1")["history"][0]["codes"]
    (folder / "bundle.json").write_text(bundle([{"resource": inner}])[:-20], encoding="utf-8")
    with pytest.raises(ValueError, match=r"bundle.json is not JSON from line \d+, column \d+ on; is it cut off"):
        prepared(tmp_path, folder, name="cut")
