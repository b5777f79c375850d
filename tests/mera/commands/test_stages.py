"""`mera memorize`, `mera rank` and `mera retrieve`: which command they start, and from which folder."""

import os
import subprocess
import sys
import zipfile

import pytest

from mera.commands.programs import shown
from mera.commands.stages import recipe_and_engine, stage_command
from mera.root import ROOT
from mera.system.errors import UserError

ALONE = "--num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no"


@pytest.mark.parametrize(
    ("stage", "arguments", "expected"),
    [
        (
            "memorize",
            ["--recipe", "smollm2", "--task", "t", "--output", "o"],
            f"accelerate launch {ALONE} memorize/train.py --config configs/memorize/smollm2.yaml --task t --output o",
        ),
        (
            "rank",
            ["--engine", "zero2", "--num-processes", "8", "--task", "t"],
            "accelerate launch --config_file launch/accelerate/zero2.yaml --num_processes 8 rank/train.py --config "
            "configs/rank/tiny.yaml --task t",
        ),
        (
            "bi_encoder",
            ["--config", "mine.yaml", "--variant", "laa_mrl"],
            f"accelerate launch {ALONE} bi_encoder/train.py --config mine.yaml --variant laa_mrl",
        ),
    ],
)
def test_the_command_is_the_documented_one(stage, arguments, expected):
    assert shown(stage_command(stage, stage, arguments)) == expected


def test_a_recipe_may_be_a_file_of_ones_own(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("training: {epochs: 1}\n")
    command = stage_command("rank", "rank", ["--recipe", str(recipe)])
    assert command[command.index("--config") + 1] == str(recipe)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "tny"], "--recipe is a YAML file or one of biomistral, .*tiny.*; got 'tny'"),
        (["--engine", "zero9"], "--engine is a YAML file or one of cpu, .*; got 'zero9'"),
        (["--recipe", "tiny", "--config", "x.yaml"], "give either --recipe or --config"),
    ],
)
def test_names_that_do_not_exist(arguments, message):
    with pytest.raises(ValueError, match=message):
        stage_command("rank", "rank", arguments)


def test_an_installed_wheel_works_in_a_folder_with_a_data_py(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    made = subprocess.run(build, capture_output=True, text=True, check=False)
    if made.returncode and "hatchling" in made.stderr:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert (site / "mera/commands/serve/templates/page.html.j2").is_file()
    assert (site / "mera/report/report.schema.json").is_file()
    work.mkdir()
    (work / "data.py").write_text("raise SystemExit('the wrong data.py')\n")
    (work / "rank").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    script = "from mera.cli import app; app()"

    def mera(*arguments):
        command = [sys.executable, "-P", "-c", script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=work, env=environment)

    task = mera("prepare", "synthetic", "--patients", "30", "--kind", "diagnosis", "--output", "task")
    assert task.returncode == 0, task.stderr
    assert mera("baselines", "--task", "task", "--output", "runs", "--only", "[popularity]").returncode == 0
    recipe = mera("rank", "--recipe", "tiny", "--task", "none", "--output", "run")
    assert recipe.returncode == 1
    assert "the wrong data.py" not in recipe.stderr
    assert "none" in recipe.stderr


def test_a_recipe_and_an_engine_are_files_or_names(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("training: {epochs: 1}\n")
    named = recipe_and_engine("tiny", "rank", "zero2")
    assert named == (ROOT / "configs/rank/tiny.yaml", ROOT / "launch/accelerate/zero2.yaml")
    assert recipe_and_engine(str(mine), None, None) == (mine, None)
    assert recipe_and_engine(str(mine), "rank", str(mine)) == (mine, mine)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("tiny", None, None),
            "--recipe tiny is no file; a name needs --stage beside it, one of memorize, rank, bi_enc",
        ),
        (("tiny", "retrieve", None), "--stage is one of memorize, rank, bi_encoder; got 'retrieve'"),
        (("huge", "rank", None), r"--recipe is a YAML file or one of .*tiny.*; got 'huge'"),
        (("tiny", "rank", "zero9"), r"--engine is a YAML file or one of .*zero2.*; got 'zero9'"),
    ],
)
def test_what_is_neither_is_said(given, message):
    with pytest.raises(UserError, match=message):
        recipe_and_engine(*given)


@pytest.mark.slow
def test_a_wheel_in_an_empty_venv_runs_the_whole_demo_beside_a_data_py(tmp_path):
    """Needs a package index and about ten minutes."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    venv, work = tmp_path / "venv", tmp_path / "work"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    work.mkdir()
    (work / "data.py").write_text("raise SystemExit('the wrong data.py')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [venv / "bin" / "mera", "demo"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    page = work / done.stdout.splitlines()[-1]
    assert "ranks best" in page.read_text(encoding="utf-8")
    assert list((work / "demo" / "runs").rglob("predictions/manifest.json"))
