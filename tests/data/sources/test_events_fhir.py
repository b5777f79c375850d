"""Procedure, Medication... and Observation of FHIR: of past encounters alone, everything counted."""

import pytest
from fhir_export import events, export, write
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run

OPTIONS = ("--code-system", "icd10", "--events", "procedures,drugs,labs", "--min-event-patients", 3, *EVEN)
EXPECTED = {
    "procedure:10:0BH17EZ": "Medical and Surgical, Respiratory System, Insertion (0BH17EZ)",
    "procedure:cpt:93000": "Electrocardiogram",
    "drug:lasix": "lasix",
    "drug:metoprolol": "metoprolol",
    "lab:loinc.org:2160-0:high": "Lab 2160-0 high",
    "lab:loinc.org:2951-2:low": "Lab 2951-2 low",
}


def with_identifiers(resources):
    return [
        each | {"identifier": [{"value": f"known as {each['id']}"}]}
        if each["resourceType"] in ("Patient", "Encounter")
        else each
        for each in resources
    ]


@pytest.mark.parametrize("identifiers", [True, False])
def test_events_are_those_of_the_encounters_before(tmp_path, identifiers):
    folder = write(tmp_path / "export", with_identifiers([*export(), *events()]))
    more = ["--identifiers"] if identifiers else []
    (task,) = run("fhir", "--input", folder, *OPTIONS, *more, "--output", tmp_path / "task")
    assert dict(task.events.select("event", "name").iter_rows()) == EXPECTED
    assert all([visit["events"] for visit in row["history"]] == [sorted(EXPECTED)] for row in every_row(task))
    assert every_row(task)[0]["patient_id"].startswith("known as") == identifiers
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary" not in stored.lower()
    assert dropped(task, "events") == {
        "entered in error, cancelled, planned or not done": 12,
        "lab within its range": 12,
        "observation of another category than laboratory": 12,
        "of the last visit, which is to be predicted": 36,
        "procedure of after the next visit began": 12,
    }
    assert_adds_up(task)


def test_a_kind_that_was_not_asked_for_is_left_out_as_other_resources_are(tmp_path):
    folder = write(tmp_path / "export", [*export(), *events()])
    options = ("--code-system", "icd10", "--events", "procedures", "--min-event-patients", 3, *EVEN)
    (task,) = run("fhir", "--input", folder, *options, "--output", tmp_path / "task")
    assert set(task.events["kind"]) == {"procedure"}
    # 12 documents are looked at; 8 drugs and labs of each patient, and a Medication, are not.
    unread = [number for reason, number in task.info["changed"].items() if reason.startswith("resource of the type")]
    assert sum(unread) == 12 * 8 + 1


def test_what_was_only_planned_or_came_later_is_no_event(tmp_path):
    def about(kind, name, **more):
        person, _, number = name.partition("n")
        place = {"subject": {"reference": f"Patient/p{person}"}, "encounter": {"reference": f"Encounter/e{person}1"}}
        return {"resourceType": kind, "id": f"{person}n{number}", **place, **more}

    def drug(kind, number, name, **more):
        return about(kind, f"{person}n{number}", medicationCodeableConcept={"text": name}, **more)

    now = {"authoredOn": "2020-01-11"}
    wanted = [{"type": {"coding": [{"code": "treatment"}]}, "low": {"value": 5}}, {"high": {"value": 9}}]
    lab = {"code": {"coding": [{"code": "8-8"}]}, "valueQuantity": {"value": 1}, "effectiveDateTime": "2020-01-11"}
    resources = []
    for person in range(1, 13):
        resources += [
            drug("MedicationRequest", 1, "Warfarin", status="active", intent="order", doNotPerform=True, **now),
            drug("MedicationRequest", 2, "Amiodarone", status="active", intent="proposal", **now),
            drug("MedicationDispense", 3, "Digoxin", status="declined", whenHandedOver="2020-01-11"),
            drug("MedicationAdministration", 4, "Cisplatin", status="completed", occurenceDateTime="2020-06-01"),
            drug("MedicationAdministration", 5, "Aspirin", status="completed", occurencePeriod={"start": "2020-06-01"}),
            drug("MedicationRequest", 6, "Furosemide", status="active", intent="order", **now),
            about(
                "Procedure",
                f"{person}n7",
                status="preparation",
                code={"text": "bypass"},
                performedDateTime="2020-01-11",
            ),
            about("Observation", f"{person}n8", status="final", referenceRange=wanted, **lab),
        ]
    folder = write(tmp_path / "export", [*export(), *resources])
    options = ("--code-system", "icd10", "--events", "procedures,drugs,labs", "--min-event-patients", 1, *EVEN)
    (task,) = run("fhir", "--input", folder, *options, "--output", tmp_path / "task")
    assert task.events["event"].to_list() == ["drug:furosemide"]
    assert dropped(task, "events") == {
        "drug of after the next visit began": 24,
        "entered in error, cancelled, planned or not done": 48,
        "lab within its range": 12,
    }
