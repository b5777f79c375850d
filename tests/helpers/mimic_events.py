"""MIMIC-IV tables with procedures, drugs and labs, of patients with three admissions each; what must not be told says
canary."""

import random

from prepare_case import write_csv

ADMITTED = ("2150-01-10 08:00:00", "2150-03-10 08:00:00", "2150-05-10 08:00:00")


def tables(patients=12):
    """Table of module hosp -> header and rows.

    Every patient has in visit k (0 to 2) the drug `visit-k`, which tells which visit an event is of; in the last one,
    which is only predicted, the drug and lab `canary`; and in the first an order and a result of the time after the
    second began, `canary` too. What else there is: furosemide under two names, a solution, a lab in range, one flagged
    without a range, one of no admission, procedures with and without a title.
    """
    admissions = [["subject_id", "hadm_id", "admittime", "deathtime"]]
    people = [["subject_id", "gender", "anchor_age", "anchor_year", "dod"]]
    diagnoses = [["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"]]
    drugs = [["subject_id", "hadm_id", "starttime", "drug_type", "drug", "route"]]
    procedures = [["subject_id", "hadm_id", "seq_num", "chartdate", "icd_code", "icd_version"]]
    labs = [
        *[["subject_id", "hadm_id", "itemid", "charttime", "valuenum", "ref_range_lower", "ref_range_upper", "flag"]],
        ["1", "", "50912", "2150-01-11 00:00:00", "9", "0.5", "1.2", "abnormal"],
    ]
    for patient in range(1, patients + 1):
        people.append([patient, "F", 50, 2150, ""])
        for visit, admitted in enumerate(ADMITTED):
            about = [patient, patient * 10 + visit]
            day = admitted.replace("10 08", "11 09")
            admissions.append([*about, admitted, ""])
            diagnoses += [[*about, 1, "I509", 10], [*about, 2, "E119", 10]]
            drugs += [
                [*about, day, "MAIN", f"visit-{'abc'[visit]} 5 mg Tab", "PO"],
                [*about, day, "MAIN", ("Furosemide", "furosemide 40mg", "FUROSEMIDE")[visit], "PO"],
                [*about, day, "BASE", "D5W", "IV"],
            ]
            procedures += [[*about, 1, admitted[:10], "0BH17EZ", 10], [*about, 2, admitted[:10], "9671", 9]]
            labs += [
                [*about, "50912", day, "3.1", "0.5", "1.2", "abnormal"],
                [*about, "50971", day, "4.1", "3.3", "5.1", ""],
                [*about, "51006", day, "", "", "", "abnormal"],
            ]
        last, first = [patient, patient * 10 + 2], [patient, patient * 10]
        drugs += [
            [*last, "2150-05-12 00:00:00", "MAIN", "Canarycillin", "IV"],
            [*first, "2150-03-11 00:00:00", "MAIN", "Canarylate", "IV"],
        ]
        labs += [
            [*last, "99001", "2150-05-12 00:00:00", "9", "1", "2", "abnormal"],
            [*first, "99001", "2150-03-12 00:00:00", "9", "1", "2", "abnormal"],
        ]
        procedures.append([*last, 3, "2150-05-12", "3961", 9])
    return {
        "admissions": admissions,
        "patients": people,
        "diagnoses_icd": diagnoses,
        "prescriptions": drugs,
        "procedures_icd": procedures,
        "d_icd_procedures": [
            ["icd_code", "icd_version", "long_title"],
            ["0BH17EZ", 10, "Insertion of Endotracheal Airway into Trachea"],
            ["3961", 9, "Canary bypass"],
        ],
        "labevents": labs,
        "d_labitems": [
            ["itemid", "label", "fluid"],
            ["50912", "Creatinine", "Blood"],
            ["50971", "Potassium", "Blood"],
            ["51006", "Urea Nitrogen", "Urine"],
            ["99001", "Canary", "Blood"],
        ],
    }


def write_mimic4(folder, patients=12, seed=None):
    """The tables as CSV; with a `seed` their rows in another order."""
    for name, (header, *rows) in tables(patients).items():
        if seed is not None:
            random.Random(seed).shuffle(rows)
        write_csv(folder / f"{name}.csv", [header, *rows])
    return folder
