"""MIMIC-III (Johnson et al. 2016): ADMISSIONS, PATIENTS and DIAGNOSES_ICD, all in ICD-9-CM.

Access to the full database needs a data use agreement with PhysioNet; a demo of 100 patients is open.
"""

from pathlib import Path

from data.code_columns import by_ontology, resolve_codes
from data.cohort import Patient, build_cohort
from data.csv_tables import SourceTable
from data.ledger import Ledger
from data.mimic import admission_visits, diagnoses_table, read_mimic_table
from data.ontology import load_ontology


def read_mimic3(folder: str | Path, ledger: Ledger) -> tuple[list[Patient], list[SourceTable]]:
    """The cohort in ICD-9-CM, and the files it was read from.

    `folder` holds the tables as .csv or .csv.gz, names and headers in any case. Raises FileNotFoundError or ValueError
    where one cannot be used.
    """
    admissions = read_mimic_table(folder, "ADMISSIONS", ["subject_id", "hadm_id", "admittime", "deathtime"])
    patients = read_mimic_table(folder, "PATIENTS", ["subject_id", "gender", "dob", "dod"])
    diagnoses = read_mimic_table(folder, "DIAGNOSES_ICD", ["subject_id", "hadm_id", "seq_num", "icd9_code"])
    ledger.read("diagnoses", diagnoses.rows.height)
    visits = admission_visits(admissions.rows, patients.rows, ledger)
    codes = resolve_codes(
        diagnoses_table(diagnoses.rows, "icd9_code"), by_ontology(load_ontology("icd9cm")), "icd9cm", ledger
    )
    return build_cohort(visits, codes, ledger), [admissions, patients, diagnoses]
