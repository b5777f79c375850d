"""`Ranker.rank_frame`: the ranker's own ranking of each patient of a frame, of Polars or pandas; what it refuses."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

from rank import Ranker
from rank.patients.notices import InputNotice
from rank.patients.patient_frame import FrameColumns, patients_of_frame

DAY = datetime.date
ROWS = {
    "pid": [7, 3, 7, 7, 3, 7],
    "on": [DAY(2024, 3, 1), DAY(2024, 1, 1), DAY(2023, 3, 2), DAY(2024, 3, 1), DAY(2024, 1, 1), DAY(2023, 3, 2)],
    "icd": ["N17.9", "i10", "E119", " I10 ", "K92.2", "I10"],
    "years": [71, None, 70, 71, None, 70],
    "sex": ["F", None, "F", "F", None, None],
}
COLUMNS = {"patient": "pid", "time": "on", "code": "icd", "age": "years", "sex": "sex"}


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frame")
    return Ranker.load(make_checkpoint(make_tiny_task(folder / "task"), folder / "checkpoint"))


def expected(ranker, top):
    seven = ranker.rank([["E11.9", "I10"], ["N17.9", "I10"]], days_before=[365, 0], age=71, sex="F", top=top)
    three = ranker.rank([["I10", "K92.2"]], days_before=[0], top=top)
    return [*seven, *three]


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame])
def test_each_patient_is_ranked_as_alone(ranker, kind):
    frame = kind(ROWS)
    ranked = ranker.rank_frame(frame, **COLUMNS, top=4)
    assert type(ranked) is type(frame)
    table = ranked if kind is pl.DataFrame else pl.from_pandas(ranked)
    assert table.columns == ["pid", "place", "code", "definition", "score", "probability", "predicted", "known"]
    assert table["pid"].to_list() == [7] * 4 + [3] * 4, "in the order in which they come"
    assert table["place"].to_list() == [1, 2, 3, 4] * 2
    codes = expected(ranker, 4)
    assert table["code"].to_list() == [code.code for code in codes]
    assert table["known"].to_list() == [code.known for code in codes]
    np.testing.assert_allclose(table["probability"], [code.probability for code in codes], rtol=1e-4)


def test_a_row_a_visit_with_a_list_of_codes_and_numbers_of_days(ranker):
    frame = pl.DataFrame(
        {"pid": [7, 7, 3], "day": [365, 0, 9], "codes": [["N17.9", "I10"], ["E11.9", "I10"], ["I10", "K92.2"]]}
    ).with_columns(years=pl.Series([71, None, None]), sex=pl.Series(["F", None, None]))
    ranked = ranker.rank_frame(frame, patient="pid", time="day", code="codes", age="years", sex="sex", top=4)
    assert ranked["code"].to_list() == [code.code for code in expected(ranker, 4)]


def test_days_count_to_the_day_that_is_given():
    columns = FrameColumns(**COLUMNS)
    seven, three = patients_of_frame(pl.DataFrame(ROWS), columns, DAY(2024, 3, 11))
    assert (seven.patient, seven.days_before, seven.age) == (7, [375, 10], 71)
    noon = datetime.datetime(2024, 3, 11, 12)
    assert patients_of_frame(pl.DataFrame(ROWS), columns, noon) == [seven, three]
    assert (three.patient, three.days_before, three.sex) == (3, [70], None)
    with pytest.raises(ValueError, match="`at` lies before the last visit of a patient"):
        patients_of_frame(pl.DataFrame(ROWS), columns, DAY(2024, 2, 1))


def test_rows_without_a_code_are_counted(ranker):
    frame = pl.DataFrame({"pid": ["a", "a", "b"], "on": [1, 2, 1], "icd": ["I10", None, " "]})
    with pytest.warns(InputNotice, match="2 rows of the frame without a code were left out, and with them 1 patients"):
        ranked = ranker.rank_frame(frame, patient="pid", time="on", code="icd", top=1)
    assert ranked["pid"].to_list() == ["a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"icd": None}, "the frame has no column icd; it has pid, on"),
        ({"on": ["2024", "2023"]}, "on holds String; a time is a date"),
        ({"icd": [428.0, 401.9]}, "icd holds Float64, and a code is a text"),
        ({"icd": [[428], [401]]}, r"icd holds List\(Int64\), and a code is a text"),
        ({"pid": ["a", None]}, "row 2 of the frame has no value in pid"),
        ({"pid": [7.0, float("nan")]}, "row 2 of the frame has no value in pid"),
        ({"on": [None, DAY(2024, 1, 1)]}, "row 1 of the frame has no value in on"),
        (
            {"icd": ["I10", "Smith"], "pid": ["a", "b"]},
            "^patient 2 of the frame: 1 of the history's 1 codes",
        ),
    ],
)
def test_what_cannot_be_read_is_said_without_a_value(ranker, change, message):
    frame = {"pid": ["a", "a"], "on": [DAY(2024, 1, 1), DAY(2024, 2, 1)], "icd": ["I10", "E11.9"]} | change
    with pytest.raises(ValueError, match=message) as refused:
        ranker.rank_frame(
            pl.DataFrame({name: values for name, values in frame.items() if values is not None}),
            patient="pid",
            time="on",
            code="icd",
        )
    assert "mith" not in str(refused.value)


def test_what_is_no_frame_is_refused(ranker):
    with pytest.raises(ValueError, match="a frame of Polars or pandas is needed, got list"):
        ranker.rank_frame([], patient="pid", time="on", code="icd")


@pytest.mark.parametrize(
    ("times", "at", "message"),
    [
        ([DAY(2024, 1, 1)], 20240201, "`at` must be a date, as the times in on are; got int"),
        ([3], DAY(2024, 1, 1), "`at` must be a whole number of days, as the times in on are; got date"),
    ],
)
def test_the_day_to_predict_is_of_the_kind_of_the_times(ranker, times, at, message):
    """A date as a number would be thousands of years away, and nobody would see it."""
    frame = pl.DataFrame({"pid": ["a"], "on": times, "icd": ["I10"]})
    with pytest.raises(ValueError, match=message):
        ranker.rank_frame(frame, patient="pid", time="on", code="icd", at=at)


def test_a_batch_holds_somebody(ranker):
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got -1"):
        ranker.rank_frame(pl.DataFrame(ROWS), **COLUMNS, batch_size=-1)


def test_a_column_of_patients_that_the_answer_has_too_is_refused(ranker):
    frame = pl.DataFrame({"code": ["7"], "icd": ["I10"], "day": [3]})
    with pytest.raises(ValueError, match="the answer has a column 'code' of its own; rename that of the patients"):
        ranker.rank_frame(frame, patient="code", code="icd", time="day")


def test_nobody_to_rank_has_the_columns_of_the_answer(ranker):
    frame = pl.DataFrame({"pid": ["7"], "icd": [""], "day": [3]})
    with pytest.warns(InputNotice, match="1 rows of the frame without a code were left out"):
        ranked = ranker.rank_frame(frame, patient="pid", code="icd", time="day", at=np.int64(7))
    assert ranked.columns == ["pid", "place", "code", "definition", "score", "probability", "predicted", "known"]
    assert ranked.is_empty()
