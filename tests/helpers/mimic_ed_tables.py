"""MIMIC-IV-ED in the published form: two stays each of a few patients."""

STAYS = ["subject_id", "hadm_id", "stay_id", "intime", "outtime", "gender", "race", "arrival_transport", "disposition"]
TRIAGE = ["subject_id", "stay_id", "temperature", "heartrate", "resprate", "o2sat", "sbp", "dbp", "pain", "acuity"]
TRIAGE += ["chiefcomplaint"]


def stay(patient, number, day, gender="F"):
    return [patient, "", number, f"{day} 08:00:00", f"{day} 12:00:00", gender, "WHITE", "WALK IN", "HOME"]


def tables(people=12):
    stays, triage = [STAYS], [TRIAGE]
    codes = [["subject_id", "stay_id", "seq_num", "icd_code", "icd_version", "icd_title"]]
    patients = [["subject_id", "gender", "anchor_age", "anchor_year", "dod"]]
    for patient in range(1, people + 1):
        patients.append([patient, "F", 59, 2129, ""])
        for visit in (1, 2):
            number = patient * 10 + visit
            stays.append(stay(patient, number, f"2130-0{visit}-10"))
            codes += [[patient, number, 1, "R079", 10, "CHEST PAIN"], [patient, number, 2, "I10", 10, "HYPERTENSION"]]
            complaint = f"Chest pain {'abcdefghijkl'[patient - 1] * 5}"
            triage.append([patient, number, "98.1", 80, 16, 99, 120, "", "", 3, complaint])
    return {"edstays": stays, "diagnosis": codes, "triage": triage, "patients": patients}
