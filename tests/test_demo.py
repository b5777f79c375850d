"""The demo's commands, without running them."""

from mera.demo import ROOT, demo_steps


def test_every_step_uses_recipes_and_scripts_that_exist(tmp_path):
    for step in demo_steps(tmp_path / "demo"):
        for part in step.command:
            if part.endswith((".yaml", "train.py")):
                assert part.startswith(str(ROOT))
                assert (ROOT / part).is_file(), part


def test_every_compared_run_is_made_by_an_earlier_step(tmp_path):
    *steps, report = demo_steps(tmp_path / "demo")
    made = {step.result for step in steps}
    compared = [part for part in report.command if "/runs/" in part]
    assert len(compared) == len(set(compared)) == 15
    folders_of_baselines = {step.result.parent for step in steps if step.name.startswith("baselines")}
    for run in compared:
        assert any(str(result) == run for result in made) or any(
            run.startswith(f"{folder}/") for folder in folders_of_baselines
        )


def test_no_two_steps_leave_the_same_directory(tmp_path):
    results = [step.result for step in demo_steps(tmp_path / "demo")]
    assert len(results) == len(set(results))
