"""Procedures of Chile's GRD: of past discharges alone, in all three forms of the files, everything counted."""

import grd_files as grd
import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run

from data.sources import grd_chile

EXPECTED = {
    "procedure:9:5123": "Operations on the digestive system (51.23)",
    "procedure:9:9929": "Miscellaneous diagnostic and therapeutic procedures (99.29)",
}
FIRST_PROCEDURE = grd.header(2021).index("PROCEDIMIENTO1")


def with_procedures(cells, *codes):
    return [*cells[:FIRST_PROCEDURE], *codes, *cells[FIRST_PROCEDURE + len(codes) :]]


@pytest.mark.parametrize("year", [2019, 2022, 2024])
def test_events_are_those_of_the_discharges_before(tmp_path, monkeypatch, year):
    monkeypatch.setattr(grd_chile, "_VISITS_AT_A_TIME", 7)
    rows = [
        with_procedures(cells, *(("51.23", "99.29", "99.29", "no code") if number % 2 == 0 else ("88.01",)))
        for number, cells in enumerate(grd.patients(year, 12))
    ]
    path = grd.write(tmp_path / "grd", year, rows)
    options = ("--events", "procedures", "--min-event-patients", 3, *EVEN)
    (task,) = run("grd-chile", "--input", path, *options, "--output", tmp_path / "task")
    assert dict(task.events.select("event", "name").iter_rows()) == EXPECTED
    assert all([visit["events"] for visit in row["history"]] == [sorted(EXPECTED)] for row in every_row(task))
    assert dropped(task, "events") == {
        "of the last visit, which is to be predicted": 12,
        "procedure without a code or a name": 12,
        "repeated in its visit": 12,
    }
    assert b"8801" not in b"".join(file.read_bytes() for file in task.path.rglob("*.arrow"))
    assert_adds_up(task)
    (plain,) = run("grd-chile", "--input", path, *EVEN, "--output", tmp_path / "plain")
    assert [row["targets"] for row in every_row(plain)] == [row["targets"] for row in every_row(task)]


def test_discharges_that_are_dropped_take_their_procedures_along(tmp_path):
    rows = grd.patients(2021, 12)
    rows[0][5] = ""  # without an admission date
    path = grd.write(tmp_path / "grd", 2021, rows)
    options = ("--events", "procedures", "--min-event-patients", 3, *EVEN)
    (task,) = run("grd-chile", "--input", path, *options, "--output", tmp_path / "task")
    assert dropped(task, "events")["procedure without a usable discharge"] == 1
    assert_adds_up(task)


def test_procedures_of_a_stay_that_ended_after_the_next_began_are_dropped(tmp_path):
    rows = grd.patients(2021, 12)
    rows[0][grd.header(2021).index("FECHAALTA")] = "30-12-2021"
    path = grd.write(tmp_path / "grd", 2021, rows)
    options = ("--events", "procedures", "--min-event-patients", 1, *EVEN)
    (task,) = run("grd-chile", "--input", path, *options, "--output", tmp_path / "task")
    assert dropped(task, "events")["procedure of a stay that ended after the next began"] == 1
    assert sum(not visit["events"] for row in every_row(task) for visit in row["history"]) == 1


def test_what_it_lacks_is_refused_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("grd-chile", "--input", tmp_path, "--events", "drugs,labs", "--output", tmp_path / "task")
    sentence = "grd-chile tells no drugs and no labs of a visit that could be read; it has procedures"
    assert sentence in capsys.readouterr().err
