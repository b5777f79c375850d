"""OMOP CDM 5.4: tables in the documented form, as CSV and Parquet, counted by hand."""

import random

import omop_tables as omop
import polars as pl
import pytest
from prepare_case import EVEN, accounting, assert_adds_up, dropped, every_row, example_of, run, write_csv

ICD10 = ("--code-system", "icd10")


def write(folder, tables):
    for name, rows in tables.items():
        write_csv(folder / f"{name}.csv", rows)
    return folder


def prepared(tmp_path, tables, *options, name="t"):
    folder = write(tmp_path / f"cdm-{name}", tables) if isinstance(tables, dict) else tables
    (task,) = run("omop", "--input", folder, "--output", tmp_path / name, *EVEN, *options)
    assert_adds_up(task)
    return task


def with_rows(tables, name, *rows):
    return tables | {name: [*tables[name], *rows]}


def test_the_source_concept_gives_the_code_and_the_status_the_first(tmp_path):
    task = prepared(tmp_path, omop.tables(), *ICD10)
    row = example_of(task, "3")
    assert (row["age"], row["sex"], row["targets"]) == (69, "F", ["I50.9", "I10"])
    assert row["history"] == [{"codes": ["I50.9", "I10"], "days_before": 31}]
    assert accounting(task)["diagnoses"] == {"read": 48, "added": {}, "used": 48, "dropped": {}}
    assert {row["sex"] for row in every_row(task)} == {"F", "M"}
    primary = prepared(tmp_path, omop.tables(), *ICD10, "--primary-only", name="u")
    assert example_of(primary, "3")["targets"] == ["I50.9"]


def test_a_standard_concept_takes_the_code_that_maps_to_it(tmp_path):
    conditions = [
        omop.condition(1, 1, "12", standard="31001"),  # I10: a repeat of what is there
        omop.condition(2, 1, "12", standard="31004"),  # two codes; the source uses N17.9
        omop.condition(3, 1, "12", standard="31005"),  # its only relation is no longer valid
        omop.condition(4, 1, "12", standard="31006"),  # two codes that the source never uses
        omop.condition(5, 2, "22", source="45004"),
        omop.condition(6, 1, "12", standard="0"),
    ]
    tables = with_rows(omop.tables(), "condition_occurrence", *conditions)
    without = prepared(tmp_path, tables, *ICD10, name="without")
    assert dropped(without, "diagnoses") == {"no ICD concept as its source, and none that maps to its concept": 5}
    task = prepared(tmp_path, tables | {"concept_relationship": omop.RELATIONSHIPS}, *ICD10)
    assert example_of(task, "1")["targets"] == ["I50.9", "I10", "N17.9"]
    assert dropped(task, "diagnoses") == {
        "no ICD concept as its source, and none that maps to its concept": 2,
        "repeated in its visit": 1,
        "several ICD concepts map to its concept, and the source's own rows hold none": 1,
    }
    assert task.info["changed"] == {"code that maps to the condition's concept, by concept_relationship": 2}


def test_the_order_of_rows_changes_nothing(tmp_path):
    tables = omop.tables() | {"concept_relationship": omop.RELATIONSHIPS}
    for standard in ("31001", "31004", "31006"):
        tables = with_rows(tables, "condition_occurrence", omop.condition(standard, 1, "12", standard=standard))
    tables = with_rows(tables, "visit_occurrence", ["11", "1", "9203", "2020-01-09", ""])
    first = prepared(tmp_path, tables, *ICD10, "--kind", "coding")
    draw = random.Random(0)
    shuffled = {name: [rows[0], *draw.sample(rows[1:], len(rows) - 1)] for name, rows in tables.items()}
    second = prepared(tmp_path, shuffled, *ICD10, "--kind", "coding", name="u")
    assert every_row(second) == every_row(first)
    assert second.info["accounting"] == first.info["accounting"]


def test_both_versions_and_the_who(tmp_path):
    tables = with_rows(omop.tables(), "condition_occurrence", omop.condition(1, 1, "12", source="44001"))
    with pytest.raises(ValueError, match=r"mix ICD-9 \(1 rows\) and ICD-10 \(48 rows\); choose with --code-system"):
        prepared(tmp_path, tables)
    task = prepared(tmp_path, tables, "--code-system", "to-icd10", name="u")
    assert dropped(task, "diagnoses") == {"repeated in its visit": 1}
    with pytest.raises(ValueError, match="no condition has a concept of ICD10;"):
        prepared(tmp_path, omop.tables(), "--code-system", "icd10who", name="v")
    tables["condition_occurrence"] = [
        [{"45001": "46001", "45002": "46002"}.get(cell, cell) for cell in row] for row in tables["condition_occurrence"]
    ]
    who = prepared(tmp_path, tables, "--code-system", "icd10who", name="w")
    assert who.info["ontology"] == "icd10who"
    assert example_of(who, "3")["targets"] == ["I50.9", "I10"]


def test_source_values_are_codes_only_where_the_user_says_so(tmp_path):
    conditions = [omop.condition(1, 1, "12", value="N179"), omop.condition(2, 1, "12", value="J18.9", source="31005")]
    tables = with_rows(omop.tables(), "condition_occurrence", *conditions)
    assert len(example_of(prepared(tmp_path, tables, *ICD10), "1")["targets"]) == 2
    task = prepared(tmp_path, tables, *ICD10, "--source-values", "icd10", name="u")
    assert example_of(task, "1")["targets"] == ["I50.9", "I10", "N17.9"]
    assert task.info["changed"] == {"code taken from condition_source_value": 1}


def test_omop_counts_every_trouble(tmp_path):
    tables = omop.tables()
    tables = with_rows(
        tables,
        "visit_occurrence",
        ["11", "1", "9201", "2020-01-10", ""],  # a visit twice
        ["990", "", "9201", "2020-01-10", ""],
        ["991", "1", "9201", "", ""],
        ["992", "1", "9202", "2020-05-01", ""],
        ["993", "2", "9201", "2021-05-01", ""],  # after death
        ["994", "13", "9202", "2020-05-01", ""],
    )
    tables = with_rows(tables, "condition_occurrence", omop.condition(1, 1, "", source="45001"))
    tables = with_rows(tables, "condition_occurrence", omop.condition(1, 2, "993", source="45001"))
    tables = with_rows(tables, "person", ["14", "0", "1990", "", ""], ["15", "8551", "1890", "", ""])
    tables = with_rows(
        tables, "visit_occurrence", ["141", "14", "9201", "2020-05-01", ""], ["151", "15", "262", "2020-05-01", ""]
    )
    tables["death"] = [["person_id", "death_date"], ["2", "2020-12-31"]]
    task = prepared(tmp_path, tables, *ICD10, "--visit-concepts", "9201", "262")
    assert dropped(task, "visits") == {
        "without a patient or visit id": 1,
        "duplicate visit": 1,
        "of another visit_concept_id": 2,
        "without a start": 1,
        "death before admission": 1,
        "without a usable code": 2,
    }
    assert dropped(task, "diagnoses") == {
        "condition without a patient or visit": 1,
        "visit dropped or not listed": 1,
    }
    assert dropped(task, "patients") == {
        "without a usable visit in visit_occurrence": 1,
        "without a usable visit": 2,
    }
    assert task.info["changed"] == {"age below 0 or above 120, left out": 1}


def test_a_datetime_that_fills_a_gap_is_not_the_time_of_a_visit(tmp_path):
    """Where the column must not be null, exports write 1970-01-01; visits would have no order and patients no age."""
    tables, plain = omop.tables(), prepared(tmp_path, omop.tables(), *ICD10)
    header, *visits = tables["visit_occurrence"]
    filled = [[*visit[:4], "1970-01-01 00:00:00"] for visit in visits]
    task = prepared(tmp_path, tables | {"visit_occurrence": [header, *filled]}, *ICD10, name="filled")
    assert every_row(task) == every_row(plain)
    assert task.info["changed"] == {"visit whose datetime is of another day than its date, which is taken": 24}


def test_what_the_next_visit_found_is_not_in_the_history(tmp_path):
    """A condition may name a visit and be dated years later, as those of a series of treatments are."""
    conditions = [
        omop.condition(1, 3, "31", source="45004", date="2020-02-11"),
        omop.condition(2, 3, "31", source="45003", date="2020-02-10"),
        omop.condition(3, 3, "32", source="45003", date="2021-01-01"),
        omop.condition(4, 3, "31", source="45006", date=""),
    ]
    task = prepared(tmp_path, with_rows(omop.tables(), "condition_occurrence", *conditions), *ICD10)
    row = example_of(task, "3")
    assert sorted(row["history"][0]["codes"]) == ["E11.9", "I10", "I50.9", "J18.9"]
    assert "E11.9" in row["targets"]
    assert dropped(task, "diagnoses") == {"condition of after the next visit began": 1}


def test_visits_that_begin_at_once_have_one_order_everywhere(tmp_path):
    """9 before 10: a condition of 9, dated behind the day of both, would tell what 10 found."""
    header, *visits = omop.tables()["visit_occurrence"]
    twins = [[name, "1", "9201", "2020-05-10", "2020-05-10 08:30:00"] for name in ("9", "10")]
    conditions = [
        omop.condition(1, 1, "9", source="45004", date="2020-05-12"),
        omop.condition(2, 1, "9", source="45006", date="2020-05-10"),
        omop.condition(3, 1, "10", source="45003", date="2020-05-12"),
    ]
    tables = with_rows(omop.tables(), "condition_occurrence", *conditions)
    task = prepared(tmp_path, tables | {"visit_occurrence": [header, *visits, *twins]}, *ICD10)
    row = example_of(task, "1")
    assert (row["history"][-1]["codes"], row["targets"]) == (["J18.9"], ["E11.9"])


def test_overlapping_visits_are_counted(tmp_path):
    header, *visits = omop.tables()["visit_occurrence"]
    ends = ["2020-02-11" if row[0] == "11" else "2020-02-10" if row[0] == "21" else "" for row in visits]
    table = [[*header, "visit_end_date"], *([*row, end] for row, end in zip(visits, ends, strict=True))]
    task = prepared(tmp_path, omop.tables() | {"visit_occurrence": table}, *ICD10)
    reason = "visit that ended after the patient's next one began, in whose history its codes stand"
    assert task.info["changed"] == {reason: 1}


def test_versions_of_a_table_are_refused_and_what_spark_hides_is_not_read(tmp_path):
    folder = write(tmp_path / "cdm", omop.tables())
    plain = every_row(prepared(tmp_path, folder, *ICD10))
    parts = folder / "person"
    (parts / "_temporary").mkdir(parents=True)
    (folder / "person.csv").rename(parts / "part-0.csv")
    (parts / "_temporary" / "part-1.csv").write_text("none\n")
    (parts / ".part-0.csv").write_text("none\n")
    assert every_row(prepared(tmp_path, folder, *ICD10, name="u")) == plain
    (parts / "_delta_log").mkdir()
    with pytest.raises(ValueError, match=r"person holds versions of its table \(_delta_log\), old ones among them"):
        prepared(tmp_path, folder, *ICD10, name="v")


def test_parquet_parts_and_upper_case_names_are_the_same(tmp_path):
    tables = omop.tables()
    plain = prepared(tmp_path, tables, *ICD10)
    folder = tmp_path / "parquet"
    (folder / "condition_occurrence").mkdir(parents=True)
    for name, (header, *rows) in tables.items():
        frame = pl.DataFrame(rows, schema=[column.upper() for column in header], orient="row")
        numbers = [
            column
            for column in frame.columns
            if column.endswith("_ID") and column[:4] not in ("VOCA", "DOMA") and "CLASS" not in column
        ]
        frame = frame.with_columns(pl.col(numbers).cast(pl.Int64))
        if name == "condition_occurrence":
            frame[:20].write_parquet(folder / name / "part-0.parquet")
            frame[20:].write_parquet(folder / name / "part-1.parquet")
        else:
            frame.write_parquet(folder / f"{name.upper()}.parquet")
    task = prepared(tmp_path, folder, *ICD10, name="u")
    assert every_row(task) == every_row(plain)
    coding = prepared(tmp_path, folder, *ICD10, "--kind", "coding", name="v")
    assert every_row(coding) == every_row(prepared(tmp_path, tables, *ICD10, "--kind", "coding", name="w"))


def test_notes_of_a_visit_stand_oldest_first_and_a_history_tells_no_later_one(tmp_path):
    notes = [
        ["903", "1", "2020-01-12", "", "", "a later one", "11"],
        ["904", "1", "2020-01-09", "", "", "an early one", "11"],
        ["905", "1", "2020-01-09", "", "", "an early one", "11"],
        ["906", "1", "2020-03-09", "", "", "after the next visit began", "11"],
        ["907", "1", "2020-03-09", "", "", "of no visit", ""],
        ["908", "1", "2020-03-09", "", "", "", "11"],
    ]
    tables = with_rows(omop.tables(), "note", *notes)
    task = prepared(tmp_path, tables, *ICD10, "--kind", "coding")
    text = next(row["text"] for row in every_row(task) if row["example_id"] == "1:11")
    assert text == "an early one\n\nnote of 11 aaaaaa said so\n\na later one\n\nafter the next visit began"
    assert dropped(task, "notes") == {
        "without an admission or patient id": 1,
        "empty": 1,
        "repeats another of its admission": 1,
    }
    past = prepared(tmp_path, tables, *ICD10, "--past-notes", name="u")
    assert [visit["text"] for visit in example_of(past, "1")["history"]] == [
        "an early one\n\nnote of 11 aaaaaa said so\n\na later one"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tables: tables | {"visit_occurrence": [["a"], ["1"]]}, "has no column person_id"),
        (lambda tables: {name: rows for name, rows in tables.items() if name != "concept"}, "holds no table concept"),
        (lambda tables: tables | {"person.tsv": [["a"], ["1"]]}, None),
    ],
)
def test_folders_that_are_refused(tmp_path, change, message):
    if message is None:
        folder = write(tmp_path / "cdm", omop.tables())
        (folder / "person.parquet").write_bytes(b"")
        with pytest.raises(ValueError, match=r"holds person\.csv and person\.parquet; keep one of them"):
            prepared(tmp_path, folder, *ICD10)
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(tmp_path, change(omop.tables()), *ICD10)


def test_a_concept_of_two_meanings_is_refused_and_one_that_is_repeated_is_not(tmp_path):
    tables = omop.tables()
    header, first, *_ = tables["concept"]
    again = with_rows(tables, "concept", first)
    assert (
        prepared(tmp_path, again, *ICD10, name="again").codes == prepared(tmp_path, tables, *ICD10, name="once").codes
    )
    other = [f"{cell}9" if name == "concept_code" else cell for name, cell in zip(header, first, strict=True)]
    with pytest.raises(ValueError, match="1 concept_ids of the table concept stand in several rows that differ"):
        prepared(tmp_path, with_rows(tables, "concept", other), *ICD10, name="other")


def test_visits_that_end_before_they_begin_are_counted(tmp_path):
    tables = omop.tables()
    header, *rows = tables["visit_occurrence"]
    ends = ["2001-01-01", *(row[header.index("visit_start_date")] for row in rows[1:])]
    dated = [[*row, end] for row, end in zip(rows, ends, strict=True)]
    task = prepared(tmp_path, tables | {"visit_occurrence": [[*header, "visit_end_date"], *dated]}, *ICD10)
    assert task.info["changed"]["visit that ends on a day before it begins, read as it stands"] == 1
