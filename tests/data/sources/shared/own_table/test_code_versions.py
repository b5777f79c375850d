"""A table of one's own that runs over the change from ICD-9 to ICD-10."""

import csv
from dataclasses import replace

import pytest
from own_table import read_patients

from data.ledger import Ledger
from data.prepare.new_patients import read_new_patients
from data.sources.shared.own_table.guess.guess import TableGuess
from data.sources.shared.own_table.guess.guess_table import guess_table
from data.sources.shared.own_table.table_columns import TableColumns

NINE, TEN = ["4280", "486", "5849"], ["I50.9", "J18.9", "N17.9"]
VISITS = (("2014-03-01", "ICD-9-CM", NINE), ("2015-09-30", "09", NINE), ("2015-10-01", "ICD10", TEN))
COLUMNS = TableColumns(patient="pid", time="day", code="dx")
WITH_VERSION = replace(COLUMNS, code_version="ver")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "both.csv"
    rows = [
        [f"P{patient}", day, version, code] for patient in range(10) for day, version, codes in VISITS for code in codes
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["pid", "day", "ver", "dx"], *rows])
    return path


def visits_of(path, columns, system, **more):
    ledger = Ledger()
    patients = read_patients(path, columns, ledger, system, **more)
    assert len(patients) == 10
    return [sorted(visit.codes) for visit in patients[0].visits], ledger.record()


@pytest.mark.parametrize("how", [{"columns": WITH_VERSION}, {"columns": COLUMNS, "icd10_from": "2015-10-01"}])
def test_one_version_is_kept_or_the_other_translated(table, how):
    visits, record = visits_of(table, system="to-icd10", **how)
    assert visits == [TEN, TEN, TEN]
    assert record["changed"] == {"icd9cm code translated by the GEM": 60}
    nine = ["428.0", "486", "584.9"]
    assert visits_of(table, system="to-icd9", **how)[0] == [nine, nine, ["428.9", "486", "584.9"]], "I50.9 is 428.9"
    visits, record = visits_of(table, system="icd10", **how)
    assert visits == [TEN]
    assert record["dropped"] == {"icd9cm row, not asked for": 60}
    assert visits_of(table, system="icd9", **how)[0] == [nine, nine]


def test_rows_whose_version_is_none_are_counted(table):
    table.write_text(table.read_text().replace("ICD10", "SNOMED"))
    _, record = visits_of(table, WITH_VERSION, "icd9")
    assert record["dropped"] == {"icd_version is neither 9 nor 10": 30}


def test_new_patients_are_read_in_the_models_edition(table):
    patients = read_new_patients(table, WITH_VERSION, system="icd10cm")
    assert [sorted(visit["codes"]) for visit in patients.rows[0]["history"]] == [TEN, TEN, TEN]
    patients = read_new_patients(table, COLUMNS, system="icd9cm", icd10_from="2015-10-01")
    assert sorted(patients.rows[0]["history"][-1]["codes"]) == ["428.9", "486", "584.9"]


def test_what_is_said_of_new_patients_names_no_option_of_prepare(table):
    with pytest.raises(ValueError, match=r"--icd10-from \(a day, as 2015-10-01\), and they are translated$"):
        read_new_patients(table, COLUMNS, system="icd10cm")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(line for line in lines if "ICD-9-CM" in line)]) + "\n")
    with pytest.raises(ValueError, match=r"most are codes of ICD-9-CM .*; the model reads those of its own edition$"):
        read_new_patients(table, COLUMNS, system="icd10cm")


@pytest.mark.parametrize(("system", "other"), [("icd10", "ICD-9-CM"), ("icd9", "ICD-10-CM")])
def test_a_table_of_both_that_does_not_say_which_is_refused(table, system, other):
    with pytest.raises(ValueError, match=rf"codes are of {other} .*--code-version .*--code-system to-{system} trans"):
        visits_of(table, COLUMNS, system)
    assert guess_table(table, TableGuess()).code == ["dx"], "neither version has most of the codes"


def test_a_few_codes_of_the_other_version_are_counted_as_unknown(table):
    lines = table.read_text().splitlines()
    kept = [line for line in lines if "ICD10" in line]
    table.write_text("\n".join([lines[0], *kept, "P0,2016-01-01,9,4280"]) + "\n")
    assert visits_of(table, COLUMNS, "icd10")[1]["dropped"] == {"not a code of icd10cm": 1}


@pytest.mark.parametrize(
    ("columns", "system", "icd10_from", "message"),
    [
        (COLUMNS, "to-icd10", None, "--code-system to-icd10 translates the rows of the other version: say which"),
        (WITH_VERSION, "to-icd10", "2015-10-01", "give one of --code-version and --icd10-from"),
        (WITH_VERSION, "icd10who", None, "--code-version and --icd10-from go with --code-system icd9 or icd10"),
        (COLUMNS, "icd10", "autumn", "--icd10-from must be a day as 2015-10-01, got 'autumn'"),
        (TableColumns(patient="pid", visit="day", code="dx"), "icd10", "2015-10-01", "--icd10-from needs --time"),
    ],
)
def test_what_does_not_go_together(table, columns, system, icd10_from, message):
    with pytest.raises(ValueError, match=message):
        visits_of(table, columns, system, icd10_from=icd10_from)
