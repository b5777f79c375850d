"""The fuzzer for annotated notes, radiology reports and insurance claims: a task comes out whole, or one sentence and
nothing on disk."""

from damaged_files import RULES, damaged, whole_or_refused
from hypothesis import given
from hypothesis import strategies as st

DOCUMENTS = {"train": 8, "dev": 4}


def corpus():
    """CodiEsp's files by their paths, as text."""
    files = {}
    for name, count in DOCUMENTS.items():
        diagnoses, spans = [], []
        for number in range(count):
            document = f"S-{name}-{number}"
            text = f"Paciente con fiebre y neumonía, caso {name} {chr(97 + number) * 9}."
            files[f"{name}/text_files/{document}.txt"] = text
            start = text.index("neumonía")
            diagnoses.append(f"{document}\tj18.9")
            spans.append(f"{document}\tDIAGNOSTICO\tj18.9\tneumonía\t{start} {start + 8}")
        files[f"{name}/{name}D.tsv"] = "\n".join(diagnoses)
        files[f"{name}/{name}X.tsv"] = "\n".join(spans)
    return files


CODIESP = corpus()
SPANISH = ("codiesp", "--input", "@", "--language", "es")


@given(st.sampled_from(sorted(CODIESP)), st.data())
@RULES
def test_codiesp(which, data):
    files = {name: text.encode() for name, text in CODIESP.items()} | {which: data.draw(damaged(CODIESP[which]))}
    whole_or_refused(files, *SPANISH, fractions=())


def claims():
    """DE-SynPUF's files by name, as text."""
    codes = [f"ICD9_DGNS_CD_{number}" for number in range(1, 11)]
    visits = [["DESYNPUF_ID", "CLM_ID", "SEGMENT", "CLM_FROM_DT", "CLM_THRU_DT", "CLM_ADMSN_DT", *codes]]
    people = [["DESYNPUF_ID", "BENE_BIRTH_DT", "BENE_DEATH_DT", "BENE_SEX_IDENT_CD"]]
    for patient in range(12):
        people.append([f"P{patient}", "19300601", "", "2"])
        for visit, day in enumerate(("20080101", "20090301")):
            visits.append([f"P{patient}", f"{patient}{visit}", "1", day, day, day, "4019", "V4501", *[""] * 8])
    tables = {"Inpatient_Claims_Sample_1": visits, "2008_Beneficiary_Summary_File_Sample_1": people}
    return {f"DE1_0_{name}.csv": "\n".join(",".join(row) for row in rows) for name, rows in tables.items()}


CLAIMS = claims()


@given(st.sampled_from(sorted(CLAIMS)), st.data())
@RULES
def test_desynpuf(which, data):
    files = {name: text.encode() for name, text in CLAIMS.items()} | {which: data.draw(damaged(CLAIMS[which]))}
    whole_or_refused(files, "desynpuf", "--input", "@")


def studies():
    """MIMIC-CXR's reports by their paths, its metadata, and the stays of MIMIC-IV-ED, as text."""
    rows = {
        "metadata": ["dicom_id,subject_id,study_id,StudyDate,StudyTime"],
        "edstays": ["subject_id,hadm_id,stay_id,intime,outtime,gender"],
        "diagnosis": ["subject_id,stay_id,seq_num,icd_code,icd_version"],
    }
    files = {}
    for patient in range(10_000_032, 10_000_044):
        study, stay = patient + 40_000_000, patient + 20_000_000
        words = f"IMPRESSION: Opacity in the left lung, {chr(97 + patient % 26) * 7}.\n"
        files[f"files/p10/p{patient}/s{study}.txt"] = f"EXAMINATION: Chest\n{words}"
        rows["metadata"].append(f"d{study},{patient},{study},21800506,91501.5")
        rows["edstays"].append(f"{patient},,{stay},2180-05-06 08:00:00,2180-05-06 15:00:00,F")
        rows["diagnosis"] += [f"{patient},{stay},1,J189,10", f"{patient},{stay},2,I10,10"]
    return files | {f"{name}.csv": "\n".join(lines) for name, lines in rows.items()}


CXR = studies()
REPORTS = ("mimic-cxr", "--reports", "@files", "--metadata", "@metadata.csv", "--ed", "@")
ODD_FILES = ("metadata.csv", "edstays.csv", "diagnosis.csv", next(iter(CXR)))


@given(st.sampled_from(ODD_FILES), st.data())
@RULES
def test_mimic_cxr(which, data):
    files = {name: text.encode() for name, text in CXR.items()} | {which: data.draw(damaged(CXR[which]))}
    whole_or_refused(files, *REPORTS)


def test_the_undamaged_files_are_fine():
    notes = {name: text.encode() for name, text in CODIESP.items()}
    assert whole_or_refused(notes, *SPANISH, fractions=()) is None
    tables = {name: text.encode() for name, text in CLAIMS.items()}
    assert whole_or_refused(tables, "desynpuf", "--input", "@") is None
    reports = {name: text.encode() for name, text in CXR.items()}
    assert whole_or_refused(reports, *REPORTS) is None
