"""Treatments and drugs of eICU: of the visit of their ICU stay, brands with their substance, everything counted."""

import pytest
from prepare_case import EVEN, assert_adds_up, dropped, every_row, run, write_csv


def write_eicu(folder):
    """Ten patients with two hospital stays, the first of two ICU stays; what must not be told says canary."""
    patient = ["patientunitstayid,patienthealthsystemstayid,uniquepid,gender,age,hospitaldischargeyear"]
    header = f"{patient[0]},hospitaladmitoffset,hospitaldischargestatus,unitdischargeoffset,hospitaldischargeoffset"
    stays = [header.split(",")]
    diagnoses = [["patientunitstayid", "icd9code", "diagnosispriority", "diagnosisoffset"]]
    treatments = [["treatmentid", "patientunitstayid", "treatmentoffset", "treatmentstring"]]
    drugs = [["patientunitstayid", "drugname", "drughiclseqno", "drugordercancelled", "drugstartoffset"]]
    for number in range(1, 11):
        for unit, stay, year, offset, ends in ((1, 1, 2014, -5, 300), (2, 1, 2014, -500, 300), (3, 2, 2015, -5, 300)):
            unit_id = 100 * number + unit
            stays.append([unit_id, 10 * number + stay, f"p{number}", "Male", 60, year, offset, "Alive", ends, 2000])
            diagnoses.append([unit_id, "428.0, I50.9", "Primary", 5])
        first, second, last = (100 * number + unit for unit in (1, 2, 3))
        treatments += [
            [1, first, 10, "pulmonary|ventilation and oxygenation|mechanical ventilation"],
            [2, second, 10, "pulmonary|ventilation and oxygenation|mechanical ventilation"],
            [3, second, 400, "renal|dialysis|of after the unit"],
            [4, last, 10, "canary|of the last visit"],
            [5, first, 2500, "canary|of after the end"],
            [6, 7, 10, "canary|of an unknown stay"],
        ]
        drugs += [
            [first, "LORAZEPAM 2 MG/ML INJ", 4846, "No", 5],
            [second, "ATIVAN", 4846, "No", 6],
            [second, "lorazepam", 4846, "No", 7],
            [first, "", 4846, "No", 8],
            [first, "Home remedy", 0, "No", 8],
            [first, "", "", "No", 8],
            [first, "Canarycancelled", "", "Yes", 8],
            [last, "Canarylast", "", "No", 8],
            [first, "Canarylate", "", "No", 2001],
        ]
    for name, rows in (("patient", stays), ("diagnosis", diagnoses), ("treatment", treatments), ("medication", drugs)):
        write_csv(folder / f"{name}.csv.gz", rows)
    return folder


BOTH = ("--events", "procedures,drugs", "--min-event-patients", 3)


@pytest.mark.parametrize("visit", ["hospital", "unit"])
def test_events_are_those_of_the_visits_before(tmp_path, visit):
    folder = write_eicu(tmp_path / "eicu")
    (task,) = run("eicu", "--input", folder, "--visit", visit, *EVEN, *BOTH, "--output", tmp_path / "task")
    names = dict(task.events.select("event", "name").iter_rows())
    ventilated = "procedure:pulmonary|ventilation_and_oxygenation|mechanical_ventilation"
    assert names[ventilated] == "pulmonary, ventilation and oxygenation, mechanical ventilation"
    assert names["drug:lorazepam"] == "lorazepam"
    assert names["drug:home_remedy"] == "home remedy"
    late = "procedure:renal|dialysis|of_after_the_unit"
    assert set(names) == {ventilated, "drug:lorazepam", "drug:home_remedy", *([late] if visit == "hospital" else [])}
    first = {ventilated, "drug:lorazepam"}
    by_visit = {
        "hospital": [sorted({*first, "drug:home_remedy", late})],
        # The ICU stay that was admitted first in its hospital stay comes first.
        "unit": [sorted({*first, "drug:home_remedy"}), sorted(first)],
    }
    for row in every_row(task):
        assert [old["events"] for old in row["history"]] == by_visit[visit]
    stored = b"".join(path.read_bytes() for path in task.path.rglob("*") if path.is_file())
    assert b"canary" not in stored.lower()
    counts = dropped(task, "events")
    assert counts["drug whose order was cancelled"] == 10
    assert counts["drug without a code or a name"] == 10
    assert counts["drug of after its visit's end"] == 10
    assert counts["procedure without a patient or visit"] == 10
    assert counts["procedure of after its visit's end"] == (10 if visit == "hospital" else 20)
    assert_adds_up(task)


def test_labs_are_refused_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("eicu", "--input", tmp_path, "--events", "drugs,labs", "--output", tmp_path / "task")
    assert "eicu tells no labs of a visit that could be read; it has procedures, drugs" in capsys.readouterr().err
