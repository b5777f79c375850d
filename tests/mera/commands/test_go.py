"""`mera go`: what a folder may be gone on with, and the command for new patients or notes. The steps are recorded, not
run, but for one table of notes."""

import csv
import json
import shlex
import signal
import subprocess

import polars as pl
import pytest
from ready_python import run_ready
from tiny_task import make_tiny_task

from mera.commands import go
from mera.commands.go_steps import BASELINES_ON_NOTES, coding_steps, diagnosis_steps
from mera.system.errors import UserError

OF_NOTES = {
    "options": ["--patient", "pid", "--code", "dx", "--text", "note", "--code-system", "icd10"],
    "columns": [
        *("--patient", "pid", "--visit", "doc", "--code", "dx", "--sex", "sexo", "--age", "edad", "--text", "note"),
        *("--encoding", "cp1252"),
    ],
}
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
    monkeypatch.setattr(go, "_guess", guess)
    return run


def guess(table, columns):
    """What the user says of the sex comes back."""
    said = columns[columns.index("--sex-values") :][:2] if "--sex-values" in columns else []
    return {name: [*words, *said] for name, words in (OF_NOTES if "--of-notes" in columns else GUESS).items()}


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
    every, _ = diagnosis_steps(table, tmp_path, [], "tiny")
    (baselines,) = [step for step in every if step.name == "baselines"]
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
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if "mera predict" in line)
    assert "--input NEW_PATIENTS.csv --patient pid --date-format %m/%d/%Y --output ranked.csv" in line
    assert f"if {tmp_path / 'mine' / 'runs' / 'gbdt'} is better there, name that" in printed
    assert json.loads((tmp_path / "mine" / "go.json").read_text())["options"][-2:] == ["--granularity", "category"]


def test_an_option_that_is_nearly_one_of_its_own(table, tmp_path):
    with pytest.raises(UserError, match="no option --recip; did you mean --recipe"):
        go.run_go(table, tmp_path / "mine", ["--recip", "tiny"])


def test_a_table_of_codes_of_ones_own_is_named_for_new_patients_too(steps, table, tmp_path, capsys, monkeypatch):
    guess = {"options": [*GUESS["columns"], "--code", "dx", "--codes", "gm.csv"], "columns": GUESS["columns"]}
    monkeypatch.setattr(go, "_guess", lambda table, columns: guess)
    go.run_go(table, tmp_path / "mine", ["--codes", "gm.csv"])
    assert "--input NEW_PATIENTS.csv --patient pid --codes gm.csv --output ranked.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview"], r"--preview writes nothing to train on; .*\n +mera prepare table --input .*--preview$"),
        (["--protocol", "kfold"], r"(?s)a task for each fold.*mera prepare table .*--protocol kfold --output"),
    ],
)
def test_options_that_leave_nothing_to_train_on_are_answered_by_their_command(steps, table, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        go.run_go(table, tmp_path / "mine", options)
    assert steps == []
    assert not (tmp_path / "mine").exists()


def test_a_look_at_the_columns_that_was_killed_is_said(table, tmp_path, monkeypatch):
    killed = subprocess.CompletedProcess([], -signal.SIGKILL, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(UserError, match=rf"the look at {table} was ended by SIGKILL; is there memory enough"):
        go._guess(table, [])


def test_columns_that_are_not_taken_are_said(tmp_path, capsys):
    lines = ["pid,case,day,principal_dx,ward_dx,reason"]
    codes = ["E11.9", "I10", "J18.9", "N17.9"]
    lines += [f"P{row},{row},2021-01-{1 + row % 28:02},{codes[row % 4]},,{codes[row % 3]}" for row in range(40)]
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n")
    go._guess(path, [])
    assert "not taken: columns with codes, by their values: reason (--code says" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [["--kind", "coding"], ["--kind=coding"]])
@pytest.mark.parametrize("recipe", [None, "minilm"])
def test_notes_are_coded_by_a_fusion(steps, table, tmp_path, capsys, kind, recipe):
    go.run_go(table, tmp_path / "mine", [*kind, "--sex-values", "F=2,M=1"], recipe)
    of_bi_encoder = ["the bi-encoder", "fuse it with the others"] if recipe else []
    baselines = "dictionary, words and letters, BM25, phrase trees"
    assert steps == ["prepare the table", baselines, "fuse them", *of_bi_encoder, "report"]
    line = next(line for line in capsys.readouterr().out.splitlines() if "mera predict" in line)
    best = tmp_path / "mine" / "runs" / ("fused-laa_mrl-minilm" if recipe else "fused")
    new = "--input NEW_NOTES.csv --patient doc --sex sexo --age edad --text note --encoding cp1252"
    assert line.strip() == f"mera predict {best} {new} --sex-values F=2,M=1 --output ranked.csv"


def test_a_bi_encoder_may_be_added_to_what_has_finished(steps, table, tmp_path):
    go.run_go(table, tmp_path / "mine", ["--kind", "coding"])
    go.run_go(table, tmp_path / "mine", ["--kind", "coding"], "minilm")
    assert steps[-1] == "report"


@pytest.mark.parametrize("kind", [[], ["--kind", "coding"]])
def test_a_recipe_that_there_is_not_is_noticed_first(steps, table, tmp_path, kind):
    with pytest.raises(UserError, match=r"--recipe is a YAML file or one of .*; got 'minlm'"):
        go.run_go(table, tmp_path / "mine", kind, "minlm")
    assert (steps, (tmp_path / "mine").exists()) == ([], False)


def test_where_nothing_has_finished_it_may_begin_anew(steps, table, tmp_path, monkeypatch):
    def fails(steps, console, **_):
        (tmp_path / "mine" / ".prepared.partial").mkdir()
        raise UserError("say so with --sex-values")

    with monkeypatch.context() as context:
        context.setattr(go, "run_steps", fails)
        with pytest.raises(UserError, match="say so with"):
            go.run_go(table, tmp_path / "mine")
    go.run_go(table, tmp_path / "mine", ["--sex-values", "F=2,M=1"])
    assert steps[-1] == "report"
    with pytest.raises(UserError, match="was begun with other options"):
        go.run_go(table, tmp_path / "mine")


def test_every_run_that_notes_need_is_made(table, tmp_path):
    every, best = coding_steps(table, tmp_path, ["--kind", "coding"], "minilm")
    words = [step.command for step in every]
    assert not {"--every-visit", "--first-visits"} & set(words[0]), "a note has no history"
    made = [str(tmp_path / "runs" / name) for name in BASELINES_ON_NOTES]
    assert set(made) < set(words[2])
    assert "--candidate_folds" in words[1], "trees are fitted on training notes"
    assert words[3][words[3].index("--recipe") + 1] == "minilm"
    assert words[4][-1] == str(best)


def test_a_table_of_notes_from_the_file_to_a_prediction(tmp_path):
    """What the command prints last codes new notes."""
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=60)
    with (tmp_path / "notes.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["note_id", "report", "icd"])
        for split in task.splits.values():
            lines.writerows(
                [row["example_id"], f"{row['text']} {row['text']}", ";".join(row["targets"])] for row in split
            )
    done = run_ready(["-m", "mera.cli", "go", "notes.csv", "--kind", "coding", "--output", "mine"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "--patient note_id --visit note_id --code icd --text report --code-separator" in done.stdout
    assert (tmp_path / "mine" / "report" / "index.html").is_file()
    line = next(line for line in done.stdout.splitlines() if line.startswith("  mera predict"))
    (tmp_path / "NEW_NOTES.csv").write_text("note_id,report\nnew,Patient has congestive heart failure.\n")
    asked = run_ready(["-m", "mera.cli", *shlex.split(line)[1:]], cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    ranked = pl.read_csv(tmp_path / "ranked.csv")
    assert set(ranked["patient_id"]) == {"new"}
    assert ranked["code"][0] == "I50.9"


def test_notes_in_histories_are_read_by_stage_two(tmp_path):
    for options, expected in (([], False), (["--past-notes"], True)):
        steps, _ = diagnosis_steps(tmp_path / "t.csv", tmp_path, options, "tiny")
        (rank,) = [step.command for step in steps if "rank" in step.command]
        assert ("--prompt.past_note_tokens" in rank) == expected


def test_a_kind_that_there_is_not_is_said(steps, table, tmp_path):
    with pytest.raises(UserError, match="--kind is one of diagnosis, coding; got 'codign'"):
        go.run_go(table, tmp_path / "mine", ["--kind", "codign"])
    assert steps == []


@pytest.mark.parametrize(("options", "taken"), [([], False), (["--past-notes"], True)])
def test_notes_are_asked_of_the_guess_where_something_reads_them(steps, table, tmp_path, monkeypatch, options, taken):
    asked = []
    monkeypatch.setattr(go, "_guess", lambda table, columns: asked.append(columns) or GUESS)
    go.run_go(table, tmp_path / "mine", options)
    assert ("--without-notes" not in asked[0]) == taken
