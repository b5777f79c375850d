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
    made = {str(result) for step in steps for result in step.results}
    compared = [part for part in report.command if "/runs/" in part]
    assert len(compared) == len(set(compared)) == 15
    assert set(compared) <= made


def test_no_two_steps_leave_the_same_directory(tmp_path):
    results = [result for step in demo_steps(tmp_path / "demo") for result in step.results]
    assert len(results) == len(set(results))
