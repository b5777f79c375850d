"""The demo's commands, without running them."""

import pytest

from mera.commands import programs
from mera.commands.demo import demo_steps, run_demo
from mera.root import ROOT


def test_every_step_uses_recipes_and_scripts_that_exist(tmp_path):
    for step in demo_steps(tmp_path / "demo"):
        for part in step.command:
            if part.endswith((".yaml", "train.py")):
                assert part.startswith(str(ROOT))
                assert (ROOT / part).is_file(), part


def test_every_compared_run_is_made_by_an_earlier_step(tmp_path):
    *steps, report = demo_steps(tmp_path / "demo")
    made = {str(result) for step in steps for result in step.results}
    compared = [part for part in report.command if "/runs/" in part]
    assert len(compared) == len(set(compared)) == 18
    assert set(compared) <= made


def test_no_two_steps_leave_the_same_directory(tmp_path):
    results = [result for step in demo_steps(tmp_path / "demo") for result in step.results]
    assert len(results) == len(set(results))


def test_an_interrupted_demo_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    output, started = tmp_path / "demo", []
    steps = demo_steps(output)
    codes = {steps[4].name: 3}  # the first bi-encoder fails

    def finish(result):
        (result / "predictions").mkdir(parents=True)
        (result / "predictions" / "manifest.json").write_text("{}", encoding="utf-8")

    def run(command):
        (step,) = (step for step in steps if step.command == command)
        started.append(step.name)
        for result in [] if step.name in codes else step.results:
            finish(result) if not result.exists() else None
        return codes.get(step.name, 0)

    monkeypatch.setattr(programs, "run_child", run)
    with pytest.raises(ValueError, match=r"this step failed \(exit code 3\), what finished before is kept: accelerate"):
        run_demo(output)
    assert started == [step.name for step in steps[:5]]
    assert not (output / ".lock").exists()
    baselines = next(step for step in steps if step.name == "baselines (diagnosis)")
    for result in (steps[6].results[0], baselines.results[0]):  # one step is done, and one of several baselines
        finish(result)
    (steps[5].results[0]).mkdir(parents=True)  # an empty folder is no result
    started.clear()
    codes.clear()
    assert run_demo(output) == output / "report" / "index.html"
    assert started == [step.name for step in [*steps[4:6], *steps[7:]]]
    (output / "notes").mkdir()
    run_demo(output, fresh=True)
    assert (output / "notes").is_dir(), "--fresh removes what the demo made"
