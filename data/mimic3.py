"""MIMIC-III (Johnson et al. 2016): ADMISSIONS, PATIENTS and DIAGNOSES_ICD, all in ICD-9-CM; notes
in NOTEEVENTS.

Access to the full database needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

from pathlib import Path

from data.code_columns import by_ontology, resolve_codes
from data.cohort import Patient, build_cohort
from data.csv_tables import InputFile
from data.discharge_notes import next_admissions, read_mimic3_notes, visits_with_notes
from data.ledger import Ledger
from data.mimic import admission_visits, diagnoses_table, read_mimic_table
from data.ontology import load_ontology


def read_mimic3(
    folder: str | Path, ledger: Ledger, notes: str | Path | None = None, past_notes: bool = False
) -> tuple[list[Patient], list[InputFile]]:
    """The cohort in ICD-9-CM, and the files it was read from.

    `folder` holds the tables as .csv or .csv.gz, names and headers in any case. With `notes`, the file NOTEEVENTS or
    its folder, visits are the admissions that have a discharge summary (see `data.discharge_notes`); with `past_notes`,
    for histories, all admissions with the summaries they have. Raises FileNotFoundError or ValueError where a file
    cannot be used.
    """
    admissions = read_mimic_table(folder, "ADMISSIONS", ["subject_id", "hadm_id", "admittime", "deathtime"])
    patients = read_mimic_table(folder, "PATIENTS", ["subject_id", "gender", "dob", "dod"])
    diagnoses = read_mimic_table(folder, "DIAGNOSES_ICD", ["subject_id", "hadm_id", "seq_num", "icd9_code"])
    ledger.read("diagnoses", diagnoses.rows.height)
    visits = admission_visits(admissions.rows, patients.rows, ledger)
    files = [admissions.file, patients.file, diagnoses.file]
    texts = None
    if notes is not None:
        texts, file = read_mimic3_notes(notes, ledger, next_admissions(visits) if past_notes else None)
        visits = visits_with_notes(visits, texts, ledger, required=not past_notes)
        files.append(file)
    codes = resolve_codes(
        diagnoses_table(diagnoses.rows, "icd9_code"), by_ontology(load_ontology("icd9cm")), "icd9cm", ledger
    )
    return build_cohort(visits, codes, ledger, texts=texts), files
