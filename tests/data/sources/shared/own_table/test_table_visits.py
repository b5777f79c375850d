"""The rows of a user's table as visits: their order, what is no history, what has no time."""

from dataclasses import replace

import polars as pl
import pytest
from own_table import read_patients

from data.ledger import Ledger
from data.prepare.new_patients import read_new_patients
from data.sources.shared.own_table.table_columns import TableColumns, parse_keep


def codes_of(path, code, **more):
    """The codes of each visit, in their order."""
    columns = TableColumns(patient="pid", time="day", code=code)
    patients = read_patients(path, columns, Ledger(), "icd10", **more)
    return [list(visit.codes) for patient in patients for visit in patient.visits]


@pytest.mark.parametrize(("mark", "code", "more"), [(",", "dx*", {}), (";", "dx1", {"code_separator": ";"})])
def test_rows_of_one_visit_keep_their_codes_together(tmp_path, mark, code, more):
    path = tmp_path / "wide.csv"
    path.write_text(
        f"pid,day,dx1{',dx2' if mark == ',' else ''}\nP1,2020-01-01,J18.9{mark}I10\nP1,2020-01-01,N17.9{mark}E11.9\n"
    )
    assert codes_of(path, code, **more) == [["J18.9", "I10", "N17.9", "E11.9"]]


@pytest.mark.parametrize("more", [{}, {"code_separator": ";"}])
def test_a_code_without_its_number_comes_after_those_that_have_one(tmp_path, more):
    path = tmp_path / "t.csv"
    path.write_text("pid,day,seq,dx\nP1,2020-01-01,,A09\nP1,2020-01-01,2,I10\nP1,2020-01-01,1,N17.9\n")
    columns = TableColumns(patient="pid", time="day", code="dx", position="seq")
    patients = read_patients(path, columns, Ledger(), "icd10", **more)
    assert patients[0].visits[0].codes == ("N17.9", "I10", "A09")


def test_notes_of_a_visit_are_in_the_order_of_their_times(tmp_path):
    path = tmp_path / "notes.csv"
    notes = [("2020-01-03", "zuletzt"), ("2020-01-01", "Aufnahme"), ("2020-01-02", "Verlauf"), ("2020-01-02", "Befund")]
    rows = [{"pid": "P1", "case": 1, "day": day, "dx": "I10", "note": note} for day, note in [*notes, notes[1]]]
    pl.DataFrame(rows).write_csv(path)
    columns = TableColumns(patient="pid", visit="case", time="day", code="dx", text="note")
    (patient,) = read_patients(path, columns, Ledger(), "icd10")
    assert [visit.text for visit in patient.visits] == ["Aufnahme\n\nVerlauf\n\nBefund\n\nzuletzt"]


def test_rows_of_after_the_next_visit_began_are_no_history_of_it(tmp_path):
    """A case that stays open, as a German quarter does, would tell what the stay in between found."""
    path = tmp_path / "t.csv"
    rows = ["P1,Q0,2022-01-03,I10", "P1,Q0,2022-03-20,I21.9", "P1,S0,2022-03-01,I21.9", "P1,S0,2022-03-04,N17.9"]
    path.write_text("\n".join(["pid,case,day,dx", *rows]) + "\n")
    ledger, columns = Ledger(), TableColumns(patient="pid", visit="case", time="day", code="dx")
    patients = read_patients(path, columns, ledger, "icd10")
    assert [sorted(visit.codes) for visit in patients[0].visits] == [["I10"], ["I21.9", "N17.9"]]
    assert ledger.record()["dropped"] == {"row of after the patient's next visit began": 1}
    coded = TableColumns(patient="pid", visit="case", time="day", code="dx", text="note")
    path.write_text("\n".join(["pid,case,day,dx,note", *(f"{row},seen" for row in rows)]) + "\n")
    patients = read_patients(path, coded, Ledger(), "icd10")
    assert sorted(patients[0].visits[0].codes) == ["I10", "I21.9"], "the codes of a note are no history"


def test_patients_of_rows_without_a_readable_time_are_counted(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["1,2023-02-01,I10", "1,2023-03-01,E11.9", "1,9/9/99,I10", "2,9/9/99,I10", "3,2023-02-01,I10"]
    path.write_text("\n".join(["pid,day,dx", *rows, "3,2023-04-01,I10"]) + "\n")
    ledger, columns = Ledger(), TableColumns(patient="pid", time="day", code="dx")
    assert len(read_patients(path, columns, ledger, "icd10")) == 2
    account = ledger.record()["accounting"]
    assert (account["patients"]["read"], account["patients"]["dropped"]) == (3, {"without a usable time": 1})
    assert account["diagnoses"]["dropped"] == {"row without a usable time": 2}


@pytest.mark.parametrize("days", [("998", "999", "1,000", "1,001"), ("998", "999", "1.000", "1.001")])
def test_days_with_marks_between_thousands_are_refused(tmp_path, days):
    path = tmp_path / "t.csv"
    path.write_text("pid;day;dx\n" + "".join(f"1;{day};I10\n" for day in days))
    with pytest.raises(ValueError, match="seem to have marks between thousands"):
        read_patients(path, TableColumns(patient="pid", time="day", code="dx"), Ledger(), "icd10")


@pytest.mark.parametrize(
    ("day", "at"),
    [("2024-01-10", "45312"), ("2024-01-10", "20240121"), ("20", "2024-01-21"), ("2024-01-10", "2060-01-01")],
)
def test_the_day_to_predict_is_in_the_unit_of_the_table(tmp_path, day, at):
    path = tmp_path / "t.csv"
    path.write_text(f"pid,day,dx\n1,{day},I10\n2,{day},I10\n")
    columns = TableColumns(patient="pid", time="day", code="dx")
    with pytest.raises(ValueError, match="--at lies more than 30 years after the last visit of a patient; give a date"):
        read_new_patients(path, columns, system="icd10cm", at=at)


def visits_of(path, ledger=None, **more):
    columns = TableColumns(**({"patient": "pid", "time": "day", "code": "dx"} | more))
    patients = read_patients(path, columns, ledger or Ledger(), "icd10")
    return [[sorted(visit.codes) for visit in patient.visits] for patient in patients]


def test_codes_that_were_entered_one_after_the_other_are_of_one_visit(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["P1,2021-03-04 09:41:00,I50.9", "P1,2021-03-04 10:02:00,N17.9", "P1,2021-03-05 08:00:00,I10"]
    path.write_text("\n".join(["pid,day,dx,note", *(f"{row},seen at {row[14:19]}" for row in rows)]) + "\n")
    ledger = Ledger()
    assert visits_of(path, ledger) == [[["I50.9", "N17.9"], ["I10"]]]
    reason = "further time of a day, read as the same visit (--visit tells visits of one day apart)"
    assert ledger.record()["changed"] == {reason: 1}
    assert visits_of(path, text="note") == [[["I50.9"], ["N17.9"], ["I10"]]], "each note is of its time"


def test_visits_that_begin_on_one_day_are_counted(tmp_path):
    """The consultant episodes of one stay repeat its codes, and the next one is easily foretold."""
    path = tmp_path / "t.csv"
    rows = ["P1,E1,2021-03-04,I50.9", "P1,E2,2021-03-04,I50.9", "P1,E3,2021-06-04,I10", "P2,E4,2021-03-04,I10"]
    path.write_text("\n".join(["pid,episode,day,dx", *rows]) + "\n")
    ledger = Ledger()
    assert len(visits_of(path, ledger, visit="episode")[0]) == 3
    reason = "visit that begins on the day of the patient's last one, read as the next"
    assert ledger.record()["changed"] == {reason: 1}


def test_rows_can_be_kept_by_what_another_column_says(tmp_path):
    path = tmp_path / "t.csv"
    rows = ["P1,2021-03-04,I50.9,G,DX,", "P1,2021-03-04,N17.9,A,DX,Q", "P1,2021-06-04,I10,g,PX,"]
    rows += ["P1,2021-07-04,I10,Z,DX,"]
    path.write_text("\n".join(["pid,day,dx,Certainty,type,flag", *rows]) + "\n")
    ledger = Ledger()
    assert visits_of(path, ledger, keep=parse_keep(["certainty=G,Z", "TYPE=dx"])) == [[["I50.9"], ["I10"]]]
    assert ledger.record()["changed"] == {"row that --keep does not ask for, left out": 2}
    with pytest.raises(ValueError, match="no row has x in certainty, which --keep asks for"):
        visits_of(path, keep=parse_keep(["certainty=x"]))
    with pytest.raises(ValueError, match="has no column certain"):
        visits_of(path, keep=parse_keep(["certain=x"]))
    assert visits_of(path, keep=parse_keep(["flag=", "certainty=G"])) == [[["I50.9"], ["I10"]]]
    assert visits_of(path, keep=parse_keep(["flag=,q"])) == [[["I50.9", "N17.9"], ["I10"], ["I10"]]]
    with pytest.raises(ValueError, match="no row has an empty cell in type, which --keep asks for"):
        visits_of(path, keep=parse_keep(["type="]))
    for wrong in ("certainty", "=G"):
        with pytest.raises(ValueError, match="--keep is a column and the values of the rows to read"):
            parse_keep([wrong])


@pytest.mark.parametrize("code", ["dx*", "dx"])
def test_a_primary_diagnosis_that_several_rows_may_hold_is_asked_for(tmp_path, code):
    """As French hospitals write a stay: a row for each ward, all of one date."""
    path = tmp_path / "t.csv"
    rows = [
        f"P{n},S{n},{ward},2020-01-0{n % 5 + 1},{dx}" for n in range(10) for ward, dx in ((1, "N17.9"), (2, "E11.9"))
    ]
    path.write_text("\n".join(["pid,stay,ward,day,dx", *rows]))
    columns = TableColumns(patient="pid", visit="stay", time="day", code=code)
    message = (
        "10 of 10 visits have several rows of one time with different codes, so that nobody knows which is the primary"
    )
    with pytest.raises(ValueError, match=message):
        read_patients(path, columns, Ledger(), "icd10", primary_only=True)
    ordered = replace(columns, position="ward")
    patients = read_patients(path, ordered, Ledger(), "icd10", primary_only=True)
    assert {patient.visits[0].codes[0] for patient in patients} == {"N17.9"}


def test_few_visits_without_a_first_diagnosis_are_counted(tmp_path):
    path, ledger = tmp_path / "t.csv", Ledger()
    rows = [f"P{n},S{n},2020-01-0{n % 5 + 1} 08:0{n % 7},N17.9" for n in range(200)]
    rows += ["P1,S1,2020-01-02 09:00,E11.9", "P2,S2,2020-01-03 08:02,E11.9", "P3,S3,2020-01-04 08:03,N17.9"]
    path.write_text("\n".join(["pid,stay,day,dx", *rows]))
    columns = TableColumns(patient="pid", visit="stay", time="day", code="dx")
    read_patients(path, columns, ledger, "icd10", primary_only=True)
    (count,) = [number for what, number in ledger.record()["changed"].items() if "primary diagnosis" in what]
    assert count == 1, "S1 has its own time for each, S3 has one code twice"


def monthly(path, columns, rows):
    path.write_text("\n".join([f"pid,{columns},dx", *rows]))
    return path


def test_a_time_in_several_columns_is_one_date(tmp_path):
    """As Brazilian hospitals export them, whose days are the first of the month."""
    months = monthly(tmp_path / "m.csv", "mes,ano", ["P1,03,2021,I10", "P1,11,2020,E11.9", "P1,3.0,2021.0,N17.9"])
    days = monthly(tmp_path / "d.csv", "j,m,t", ["P1,2021,3,14,I10", "P1,2020,11,2,E11.9", "P1,2021,3,14,N17.9"])
    between = []
    for path, time in ((months, "ano+mes"), (days, "j+m+t")):
        columns = TableColumns(patient="pid", time=time, code="dx")
        (patient,) = read_patients(path, columns, Ledger(), "icd10")
        assert [sorted(visit.codes) for visit in patient.visits] == [["E11.9"], ["I10", "N17.9"]]
        between.append(patient.visits[1].day - patient.visits[0].day)
    assert between == [120, 132]


def test_numbers_that_make_no_date_are_counted_or_refused(tmp_path):
    rows = ["P1,2021,13,I10", "P1,2020,11,E11.9", "P1,2021,,N17.9", "P1,2020,12,I50.9"]
    path, ledger = monthly(tmp_path / "t.csv", "y,m", rows), Ledger()
    (patient,) = read_patients(path, TableColumns(patient="pid", time="y+m", code="dx"), ledger, "icd10")
    assert [list(visit.codes) for visit in patient.visits] == [["E11.9"], ["I50.9"]]
    record = ledger.record()
    assert record["changed"]["row whose year, month and day are no date"] == 1
    assert record["dropped"]["row without a usable time"] == 2
    with pytest.raises(ValueError, match="the numbers of --time make no dates; it names the year first"):
        read_patients(path, TableColumns(patient="pid", time="m+y", code="dx"), Ledger(), "icd10")
    with pytest.raises(ValueError, match=r"--time y\+m\+pid\+dx names too many columns"):
        TableColumns(patient="pid", time="y+m+pid+dx", code="dx")


def test_new_patients_whose_last_visit_lies_ahead_are_counted(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("pid,day,dx\nP1,2021-01-01,I10\nP1,2199-01-01,E11.9\nP2,2021-01-01,I10\n")
    new = read_new_patients(path, TableColumns(patient="pid", time="day", code="dx"), system="icd10cm")
    assert new.account["changed"]["patient whose last visit lies after today"] == 1
    path.write_text("pid,day,dx\nP1,1,I10\nP1,400,E11.9\n")
    new = read_new_patients(path, TableColumns(patient="pid", time="day", code="dx"), system="icd10cm")
    assert "patient whose last visit lies after today" not in new.account["changed"]
