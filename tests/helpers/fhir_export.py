"""A Bulk export of FHIR as US Core's profiles have it, and MIMIC-IV as its tables on FHIR are."""

import base64
import json

from prepare_case import EVEN, assert_adds_up, run

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
MIMIC = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-diagnosis-icd"


def patient(name, sex="female", birth="1950-06-15", **more):
    return {"resourceType": "Patient", "id": name, "gender": sex, "birthDate": birth, **more}


def encounter(name, of, start, kind="IMP", **more):
    return {
        "resourceType": "Encounter",
        "id": name,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": kind},
        "subject": {"reference": f"Patient/{of}"},
        "period": {"start": start},
        **more,
    }


def condition(name, of, visit, code, system=ICD10, **more):
    return {
        "resourceType": "Condition",
        "id": name,
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "category": [{"coding": [{"code": "encounter-diagnosis"}]}],
        "code": {"coding": [{"system": SNOMED, "code": "59621000"}, {"system": system, "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        **({"encounter": {"reference": f"Encounter/{visit}"}} if visit else {}),
        **more,
    }


def document(name, of, visit, text, date="2020-01-11T10:00:00Z", **attachment):
    data = base64.b64encode(text.encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "subject": {"reference": f"Patient/{of}"},
        "date": date,
        "content": [{"attachment": {"contentType": "text/plain", "data": data} | attachment}],
        "context": {"encounter": [{"reference": f"Encounter/{visit}"}]},
    }


def export(people=12):
    """Two encounters each of `people`, of the ids e<n>1 and e<n>2."""
    resources = []
    for number in range(1, people + 1):
        name = f"p{number}"
        resources.append(patient(name, "female" if number % 2 else "male"))
        for visit in (1, 2):
            stay = f"e{number}{visit}"
            listed = [{"condition": {"reference": f"Condition/c{number}{visit}b"}, "rank": 1}]
            resources.append(encounter(stay, name, f"2020-0{visit}-10T08:30:00-05:00", diagnosis=listed))
            resources.append(condition(f"c{number}{visit}a", name, stay, "I10"))
            resources.append(condition(f"c{number}{visit}b", name, stay, "I50.9"))
            text = f"note of {stay} {'abcdefghijkl'[number - 1] * 6} said so"
            resources.append(document(f"d{stay}", name, stay, text, f"2020-0{visit}-11"))
    return resources


def _about(kind, name, of, visit, **more):
    place = {"subject": {"reference": f"Patient/{of}"}, "encounter": {"reference": f"Encounter/{visit}"}}
    return {"resourceType": kind, "id": name, "status": "completed"} | place | more


def events(people=12):
    """Procedures, drugs and observations of the encounters of `export`: what is of the last one, of after it began, or
    did not take place says canary."""
    remedy = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "1", "display": "Lasix 40"}]}
    resources = [{"resourceType": "Medication", "id": "m1", "code": {"text": "Metoprolol Tartrate 25 mg"}}]
    laboratory = [{"coding": [{"code": "laboratory"}]}]
    for number in range(1, people + 1):
        of, first, last = f"p{number}", f"e{number}1", f"e{number}2"
        times = {"in": "2020-01-11T09:00:00-05:00", "late": "2020-02-11T09:00:00Z", "last": "2020-02-12"}

        def procedure(name, visit, when, code, system, of=of, **more):
            coding = {"coding": [{"system": SNOMED}, {"system": system, "code": code, **more}]}
            return _about("Procedure", name, of, visit, performedDateTime=when, code=coding)

        def result(name, visit, when, code, value, flag=None, of=of, category=laboratory):
            ranges = {"referenceRange": [{"low": {"value": 0.5}, "high": {"value": 1.2}}]} if flag is None else {}
            flags = {} if flag is None else {"interpretation": [{"coding": [{"code": flag}]}]}
            coding = {"coding": [{"system": "http://loinc.org", "code": code, "display": f"Lab {code}"}]}
            about = {"effectiveDateTime": when, "code": coding, "category": category}
            return _about("Observation", name, of, visit, valueQuantity={"value": value}, **about, **ranges, **flags)

        pcs, cpt = "http://www.cms.gov/Medicare/Coding/ICD10", "http://www.ama-assn.org/go/cpt"
        resources += [
            procedure(f"r{number}1", first, times["in"], "0BH17EZ", pcs),
            procedure(f"r{number}2", first, times["in"], "93000", cpt, display="Electrocardiogram"),
            procedure(f"r{number}3", first, times["late"], "1", cpt, display="canary"),
            procedure(f"r{number}4", last, times["last"], "2", cpt, display="canary"),
            procedure(f"r{number}5", first, times["in"], "3", cpt, display="canary") | {"status": "not-done"},
            _about(
                *("MedicationRequest", f"q{number}1", of, first),
                **{"authoredOn": times["in"], "medicationCodeableConcept": remedy},
            ),
            _about(
                *("MedicationAdministration", f"q{number}2", of, first),
                **{"effectivePeriod": {"start": times["in"]}, "medicationReference": {"reference": "Medication/m1"}},
            ),
            _about("MedicationRequest", f"q{number}3", of, last, medication={"concept": {"text": "canarycillin"}}),
            result(f"o{number}1", first, times["in"], "2160-0", 3.1),
            result(f"o{number}2", first, times["in"], "2160-0", 1.0),
            result(f"o{number}3", first, times["in"], "2951-2", 120, flag="L"),
            result(f"o{number}4", last, times["last"], "1-1", 3.1),
            result(f"o{number}5", first, times["in"], "8-8", 3.1, category=[{"coding": [{"code": "vital-signs"}]}]),
        ]
    return resources


def lines(resources):
    return "\n".join(json.dumps(resource) for resource in resources) + "\n"


def write(folder, resources):
    """A file for each type, as Bulk exports have it."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in {resource["resourceType"] for resource in resources}:
        own = [resource for resource in resources if resource["resourceType"] == kind]
        (folder / f"{kind}.000.ndjson").write_text(lines(own), encoding="utf-8")
    return folder


def prepared(tmp_path, resources, *options, name="t"):
    """The task of an export, or of a folder with one."""
    folder = write(tmp_path / f"fhir-{name}", resources) if isinstance(resources, list) else resources
    (task,) = run("fhir", "--input", folder, "--output", tmp_path / name, *EVEN, *options)
    assert_adds_up(task)
    return task
