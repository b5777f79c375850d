"""`mera go`: what a folder may be gone on with, and the command for new patients. The steps are recorded, not run."""

import json

import pytest

from mera.commands import go
from mera.system.errors import UserError

GUESS = {"options": ["--patient", "pid", "--code", "dx", "--code-system", "icd10"], "columns": ["--patient", "pid"]}


@pytest.fixture
def steps(monkeypatch):
    """Names of the steps that were run."""
    run = []

    def run_steps(steps, console, **_):
        run.extend(step.name for step in steps)
        for step in steps:
            for result in step.results:
                result.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(go, "run_steps", run_steps)
    monkeypatch.setattr(go, "_guess", lambda table, columns: GUESS)
    return run


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text("pid,dx\n1,I10\n")
    return path


def test_the_same_command_goes_on_and_the_baselines_are_always_asked(steps, table, tmp_path):
    for _ in range(2):
        assert go.run_go(table, tmp_path / "mine") == tmp_path / "mine" / "report" / "index.html"
    assert [name.split(":")[0] for name in steps] == 2 * [
        *("prepare the table", "baselines", "stage one", "stage two", "report")
    ]
    (baselines,) = [step for step in go.go_steps(table, tmp_path, [], "tiny") if step.name == "baselines"]
    assert baselines.results == (), "a folder with some of them is no sign that all are there"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "pid,dx\n1,E11.9\n"}, "was begun with another table;"),
        ({"options": ["--granularity", "category"]}, "was begun with other options;"),
        ({"table": "pid,dx\n", "recipe": "smollm2"}, "was begun with another table and another recipe;"),
    ],
)
def test_a_folder_of_something_else_is_refused(steps, table, tmp_path, change, message):
    go.run_go(table, tmp_path / "mine")
    steps.clear()
    if "table" in change:
        table.write_text(change["table"])
    with pytest.raises(UserError, match=message):
        go.run_go(table, tmp_path / "mine", change.get("options", ()), change.get("recipe", "tiny"))
    assert steps == []


def test_a_folder_of_ones_own_is_left_alone(steps, table, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"mine already exists and is not of `mera go`"):
        go.run_go(table, tmp_path / "mine")
    assert {path.name for path in (tmp_path / "mine").iterdir()} <= {"notes.txt", ".lock"}


def test_how_values_are_written_is_in_the_command_for_new_patients(steps, table, tmp_path, capsys):
    go.run_go(table, tmp_path / "mine", ["--date-format", "%m/%d/%Y", "--granularity", "category"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "mera predict" in line)
    assert "--input NEW_PATIENTS.csv --patient pid --date-format %m/%d/%Y --output ranked.csv" in line
    assert json.loads((tmp_path / "mine" / "go.json").read_text())["options"][-2:] == ["--granularity", "category"]


def test_an_option_that_is_nearly_one_of_its_own(table, tmp_path):
    with pytest.raises(UserError, match="no option --recip; did you mean --recipe"):
        go.run_go(table, tmp_path / "mine", ["--recip", "tiny"])
