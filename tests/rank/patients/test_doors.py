"""One patient through every door: a table, a frame, a list of visits. Each reads the same history, age and days."""

import datetime

import polars as pl
import pytest
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from data.ontology import load_ontology
from data.prepare.new_patients import read_new_patients
from data.sources.shared.own_table.table_columns import TableColumns
from mera.system.errors import UserError
from rank import Ranker
from rank.patients.code_reader import CodeReader
from rank.patients.notices import InputNotice, UnfamiliarInput
from rank.patients.patient_frame import FrameColumns, patients_of_frame
from rank.patients.trained_on import TrainedOn
from rank.task_prediction.answers import PatientAnswers
from rank.task_prediction.rank_table import rank_new_patients
from rank.task_prediction.ranked_files import wide_table

COLUMNS = TableColumns(patient="pid", time="admitted", code="icd", sex="sex", age="age")
OF_FRAME = FrameColumns(patient="pid", time="admitted", code="icd", sex="sex", age="age")
VISITS = [
    ("1", "2020-01-01", "F", 60, "I10"),
    ("1", "2020-01-01", "F", 60, "E11.9"),
    ("1", "2022-01-01", "F", 62, "ZZZ"),
]
"""The last visit has no code of any edition."""
DAYS = (datetime.date(2022, 1, 1) - datetime.date(2020, 1, 1)).days


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors")
    return Ranker.load(make_checkpoint(make_tiny_task(folder / "task"), folder / "checkpoint"))


def frame_of(rows):
    return pl.DataFrame(rows, schema=["pid", "admitted", "sex", "age", "icd"], orient="row")


def of_table(folder, rows, **more):
    path = folder / "t.csv"
    frame_of(rows).write_csv(path)
    return read_new_patients(path, COLUMNS, system="icd10cm", **more)


def of_frame(rows, at=None):
    return patients_of_frame(frame_of(rows).with_columns(pl.col("admitted").str.to_date()), OF_FRAME, at)


def test_a_visit_without_a_usable_code_is_left_out_at_every_door(ranker, tmp_path):
    table = of_table(tmp_path, VISITS)
    assert table.account["accounting"]["visits"]["dropped"] == {"without a usable code": 1}
    (expected,) = table.rows
    assert (expected["age"], expected["sex"]) == (62, "F"), "of the visit that is left out"
    assert [visit["days_before"] for visit in expected["history"]] == [DAYS]
    given = ranker.row([["I10", "E11.9"], ["ZZZ"]], days_before=[DAYS, 0], age=62, sex="F")
    (framed,) = of_frame(VISITS)
    by_frame = ranker.row(framed.history, days_before=framed.days_before, age=framed.age, sex=framed.sex)
    for row in (given, by_frame):
        assert (row["age"], row["sex"]) == (62, "F")
        assert [(sorted(visit["codes"]), visit["days_before"]) for visit in row["history"]] == [
            (["E11.9", "I10"], DAYS)
        ]


@pytest.mark.parametrize("last", [["ZZZ"], ["  "], []])
def test_what_is_no_visit_changes_nothing_and_is_told(ranker, last):
    alone = ranker.rank([["I10", "E11.9"]], days_before=[30], age=62)
    with pytest.warns(InputNotice, match="1 of 2 visits left out, as they have no code of the model's edition"):
        assert ranker.rank([["I10", "E11.9"], last], days_before=[30, 0], age=62) == alone


def test_a_code_of_the_edition_is_a_visit_though_the_model_never_saw_it(ranker):
    given = ranker.given([["I10"], ["S72.001A"]])
    assert given.usable == [0, 1]
    assert given.left_out_sentence is None


def test_an_answer_numbers_the_visits_that_were_given(ranker):
    patient = {
        "history": [{"codes": codes, "days_before": None} for codes in (["ZZZ"], ["I10", "E11.9"], ["N17.9", "K92.2"])],
        "age": 67,
        "sex": "F",
        "text": None,
    }
    reply = PatientAnswers(ranker).rank({"patients": [patient], "top": 2, "explain": True})["patients"][0]
    assert [effect["visit"] for effect in reply["codes"][0]["moved_by"]] == [2, 3]
    assert reply["unknown_codes"] == ["ZZZ"]


def test_age_is_that_of_the_day_to_predict(tmp_path):
    rows = [("1", "2018-01-09", "M", 68, "I10"), ("1", "2020-06-30", "M", 70, "E11.9")]
    assert of_table(tmp_path, rows).rows[0]["age"] == 70
    assert of_table(tmp_path, rows, at="2026-01-31").rows[0]["age"] == 76
    assert of_frame(rows)[0].age == 70
    assert of_frame(rows, datetime.date(2026, 1, 31))[0].age == 76


def test_an_age_that_the_last_visit_lacks_is_carried_on_and_counted(tmp_path):
    rows = [
        ("1", "2018-01-09", "M", 68, "I10"),
        ("1", "2020-06-30", "M", None, "E11.9"),
        ("2", "2020-01-01", "F", 50, "I10"),
    ]
    table = of_table(tmp_path, rows)
    assert [row["age"] for row in table.rows] == [70, 50]
    assert table.account["changed"]["age of an earlier visit, where the last has none"] == 1
    assert [patient.age for patient in of_frame(rows)] == [70, 50]


def test_what_contradicts_itself_is_none_at_every_door(tmp_path):
    rows = [("1", "2018-01-09", "F", 68, "I10"), ("1", "2018-01-09", "M", 69, "E11.9")]
    (row,) = of_table(tmp_path, rows).rows
    assert (row["age"], row["sex"]) == (None, None)
    with pytest.warns(InputNotice, match="1 patients of the frame have two (sexes|ages on one day)") as told:
        (patient,) = of_frame(rows)
    assert (patient.age, patient.sex) == (None, None)
    assert len(told) == 2


def test_two_words_for_one_sex_are_one(tmp_path):
    rows = [("1", "2018-01-09", "F", 68, "I10"), ("1", "2019-01-09", "female", 69, "E11.9")]
    assert of_frame(rows)[0].sex in ("F", "female")
    assert of_table(tmp_path, rows).rows[0]["sex"] == "F"


@pytest.mark.parametrize("written", ["E11.90", "I50.13", "i5090", "I50.999", "I10", "I50.9 Heart failure", "ZZZ"])
def test_a_model_of_categories_reads_codes_as_its_table_was_read(written, tmp_path):
    reader = CodeReader({"I50", "I10", "E11"}, TrainedOn(ontology="icd10cm", granularity="category"))
    table = of_table(
        tmp_path, [("1", "2018-01-09", "F", 68, code) for code in (written, "I10")], granularity="category"
    )
    codes = {load_ontology("icd10cm").groups(code)["category"] for code in table.rows[0]["history"][0]["codes"]}
    assert {code for code in (reader.read(written), "I10") if reader.is_code(code)} == codes


def test_in_full_granularity_an_unknown_code_stays_unknown():
    reader = CodeReader({"I50.9", "I10"}, TrainedOn(ontology="icd10cm", granularity="full"))
    assert reader.read("I50.999") == "I50.999"
    assert not reader.is_code("I50.999")
    assert reader.read("I10 Hypertension") == "I10"


def test_a_table_of_mostly_no_codes_is_refused(ranker, tmp_path):
    rows = [("1", "2018-01-09", "F", 68, code) for code in ("I10", "LOC1", "LOC2", "LOC3")]
    table = of_table(tmp_path, rows)
    with pytest.raises(UserError, match=r"^3 of the table's 4 codes are unknown to the model: most are no codes of"):
        rank_new_patients(ranker, table, [], top=3, batch_size=4)
    with pytest.warns(UnfamiliarInput, match="3 of the table's 4 codes"):
        assert len(rank_new_patients(ranker, table, [], top=3, batch_size=4, allow_unknown=True)) == 1


def test_predicted_codes_beyond_the_listed_ones_are_counted(ranker, tmp_path):
    rows = [(pid, "2018-01-09", "F", 68, code) for pid in "12" for code in ("I10", "E11.9")]
    ranker.predicted_above = 0.0
    try:
        with pytest.warns(
            InputNotice, match=r"56 predicted codes of 2 patients lie beyond the first 2: --top 30 shows"
        ):
            ranked = rank_new_patients(ranker, of_table(tmp_path, rows), [], top=2, batch_size=4)
    finally:
        ranker.predicted_above = None
    assert wide_table(ranked)["predicted"].to_list() == [30, 30]
    assert [len(each.codes) for each in ranked] == [2, 2]


@pytest.mark.parametrize(("age", "says"), [(999, "an age is a whole number"), (-1, "an age is a whole number")])
def test_an_impossible_age_of_a_frame_is_refused_without_its_value(age, says):
    rows = [("1", "2018-01-09", "F", age, "I10")]
    with pytest.raises(UserError, match=f"^patient 1 of the frame: {says} of years from 0 to 120$"):
        of_frame(rows, datetime.date(2020, 1, 1))


def test_an_age_that_is_text_grows_older_too():
    rows = [("1", "2018-01-09", "F", "60", "I10")]
    assert of_frame(rows, datetime.date(2020, 1, 9))[0].age == 62


def test_a_blank_sex_is_no_second_one():
    rows = [("1", "2018-01-09", sex, 60, "I10") for sex in ("F", " ", "unknown")]
    assert of_frame(rows)[0].sex == "F"


def test_visits_without_codes_of_a_frame_with_lists_count_for_the_day_and_are_told():
    frame = pl.DataFrame({"pid": ["a", "a", "b"], "on": [1, 400, 5], "icd": [["I10"], [], []], "age": [60, None, 9]})
    columns = FrameColumns(patient="pid", time="on", code="icd", age="age")
    with pytest.warns(InputNotice, match="2 rows of the frame without a code were left out, and with them 1 patients"):
        (patient,) = patients_of_frame(frame, columns)
    assert (patient.days_before, patient.age) == ([399], 61)


@pytest.mark.parametrize(("groups", "ontology", "code"), [(["CCS108"], "ccs", "486"), (["CIR019"], "ccsr", "J18.9")])
def test_a_group_that_the_model_lacks_is_of_its_edition(groups, ontology, code):
    reader = CodeReader(groups, TrainedOn(ontology=ontology))
    assert reader.read(code) not in groups
    assert reader.is_code(reader.read(code))
    assert not reader.is_code(reader.read("ZZZ"))


def test_what_is_allowed_stays(ranker):
    assert [visit["codes"] for visit in ranker.row([["XYZ"]], allow_unknown=True)["history"]] == [["XYZ"]]


@pytest.mark.parametrize(("at", "age"), [("2020-07-10", 59), ("2020-12-30", 59), ("2020-12-31", 60), (None, 59)])
def test_of_a_birth_date_the_age_is_exact(tmp_path, at, age):
    rows = {"pid": ["1"], "admitted": ["2020-01-01"], "born": ["1960-12-31"], "icd": ["I10"]}
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    columns = TableColumns(patient="pid", time="admitted", code="icd", birth_date="born")
    assert read_new_patients(tmp_path / "t.csv", columns, system="icd10cm", at=at).rows[0]["age"] == age
