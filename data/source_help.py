"""What each source is and how to prepare it: the text of its --help."""

EXAMPLES = {
    "diabetes130": """\
Diabetes 130-US Hospitals: diabetic_data.csv, plain or gzipped.

  mera prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit""",
    "mimic3": """\
MIMIC-III: the folder with ADMISSIONS, PATIENTS and DIAGNOSES_ICD, as .csv or .csv.gz.

  mera prepare mimic3 --input mimic-iii/1.4 --output prepared/mimic3
  mera prepare mimic3 --input mimic-iii/1.4 --protocol chet --output prepared/mimic3-chet
  mera prepare mimic3 --input mimic-iii/1.4 --kind coding --output prepared/mimic3-coding
      discharge summaries of NOTEEVENTS, in the same folder or named by --notes
  mera prepare mimic3 --input mimic-iii/1.4 --past-notes --output prepared/mimic3-notes
      next diagnoses, with the discharge summaries of the visits before""",
    "mimic4": """\
MIMIC-IV: the folder hosp with admissions, patients and diagnoses_icd, as .csv or .csv.gz.

  mera prepare mimic4 --input mimiciv/3.1/hosp --code-system to-icd10 --output prepared/mimic4
  mera prepare mimic4 --input mimiciv/3.1/hosp --code-system icd9 --output prepared/mimic4-icd9
  mera prepare mimic4 --input mimiciv/3.1/hosp --notes mimic-iv-note/2.2/note --kind coding \\
      --code-system icd10 --output prepared/mimic4-coding
  mera prepare mimic4 --input mimiciv/3.1/hosp --notes mimic-iv-note/2.2/note --past-notes --max-history 10 \\
      --code-system to-icd10 --output prepared/mimic4-notes
      next diagnoses, with the discharge summaries of the visits before""",
    "mimic-cxr": """\
MIMIC-CXR: radiology reports with the codes of the hospital admission or ED stay they were made in.

  mera prepare mimic-cxr --reports mimic-cxr-reports.zip --metadata mimic-cxr-2.0.0-metadata.csv.gz \\
      --hosp mimiciv/3.1/hosp --code-system icd10 --output prepared/cxr
  mera prepare mimic-cxr --reports mimic-cxr/2.0.0/files --metadata mimic-cxr-2.0.0-metadata.csv.gz \\
      --ed mimic-iv-ed/2.2/ed --code-system to-icd10 --output prepared/cxr-ed""",
    "eicu": """\
eICU: the folder with patient and diagnosis, as .csv or .csv.gz.

  mera prepare eicu --input eicu-crd/2.0 --output prepared/eicu
  mera prepare eicu --input eicu-crd/2.0 --visit unit --code-system icd10 --output prepared/eicu-icu""",
    "desynpuf": """\
CMS DE-SynPUF: inpatient claims and beneficiaries of one or more samples, zipped or not.

  mera prepare desynpuf --input DE1_0_sample_1/ DE1_0_sample_2/ --output prepared/desynpuf""",
    "codiesp": """\
CodiEsp: the unpacked corpus, with the folders train and dev (and test).

  mera prepare codiesp --input codiesp --language en --output prepared/codiesp-en
  mera prepare codiesp --input codiesp --language es --output prepared/codiesp-es
      Spanish notes come with the evidence for each code""",
    "meds": """\
MEDS: a data set of Parquet shards with subject_id, time, code.

  mera prepare meds --input meds/ --code-system icd10 --output prepared/meds
  mera prepare meds --input mimic-iv-meds/ --visit-column hadm_id --code-system to-icd10 --protocol given \\
      --output prepared/meds-mimic4
  mera prepare meds --input meds/ --diagnosis-prefix HOSPITAL_DIAGNOSIS --code-system icd10 --output prepared/meds""",
    "table": """\
A table of your own: CSV or Parquet, one row per diagnosis, or per visit with a list of codes.

  mera prepare table --input visits.csv --patient pid --visit vid --time date --code icd \\
      --code-system icd10 --output prepared/mine
      icd10who in place of icd10: the WHO's edition; --codes icd10gm.csv in its place: a national one
  mera prepare table --input notes.parquet --patient pid --visit vid --code codes --code-separator ";" \\
      --text note --kind coding --code-system icd10 --output prepared/my-notes
      --past-notes instead of --kind coding: next diagnoses, with the notes of the visits before
  mera prepare table --input export.csv --patient pid --time admitted --code icd --sex sex --date-format %d.%m.%Y \\
      --sex-values F=2,M=1 --code-system icd9 --codes-without-zeros --output prepared/mine

What a column may hold, and what happens to the rest: docs/data.md.""",
    "synthetic": """\
Invented patients with real ICD-10-CM codes, whose true next-visit probabilities are known.

  mera prepare synthetic --patients 1500 --kind both --output prepared/synthetic
      writes prepared/synthetic-diagnosis (with oracle.npy) and prepared/synthetic-coding
  mera prepare synthetic --patients 3000 --kind diagnosis --output prepared/big""",
}
