"""The fuzzer for --events: whatever the tables of procedures, drugs and labs hold, a task comes out whole, or one
sentence and nothing on disk."""

import io
import tempfile
from pathlib import Path

import fhir_export as fhir
import grd_files as grd
import mimic_events
import omop_tables as omop
import polars as pl
from damaged_files import RULES, damaged, whole_or_refused
from hypothesis import given
from hypothesis import strategies as st


def texts(tables):
    return {
        f"{name}.csv": "\n".join(",".join(str(cell).replace(",", "") for cell in cells) for cells in rows)
        for name, rows in tables.items()
    }


def one_damaged(files, which, data):
    return {name: text.encode() for name, text in files.items()} | {which: data.draw(damaged(files[which]))}


ALL = ("--events", "procedures,drugs,labs", "--min-event-patients", "2", "--code-system", "icd10")
MIMIC4 = texts(mimic_events.tables(8))
OF_EVENTS = ("prescriptions.csv", "procedures_icd.csv", "d_icd_procedures.csv", "labevents.csv", "d_labitems.csv")


@given(st.sampled_from(OF_EVENTS), st.data())
@RULES
def test_mimic4(which, data):
    whole_or_refused(one_damaged(MIMIC4, which, data), "mimic4", "--input", "@", *ALL)


OMOP = texts(omop.tables(8) | omop.event_tables(8))
OMOP_TABLES = ("procedure_occurrence.csv", "drug_exposure.csv", "measurement.csv", "concept_ancestor.csv")


@given(st.sampled_from((*OMOP_TABLES, "concept.csv")), st.data())
@RULES
def test_omop(which, data):
    whole_or_refused(one_damaged(OMOP, which, data), "omop", "--input", "@", *ALL)


FHIR = fhir.lines(fhir.events(8))


@given(damaged(FHIR))
@RULES
def test_fhir(content):
    files = {"a.ndjson": fhir.lines(fhir.export(8)).encode(), "b.ndjson": content}
    whole_or_refused(files, "fhir", "--input", "@", *ALL)


EICU = {
    "patient.csv": "\n".join(
        [
            "patientunitstayid,patienthealthsystemstayid,uniquepid,gender,age,hospitaldischargeyear,hospitaladmitoffset,"
            "hospitaldischargestatus,hospitaldischargeoffset",
            *(f"{number},{number},p{number // 2},Male,60,{2014 + number % 2},-5,Alive,900" for number in range(2, 26)),
        ]
    ),
    "diagnosis.csv": "\n".join(
        [
            "patientunitstayid,icd9code,diagnosispriority,diagnosisoffset",
            *(f"{number},428.0,Primary,5" for number in range(2, 26)),
        ]
    ),
    "treatment.csv": "\n".join(
        [
            "patientunitstayid,treatmentoffset,treatmentstring",
            *(f"{number},10,pulmonary|ventilation" for number in range(2, 26)),
        ]
    ),
    "medication.csv": "\n".join(
        [
            "patientunitstayid,drugname,drughiclseqno,drugordercancelled,drugstartoffset",
            *(f"{number},LORAZEPAM 2 MG,4846,No,5" for number in range(2, 26)),
        ]
    ),
}


@given(st.sampled_from(("treatment.csv", "medication.csv", "patient.csv")), st.data())
@RULES
def test_eicu(which, data):
    options = ("--events", "procedures,drugs", "--min-event-patients", "2")
    whole_or_refused(one_damaged(EICU, which, data), "eicu", "--input", "@", *options)


DIABETES = "\n".join(
    [
        "encounter_id,patient_nbr,gender,age,diag_1,diag_2,diag_3,A1Cresult,insulin",
        *(f"{number},{number // 2},Male,[50-60),428,25{number % 3}.01,V27,>8,Up" for number in range(2, 26)),
    ]
)
DRUGS_AND_LABS = ("--events", "drugs,labs", "--min-event-patients", "2")


@given(damaged(DIABETES))
@RULES
def test_diabetes130(content):
    whole_or_refused({"d.csv": content}, "diabetes130", "--input", "@d.csv", *DRUGS_AND_LABS)


GRD = "\n".join("|".join(cells) for cells in (grd.header(2021), *grd.patients(2021, 12)))
PROCEDURES = ("--events", "procedures", "--min-event-patients", "2")


@given(damaged(GRD))
@RULES
def test_grd_chile(content):
    whole_or_refused({"g.txt": content}, "grd-chile", "--input", "@g.txt", *PROCEDURES)


TABLE = "\n".join(
    [
        "pid,day,dx,given,done,odd",
        *(
            f"p{number // 2},2020-01-{number + 1:02d},I10,Heparin 5 mg;INSULIN,"
            f"{('39.95', '0BH17EZ')[number % 2]},sodium low"
            for number in range(24)
        ),
    ]
)
COLUMNS = ("--patient", "pid", "--time", "day", "--code", "dx", "--code-system", "icd10", "--min-event-patients", "2")
OWN = (*COLUMNS, "--drugs", "given", "--procedures", "done", "--labs", "odd")


@given(damaged(TABLE), st.sampled_from([(), ("--event-separator", ";"), ("--event-separator", "0")]))
@RULES
def test_table(content, separator):
    whole_or_refused({"t.csv": content}, "table", "--input", "@t.csv", *OWN, *separator)


def shard():
    rows = [
        (number // 2, code, f"2020-0{1 + number % 2}-01", number)
        for number in range(2, 26)
        for code in ("ICD10CM/I10", "MEDICATION//START//Furosemide", "ICD10PCS/0BH17EZ")
    ]
    frame = pl.DataFrame(rows, schema=["subject_id", "code", "time", "hadm_id"], orient="row")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        frame.with_columns(pl.col("time").str.to_datetime("%Y-%m-%d")).write_parquet(file.name)
        return Path(file.name).read_bytes()


MEDS = ("--events", "procedures,drugs", "--min-event-patients", "2", "--visit-column", "hadm_id")


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8), st.data())
@RULES
def test_meds(codes, data):
    frame = pl.read_parquet(io.BytesIO(shard()))
    pieces = [data.draw(st.sampled_from(["", "MEDICATION//", "ICD10PCS/", "ATC/", "CPT4/"])) + code for code in codes]
    rows = frame.head(len(pieces)).with_columns(code=pl.Series(pieces))
    stored = io.BytesIO()
    pl.concat([frame, rows]).write_parquet(stored)
    whole_or_refused({"0.parquet": stored.getvalue()}, "meds", "--input", "@", *MEDS)


def encoded(files):
    return {name: text.encode() for name, text in files.items()}


def test_the_undamaged_files_are_fine():
    assert whole_or_refused(encoded(MIMIC4), "mimic4", "--input", "@", *ALL) is None
    assert whole_or_refused(encoded(OMOP), "omop", "--input", "@", *ALL) is None
    files = {"a.ndjson": fhir.lines(fhir.export(8)).encode(), "b.ndjson": FHIR.encode()}
    assert whole_or_refused(files, "fhir", "--input", "@", *ALL) is None
    both = ("--events", "procedures,drugs", "--min-event-patients", "2")
    assert whole_or_refused(encoded(EICU), "eicu", "--input", "@", *both) is None
    assert whole_or_refused({"g.txt": GRD.encode()}, "grd-chile", "--input", "@g.txt", *PROCEDURES) is None
    assert whole_or_refused({"d.csv": DIABETES.encode()}, "diabetes130", "--input", "@d.csv", *DRUGS_AND_LABS) is None
    listed = ("--event-separator", ";")
    assert whole_or_refused({"t.csv": TABLE.encode()}, "table", "--input", "@t.csv", *OWN, *listed) is None
    assert whole_or_refused({"0.parquet": shard()}, "meds", "--input", "@", *MEDS) is None
