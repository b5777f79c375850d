"""A Bulk export of FHIR as US Core's profiles have it, and MIMIC-IV as its tables on FHIR are."""

import base64
import json

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


def lines(resources):
    return "\n".join(json.dumps(resource) for resource in resources) + "\n"


def write(folder, resources):
    """A file for each type, as Bulk exports have it."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in {resource["resourceType"] for resource in resources}:
        own = [resource for resource in resources if resource["resourceType"] == kind]
        (folder / f"{kind}.000.ndjson").write_text(lines(own), encoding="utf-8")
    return folder
