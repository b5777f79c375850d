"""MIMIC-III with notes in exactly the published format."""

import csv

from prepare_case import write_csv

# Row order of MIMIC-III v1.4, headers quoted, numbers bare, texts quoted with line breaks inside.
NOTE_HEADER = [
    "ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "STORETIME", "CATEGORY", "DESCRIPTION", "CGID",
    "ISERROR", "TEXT",
]  # fmt: skip


def summary(patient, words):
    return f'Admission Date:  [**2130-1-10**]\n\nService: "MEDICINE"\nHISTORY: patient {patient} {words}\n'


def write_mimic3(folder):
    admissions = [["ROW_ID", "SUBJECT_ID", "HADM_ID", "ADMITTIME", "DISCHTIME", "DEATHTIME"]]
    patients = [["ROW_ID", "SUBJECT_ID", "GENDER", "DOB", "DOD"]]
    diagnoses = [["ROW_ID", "SUBJECT_ID", "HADM_ID", "SEQ_NUM", "ICD9_CODE"]]
    notes = [NOTE_HEADER]
    for patient in range(1, 9):
        patients.append([patient, patient, "F", "2070-01-11 00:00:00", ""])
        stay = patient * 10
        admissions.append([stay, patient, stay, "2130-01-10 08:00:00", "2130-01-20 08:00:00", ""])
        diagnoses += [[1, patient, stay, 1, "4280"], [2, patient, stay, 2, "4019"]]
        words = " ".join(f"{word}{chr(96 + patient) * 4}" for word in "abcdefghij")
        notes.append(
            [
                patient,
                patient,
                stay,
                "2130-01-20",
                "",
                "",
                "Discharge summary",
                "Report",
                "",
                "",
                summary(patient, words),
            ]
        )
    notes += [
        [91, 1, 10, "2130-01-22", "", "", "Discharge summary", "Addendum", "", "", "second addendum"],
        [90, 1, 10, "2130-01-21", "", "", "Discharge summary", "Addendum", "", "", "first addendum"],
        [89, 1, 10, "2130-01-19", "", "", "Discharge summary ", "Report", "", "", "an early report"],
        [92, 1, 10, "2130-01-23", "", "", "Discharge summary", "Addendum", "", "", "first addendum"],
        [93, 1, 10, "2130-01-20", "2130-01-20 01:00:00", "", "Nursing", "Report", "", "", "not this"],
        [94, 1, 10, "2130-01-20", "", "", "Discharge summary", "Report", "", "1", "an error"],
        [95, 1, "", "2130-01-20", "", "", "Discharge summary", "Report", "", "", "of no admission"],
        [96, 1, 99, "2130-01-20", "", "", "Discharge summary", "Report", "", "", "of an unknown admission"],
        [97, 9, 90, "2130-01-20", "", "", "Discharge summary", "Addendum", "", "", "addendum alone"],
    ]
    admissions.append([90, 9, 90, "2130-01-10 08:00:00", "2130-01-20 08:00:00", ""])
    admissions.append([91, 9, 91, "2130-02-10 08:00:00", "2130-02-20 08:00:00", ""])
    patients.append([9, 9, "M", "2070-01-11 00:00:00", ""])
    diagnoses.append([1, 9, 90, 1, "4280"])
    write_csv(folder / "ADMISSIONS.csv.gz", admissions, csv.QUOTE_NONNUMERIC)
    write_csv(folder / "PATIENTS.csv.gz", patients, csv.QUOTE_NONNUMERIC)
    write_csv(folder / "DIAGNOSES_ICD.csv.gz", diagnoses, csv.QUOTE_NONNUMERIC)
    write_csv(folder / "NOTEEVENTS.csv.gz", notes, csv.QUOTE_NONNUMERIC)
    return folder
