"""`mera predict` starts the program of the checkpoint's stage."""

import re

import pytest
from ready_python import run_ready

from mera.commands.predict import BI_ENCODER, FLAGS, PROGRAMS, STAGE_ONE, STAGE_TWO, predict_command
from mera.root import ROOT

TWO, NOTES = PROGRAMS["patients"], PROGRAMS["notes"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    for name, file in (("two", STAGE_TWO), ("laa", BI_ENCODER), ("one", STAGE_ONE)):
        (tmp_path / name / "checkpoint").mkdir(parents=True)
        (tmp_path / name / "checkpoint" / file).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["two", "--history", "I10"], TWO),
        (["two/checkpoint", "--task", "prepared/x", "--candidates", "laa"], TWO),
        (["--task", "laa", "--json", "two"], TWO),
        (["laa", "--text", "AKI"], NOTES),
        (["--text", "AKI", "--json", "laa/checkpoint"], NOTES),
        (["--text=AKI", "laa"], NOTES),
        (["--explain", "two", "--history", "I10"], TWO),
        (["--help"], TWO),
        (["laa", "--help"], NOTES),
        (["."], TWO),
        (["--code", "icd", "icd2", "--input", "t.csv", "laa"], NOTES),
        (["--keep", "a=1", "b=2", "two", "--input", "t.csv"], TWO),
        (["laa", "--keep", "a=1", "two"], NOTES),
    ],
)
@pytest.mark.usefixtures("runs")
def test_the_checkpoint_says_which(words, script):
    command = predict_command(words)
    assert command[1].endswith(script)
    assert command[2:] == words


def test_every_option_without_a_value_is_known():
    """Of the program of patients, as its help shows them; one may have a value or none."""
    shown = run_ready([str(ROOT / TWO), "--help"]).stdout
    without = set(re.findall(r"^  (--[a-z-]+)(?:  |$)", shown, re.M)) - {"--help"}
    assert without == set(FLAGS)


@pytest.mark.usefixtures("runs")
def test_a_folder_that_is_not_there_is_said():
    with pytest.raises(ValueError, match="nowhere is not there: give the folder of a run"):
        predict_command(["nowhere", "--input", "notes.csv", "--text", "note"])


@pytest.mark.parametrize("source", ["one", "one/checkpoint"])
@pytest.mark.usefixtures("runs")
def test_stage_one_ranks_nothing(source):
    with pytest.raises(ValueError, match=f"{source} is of stage one, .*: mera rank --model.base {source} --task"):
        predict_command([source, "--history", "I10"])
