"""`mera ablate`: which runs it makes, that each changes one thing, and what it does on failure. Nothing is trained."""

import json
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from ready_python import run_ready

from mera.commands import ablations
from mera.commands.ablations import run_and_compare
from mera.config import load_config
from mera.root import ROOT
from rank.ablations.plan import FULL, AblationPlan, ablation_steps
from rank.config import RankConfig, RescoreConfig

ARCHITECTURE = {"model_type": "mistral", "hidden_size": 16, "sliding_window": None}


@pytest.fixture
def plan(tmp_path):
    checkpoint = tmp_path / "memorize" / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "code_tokens.json").write_text("{}")
    model = {
        "base": None,
        "gguf_file": None,
        "architecture": ARCHITECTURE,
        "tokenizer_size": 500,
        "max_length": 256,
        "dtype": "float32",
    }
    (tmp_path / "memorize" / "manifest.json").write_text(json.dumps({"config": {"model": model}}))
    return AblationPlan(
        task=Path("prepared/x"), output=tmp_path / "out", recipe=ROOT / "configs/rank/tiny.yaml", memorize=checkpoint
    )


def with_changes(plan, **changes):
    return AblationPlan(**{name: getattr(plan, name) for name in AblationPlan.__dataclass_fields__} | changes)


def parsed(step):
    """The configuration that the step's command makes, and the keys that it was given beside the recipe."""
    words = step.command
    start = next(place for place, word in enumerate(words) if word.endswith(".py")) + 1
    given = {key.removeprefix("--"): value for key, value in zip(words[start::2], words[start + 1 :: 2], strict=True)}
    recipe = given.pop("config", None)
    kind = RankConfig if words[start - 1].endswith("train.py") else RescoreConfig
    values = {key: yaml.safe_load(value) for key, value in given.items()}
    return load_config(kind, recipe, values), given


def test_each_run_changes_one_thing(plan):
    steps = {step.name: parsed(step)[0] for step in ablation_steps(plan)}
    full = steps.pop("full")
    assert (full.orders, full.wide, full.loss.levels) == (1, "full", ("all", "chapter", "block", "category"))
    assert full.model.base == str(plan.memorize)
    start = steps["no-stage-one"].model
    assert (start.base, start.architecture, start.tokenizer_size, start.max_length) == (None, ARCHITECTURE, 500, 256)
    changed = {
        "no-hierarchy": ("loss.levels", ("all",)),
        "chapter-only": ("loss.levels", ("chapter",)),
        "finest-only": ("loss.levels", ("category",)),
        "no-eov": ("loss.threshold_weight", 0),
        "no-partial-outputs": ("orders", 0),
        "orders-2": ("orders", 2),
        "orders-4": ("orders", 4),
        "no-wide": ("wide", "none"),
        "recurrence-only": ("wide", "recurrence"),
        "plain-eov": ("eov_offset", "none"),
        "atlop-eov": ("loss.threshold_form", "atlop"),
        "decoding": ("decoding", "autoregressive"),
    }
    assert set(steps) == {"no-stage-one", *changed}
    for name, (key, value) in changed.items():
        setting = steps[name]
        for part in key.split("."):
            setting = getattr(setting, part)
        assert setting == value, name
        if isinstance(steps[name], RankConfig):
            differing = [
                field
                for field in ("model", "prompt", "loss", "training", "orders", "wide", "eov_offset", "decoding")
                if getattr(steps[name], field) != getattr(full, field)
            ]
            assert differing == [key.split(".")[0]], name
        else:
            assert steps[name].run == str(plan.output / "full")


def test_the_recipes_own_number_of_orders_is_the_full_model_and_overrides_count(plan):
    names = {step.name for step in ablation_steps(with_changes(plan, overrides=("--orders", "4")))}
    assert {"orders-1", "orders-2"} < names
    assert "orders-4" not in names


def test_levels_take_their_own_temperatures_along(plan):
    weights = ("--loss.level_weights", "[1, 2, 3, 4]", "--loss.temperature", "[0.1, 0.2, 0.3, 0.4]")
    configs = {step.name: parsed(step)[0] for step in ablation_steps(with_changes(plan, overrides=weights))}
    steps = {name: config.loss for name, config in configs.items() if isinstance(config, RankConfig)}
    expected = {"no-hierarchy": (0.1,), "chapter-only": (0.2,), "finest-only": (0.4,)}
    assert {name: steps[name].temperature for name in expected} == expected
    assert {steps[name].level_weights for name in expected} == {None}
    assert steps["full"].level_weights == (1, 2, 3, 4)


def test_seeds_make_runs_of_their_own(plan):
    steps = ablation_steps(with_changes(plan, only=("no-eov", "decoding"), seeds=2))
    assert [step.name for step in steps] == [
        *("full", "full-seed-1", "no-eov", "no-eov-seed-1", "decoding", "decoding-seed-1")
    ]
    assert [parsed(step)[0].training.seed for step in steps[:4]] == [0, 1, 0, 1]
    assert parsed(steps[5])[0].run == str(plan.output / "full-seed-1")


def test_a_dry_run_prints_commands_that_can_be_typed(plan, tmp_path, monkeypatch, capsys):
    script = ROOT / "rank/ablations/run_ablations.py"
    words = ["--task", plan.task, "--output", plan.output, "--memorize", plan.memorize, "--only", "no-stage-one"]
    monkeypatch.setattr("sys.argv", [str(script), *map(str, words), "--report", str(tmp_path / "report"), "--dry-run"])
    runpy.run_path(str(script), run_name="__main__")
    full, start, report = capsys.readouterr().out.splitlines()
    assert full.startswith("accelerate launch rank/train.py --config configs/rank/tiny.yaml --task prepared/x")
    words = shlex.split(start)
    assert json.loads(words[words.index("--model.architecture") + 1]) == ARCHITECTURE
    assert shlex.split(report)[:4] == ["mera", "report", str(plan.output / "full"), str(plan.output / "no-stage-one")]
    assert not plan.output.exists()


def test_finished_runs_are_kept_and_a_failure_does_not_stop_the_others(plan, tmp_path, monkeypatch):
    started = []

    def finish(output, fingerprint="of the task"):
        (output / "predictions").mkdir(parents=True)
        manifest = {"task": {"fingerprint": fingerprint}, "config": {}}
        (output / "predictions" / "manifest.json").write_text(json.dumps(manifest))

    def run(command):
        output = Path(command[command.index("--output") + 1])
        started.append(output.name)
        if output.name not in ("no-eov", "report"):
            finish(output)
        return int(output.name == "no-eov")

    def compare(plan):
        return run_and_compare(ablation_steps(plan), FULL, plan.task, plan.output, tmp_path / "report")

    monkeypatch.setattr(ablations, "run_child", run)
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "task.json").write_text('{"fingerprint": "of the task"}')
    plan = with_changes(plan, task=tmp_path / "task")
    asked = with_changes(plan, only=("no-eov", "recurrence-only"))
    with pytest.raises(ValueError, match=r"failed: no-eov; the same command tries again what is missing"):
        compare(asked)
    assert started == ["full", "no-eov", "recurrence-only", "report"]
    finish(plan.output / "no-eov")
    started.clear()
    assert compare(asked) == tmp_path / "report" / "index.html"
    assert started == ["report"]
    for name, message in (("no-hierarchy", "is a run of another task"), ("chapter-only", "holds no finished run")):
        (plan.output / name).mkdir() if name == "chapter-only" else finish(plan.output / name, "another")
        started.clear()
        with pytest.raises(ValueError, match=message):
            compare(with_changes(plan, only=("recurrence-only", name)))
        assert started == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memorize": Path("nowhere")}, "no checkpoint of stage one at nowhere: train one with memorize/train.py"),
        ({"only": ("no-levels",)}, "no ablation is called 'no-levels'; there are no-stage-one, "),
        ({"seeds": 0}, "--seeds must be 1 or more"),
        ({"overrides": ("--training.epochs",)}, "further arguments are pairs, --key value; got --training.epochs"),
        ({"recipe": Path("none.yaml")}, "config file not found: none.yaml"),
        ({"recipe": ROOT / "configs/memorize/tiny.yaml"}, "tiny.yaml must say loss.levels and orders"),
    ],
)
def test_bad_input_is_one_sentence(plan, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ablation_steps(with_changes(plan, **changes))


def test_a_checkpoint_without_a_manifest_is_said(plan):
    (plan.memorize.parent / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"nobody knows what .* was before stage one; leave no-stage-one out"):
        ablation_steps(plan)
    assert len(ablation_steps(with_changes(plan, only=("no-eov",)))) == 2


def test_help_names_the_command_and_no_folder_of_this_machine():
    done = run_ready(["-m", "mera.cli", "ablate", "--help"], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: mera ablate ")
    assert "(default: configs/rank/tiny.yaml of the toolkit)" in " ".join(done.stdout.split())
    assert str(ROOT) not in done.stdout


def test_the_command_wants_task_and_output():
    done = run_ready(["-m", "mera.cli", "ablate"], cwd=ROOT)
    assert done.returncode == 2
    assert "error: the following arguments are required: --task, --output" in done.stderr


def test_a_run_is_scored_again_as_it_was_but_for_what_is_asked():
    """An ablation that trains nothing differs from the full model in one thing alone."""
    of_run = {"wide": "full", "decoding": "rank", "eov_offset": "fitted", "rare_recurrence": "none"}
    plain_eov = RescoreConfig(run="r", task="t", output="o", eov_offset="none")
    assert plain_eov.settings(of_run) == of_run | {"eov_offset": "none"}
    assert RescoreConfig(run="r", task="t", output="o").settings({"wide": "full"}) == {
        "wide": "full",
        "decoding": "rank",
        "eov_offset": "fitted",
        "rare_recurrence": "fitted",
    }
