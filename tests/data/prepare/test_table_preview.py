"""What `mera prepare table` says of a table before it writes anything, and the examples of one."""

import re

import polars as pl
import pytest

from data.ledger import Ledger
from data.prepare.__main__ import main
from data.prepare.options import parse_arguments
from data.prepare.table_preview import csv_text, example_tables, preview_columns
from data.sources.table import read_source
from data.task import load_task
from mera.root import ROOT

COLUMNS = ["--patient", "pid", "--time", "admitted", "--sex", "sex", "--age", "age", "--code-system", "icd10"]
CODES = {
    "one-row-a-diagnosis": ["--code", "icd"],
    "one-row-a-visit": ["--code", "icd", "--code-separator", ";"],
    "a-column-for-each-code": ["--code", "dx*"],
}


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["mera prepare", "table", *map(str, arguments)])
    main()


def as_rows(task):
    return {name: sorted(map(repr, task.splits[name].to_list())) for name in task.splits}


def test_the_examples_of_the_docs_are_the_ones_that_are_written():
    folder = ROOT / "docs/examples"
    assert {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.csv")} == {
        name: csv_text(rows) for name, rows in example_tables().items()
    }


def test_the_three_shapes_are_one_cohort(tmp_path, monkeypatch, capsys):
    tasks = {}
    for name, codes in CODES.items():
        source = ROOT / f"docs/examples/{name}.csv"
        run(monkeypatch, "--input", source, *COLUMNS, *codes, "--output", tmp_path / name)
        tasks[name] = load_task(tmp_path / name)
    assert len(tasks["one-row-a-visit"].splits["train"]) == 9
    assert as_rows(tasks["one-row-a-visit"]) == as_rows(tasks["a-column-for-each-code"])
    of_sets = [[(row["patient_id"], sorted(row["targets"])) for row in task.splits["train"]] for task in tasks.values()]
    assert of_sets[0] == of_sets[1]


def test_the_template_is_read_by_the_command_that_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--template", "visits.csv")
    assert ended.value.code == 0
    command = capsys.readouterr().out.splitlines()[-1].split()
    assert command[:3] == ["mera", "prepare", "table"]
    run(monkeypatch, *command[3:])
    assert len(load_task(tmp_path / "prepared/example").codes) == 12


@pytest.mark.parametrize(("name", "sentence"), [("visits.csv", "already exists"), ("visits.xlsx", "writes a CSV")])
def test_a_template_overwrites_nothing(tmp_path, monkeypatch, name, sentence):
    (tmp_path / "visits.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=sentence):
        run(monkeypatch, "--template", tmp_path / name)
    assert (tmp_path / "visits.csv").read_text(encoding="utf-8") == "mine"


@pytest.fixture
def odd_table(tmp_path):
    """Six rows: one time that is none, one age that is none, an empty sex."""
    table = pl.DataFrame(
        {
            "pid": ["Meier", "Meier", "Kunz", "Kunz", "Kunz", "Roth"],
            "admitted": ["2023-01-09", "2023-06-30", "2023-02-01", "later", "2023-07-01", "2023-03-03"],
            "icd": ["I50.9", "N17.9", "E11.9", "E11.9", "I10", "J44.1"],
            "sex": ["F", "F", "M", "M", "M", None],
            "age": ["64", "64", "seventy", "71", "71", "80"],
            "ward": ["A"] * 6,
        }
    )
    path = tmp_path / "odd.csv"
    table.write_csv(path)
    return path


def test_each_column_is_counted_and_no_value_is_shown(odd_table, monkeypatch, capsys):
    arguments = ["table", "--input", str(odd_table), *COLUMNS, "--code", "icd", "--preview"]
    options, ledger = parse_arguments(arguments), Ledger()
    read_source(options, "diagnosis", ledger)
    columns, others, rows = preview_columns(options, ledger)
    counts = {each.header: (each.filled, each.unreadable, each.empty) for each in columns}
    assert counts == {"pid": (6, 0, 0), "admitted": (6, 1, 0), "icd": (6, None, 0), "sex": (5, 0, 1), "age": (6, 1, 0)}
    assert others == ["ward"]
    assert rows[0] == {"pid": "Aaaaa", "admitted": "9999-99-99", "icd": "A99.9", "sex": "A", "age": "99"}
    monkeypatch.setenv("COLUMNS", "200")
    run(monkeypatch, *arguments[1:])
    printed = capsys.readouterr().out
    assert "3 patients with 5 visits, 2 of them with more than one; nothing was written" in re.sub(r"\s+", " ", printed)
    assert not any(value in printed for value in ("Meier", "Kunz", "I50.9", "2023-01-09", "seventy", "later"))
    assert sorted(path.name for path in odd_table.parent.iterdir()) == ["odd.csv"]


def test_a_sex_that_is_recorded_as_unknown_is_not_unreadable(odd_table):
    pl.read_csv(odd_table).with_columns(sex=pl.Series(["F", "F", "M", "U", "M", "U"])).write_csv(odd_table)
    options = parse_arguments(["table", "--input", str(odd_table), *COLUMNS, "--code", "icd", "--preview"])
    ledger = Ledger()
    read_source(options, "diagnosis", ledger)
    (sex,) = (each for each in preview_columns(options, ledger)[0] if each.header == "sex")
    assert (sex.filled, sex.unreadable, sex.empty) == (6, 0, 0)


def test_the_columns_are_shown_where_the_table_ends_in_an_error(odd_table, monkeypatch, capsys):
    with pytest.raises(ValueError, match="none of 5 values is a code"):
        run(monkeypatch, "--input", odd_table, *COLUMNS[:-1], "icd9", "--code", "icd", "--preview")
    assert "columns that are read" in capsys.readouterr().out


def test_without_a_preview_an_output_is_needed(odd_table, capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["table", "--input", str(odd_table), *COLUMNS, "--code", "icd"])
    assert capsys.readouterr().err == (
        "error: the following arguments are required: --output\nmera prepare table --help lists the options\n"
    )
