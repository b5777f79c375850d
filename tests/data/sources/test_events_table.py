"""Procedures, drugs and labs in columns of a user's table: what each cell becomes, and where every one goes."""

import polars as pl
import pytest
from prepare_case import EVEN, accounting, assert_adds_up, dropped, every_row, run, write_csv

from data.ledger import Ledger
from data.sources.shared.own_table.table_columns import TableColumns
from data.sources.table import read_user_table
from mera.system.errors import UserError

STAYS = [
    ("1", "2020-01-01", "I10", "Furosemide 40 mg; METOPROLOL TARTRATE", "39.95", "Creatinine High"),
    ("1", "2020-02-01", "I50.9", "furosemide", "Walking aid; 5A1D70Z", "creatinine high; Potassium low"),
    ("1", "2020-03-01", "N17.9", "heparin", "", ""),
    ("2", "2020-01-05", "I10", "", "9:3995", ""),
]
COLUMNS = TableColumns(patient="pid", time="day", code="icd", drugs="given", procedures="done", labs="odd")
EVENTS = {
    ("1", 0): {"drug:furosemide", "drug:metoprolol", "procedure:9:3995", "lab:creatinine_high"},
    ("1", 1): {
        *("drug:furosemide", "procedure:10:5A1D70Z", "procedure:walking_aid"),
        *("lab:creatinine_high", "lab:potassium_low"),
    },
    ("1", 2): {"drug:heparin"},
    ("2", 0): {"procedure:9:3995"},
}


def a_row_a_stay(path):
    return write_csv(path, [("pid", "day", "icd", "given", "done", "odd"), *STAYS])


def a_row_a_fact(path):
    """Each code and each event in a row of its own."""
    rows = [("pid", "day", "icd", "given", "done", "odd")]
    for pid, day, icd, *events in STAYS:
        rows.append((pid, day, icd, "", "", ""))
        for place, cell in enumerate(events):
            for event in filter(None, map(str.strip, cell.split(";"))):
                rows.append((pid, day, "", *(event if place == own else "" for own in range(3))))
    return write_csv(path, rows)


def events_of(patients):
    return {
        (patient.patient_id, place): set(visit.events)
        for patient in patients
        for place, visit in enumerate(patient.visits)
    }


def test_both_shapes_give_the_events_of_each_visit(tmp_path):
    names = {}
    for write, separator in ((a_row_a_stay, ";"), (a_row_a_fact, None)):
        ledger = Ledger()
        path = write(tmp_path / f"{write.__name__}.csv")
        table = read_user_table(path, COLUMNS, ledger, "icd10", event_separator=separator)
        patients, names[write] = table.cohort(ledger), table.event_names
        assert events_of(patients) == EVENTS
        assert [[visit.codes for visit in patient.visits] for patient in patients] == [
            [("I10",), ("I50.9",), ("N17.9",)],
            [("I10",)],
        ]
        account = ledger.record()["accounting"]
        assert account["diagnoses"] == {"read": 4, "added": {}, "used": 4, "dropped": {}}
        assert account["events"] == {"read": 11, "added": {}, "used": 11, "dropped": {}}
    first, second = names.values()
    assert first.sort("event").equals(second.sort("event"))
    called = dict(first.select("event", "name").iter_rows())
    assert called["drug:metoprolol"] == "metoprolol"
    assert called["procedure:9:3995"] == "Operations on the cardiovascular system (39.95)"
    assert called["procedure:walking_aid"] == "Walking aid"
    assert called["lab:creatinine_high"] in ("Creatinine High", "creatinine high")


def test_columns_by_pattern_are_one_list_in_columns(tmp_path):
    rows = [(pid, day, icd, *[*given.split(";"), ""][:2]) for pid, day, icd, given, _, _ in STAYS]
    path = write_csv(tmp_path / "wide.csv", [("pid", "day", "icd", "med1", "med2"), *rows])
    columns = TableColumns(patient="pid", time="day", code="icd", drugs="med*")
    patients = read_user_table(path, columns, Ledger(), "icd10").cohort(Ledger())
    assert events_of(patients) == {
        place: {event for event in events if event.startswith("drug:")} for place, events in EVENTS.items()
    }


def test_lists_without_a_separator_are_refused(tmp_path):
    with pytest.raises(UserError, match="hold several, with ';' between them; say so with --event-separator"):
        read_user_table(a_row_a_stay(tmp_path / "t.csv"), COLUMNS, Ledger(), "icd10")


def test_what_cannot_be_used_is_counted(tmp_path):
    rows = [
        ("pid", "vid", "day", "icd", "given"),
        ("1", "a", "2020-01-01", "I10", "heparin"),
        ("1", "a", "2020-01-02", "", "heparin"),
        ("1", "a", "2020-05-01", "", "aspirin"),  # after the next visit began
        ("1", "a", "", "", "insulin"),
        ("1", "", "2020-01-01", "", "insulin"),
        ("1", "b", "2020-02-01", "I10", "40 mg"),  # no word
        ("1", "c", "2020-03-01", "", "insulin"),  # a visit without a code
    ]
    ledger = Ledger()
    columns = TableColumns(patient="pid", visit="vid", time="day", code="icd", drugs="given")
    patients = read_user_table(write_csv(tmp_path / "t.csv", rows), columns, ledger, "icd10").cohort(ledger)
    assert events_of(patients) == {("1", 0): {"drug:heparin"}, ("1", 1): set()}
    account = ledger.record()["accounting"]
    assert account["events"] == {
        "read": 7,
        "added": {},
        "used": 1,
        "dropped": {
            "drug of after the next visit began": 1,
            "drug without a code or a name": 1,
            "drug without a patient or visit": 1,
            "repeated in its visit": 1,
            "row without a usable time": 1,
            "visit dropped, without a usable code, or not listed": 1,
        },
    }
    assert account["diagnoses"] == {"read": 2, "added": {}, "used": 2, "dropped": {}}


def test_prepare_keeps_them_as_it_does_of_every_source(tmp_path):
    rows = [("pid", "day", "icd", "given")]
    given = ("alpha", "beta", "gamma")
    for number in range(12):
        rows += [(f"p{number}", f"2020-0{month}-01", "I10", f"{name} 5 mg") for month, name in enumerate(given, 1)]
    path = write_csv(tmp_path / "t.csv", rows)
    columns = ("--patient", "pid", "--time", "day", "--code", "icd", "--code-system", "icd10", *EVEN)
    told = ("--drugs", "given", "--min-event-patients", "2")
    (task,) = run("table", "--input", path, *columns, *told, "--output", tmp_path / "task")
    assert task.events["event"].sort().to_list() == ["drug:alpha", "drug:beta"]
    assert [[list(visit["events"]) for visit in row["history"]] for row in every_row(task)] == [
        [["drug:alpha"], ["drug:beta"]]
    ] * 12
    assert dropped(task, "events") == {"of the last visit, which is to be predicted": 12}
    assert accounting(task)["events"]["read"] == 36
    assert_adds_up(task)
    (without,) = run("table", "--input", path, *columns, "--output", tmp_path / "without")
    assert not without.has_events
    assert "events" not in without.info


def test_a_table_of_parquet_with_numbers_for_procedures(tmp_path):
    path = tmp_path / "t.parquet"
    rows = {"pid": ["1", "1"], "day": ["2020-01-01", "2020-02-01"], "icd": ["I10", "I10"], "done": [39.95, 3961.0]}
    pl.DataFrame(rows).write_parquet(path)
    columns = TableColumns(patient="pid", time="day", code="icd", procedures="done")
    patients = read_user_table(path, columns, Ledger(), "icd10").cohort(Ledger())
    assert events_of(patients) == {("1", 0): {"procedure:9:3995"}, ("1", 1): {"procedure:3961.0"}}


def test_names_that_differ_only_far_behind_stay_two_events(tmp_path):
    long = "a very long name of a procedure " * 8
    rows = [("pid", "day", "icd", "done"), ("1", "2020-01-01", "I10", f"{long}left"), ("1", "2020-01-01", "", long)]
    columns = TableColumns(patient="pid", time="day", code="icd", procedures="done")
    table = read_user_table(write_csv(tmp_path / "t.csv", rows), columns, Ledger(), "icd10")
    (patient,), names = table.cohort(Ledger()), table.event_names
    events = patient.visits[0].events
    assert len(set(events)) == 2 == names.height
    assert {len(event) for event in events} == {len("procedure:") + 200}
    assert len({event[:150] for event in events}) == 1


def test_seven_characters_that_are_no_code_have_a_name_all_the_same(tmp_path):
    rows = [
        ("pid", "day", "icd", "done"),
        ("1", "2020-01-01", "I10", "0AZZZZ1"),
        ("1", "2020-01-02", "I10", "10:0A12345"),
    ]
    columns = TableColumns(patient="pid", time="day", code="icd", procedures="done")
    names = read_user_table(write_csv(tmp_path / "t.csv", rows), columns, Ledger(), "icd10").event_names
    assert names["name"].to_list() == ["Medical and Surgical, Bypass (0A12345)", "Medical and Surgical (0AZZZZ1)"]


def read_events(tmp_path, cells, kind):
    """The events of visits with a cell each."""
    rows = [("pid", "day", "icd", "cell"), *((str(row), "2020-01-01", "I10", cell) for row, cell in enumerate(cells))]
    columns = TableColumns(patient="pid", time="day", code="icd", **{kind: "cell"})
    patients = read_user_table(write_csv(tmp_path / "t.csv", rows), columns, Ledger(), "icd10").cohort(Ledger())
    return [patient.visits[0].events[0] for patient in sorted(patients, key=lambda patient: int(patient.patient_id))]


def test_above_and_below_are_two_events(tmp_path):
    events = read_events(tmp_path, ["Troponin >14", "Troponin <14", "troponin > 14"], "labs")
    assert events == ["lab:troponin_above_14", "lab:troponin_below_14", "lab:troponin_above_14"]


def test_drugs_by_their_atc_codes_are_put_to_the_fourth_level(tmp_path):
    assert read_events(tmp_path, ["C03CA01", "c03ca02", "C03CA"], "drugs") == ["drug:atc:C03CA"] * 3


def test_procedures_beside_dotted_ones_have_lost_their_dot(tmp_path):
    assert read_events(tmp_path, ["39.95", "3995", "9:3995"], "procedures") == ["procedure:9:3995"] * 3
    assert read_events(tmp_path, ["3995", "4011"], "procedures") == ["procedure:3995", "procedure:4011"]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [("drugs", ["0173-0602-02", "00093721410"]), ("labs", ["1.8", "7,2", "138"])],
)
def test_columns_of_numbers_name_no_drugs_and_no_labs(tmp_path, kind, cells):
    with pytest.raises(UserError, match=f"--{kind} reads words, and one of its columns holds numbers"):
        read_events(tmp_path, cells, kind)
