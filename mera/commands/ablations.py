"""Runs that differ from a reference in one thing each, one after the other, and the report on all of them.

Which runs those are is the stage's to say: `mera ablate` starts rank/ablations/run_ablations.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from mera.commands.programs import Step, mera_command, shown
from mera.runs.finished_runs import finished_before
from mera.system.children import run_child
from mera.system.errors import UserError
from mera.system.folder_lock import FolderLock
from mera.system.terminal import plain_console


def run_and_compare(steps: Sequence[Step], reference: str, task: Path, output: Path, report: Path) -> Path:
    """Run what has not finished yet, then the report on all of it; return the report's page.

    steps: one for each run below `output`, on the prepared `task`; `reference`: the name of the one that the others are
    compared with. An interrupted run resumes. A run that fails does not keep the others from running. Raises UserError
    at the end where some have failed, and before anything trains where `output` holds something else, or another
    process works there.
    """
    console, failed = plain_console(), []
    with FolderLock(output):
        fingerprint = _fingerprint(task)
        finished = [step for step in steps if all(finished_before(result, fingerprint) for result in step.results)]
        for number, step in enumerate(steps, start=1):
            console.rule(Text(f"{number}/{len(steps)} {step.name}", "bold"))
            if step in finished:
                console.print(f"finished before: {', '.join(map(str, step.results))}", soft_wrap=True, highlight=False)
                continue
            console.print(shown(step.command), soft_wrap=True, highlight=False)
            if run_child(step.command):
                failed.append(step.name)
        if reference not in failed:
            comparison = comparison_command([step for step in steps if step.name not in failed], reference, report)
            console.rule(Text("report", "bold"))
            console.print(shown(comparison), soft_wrap=True, highlight=False)
            code = run_child(comparison)
            if code:
                raise UserError(f"the report failed (exit code {code}): {shown(comparison)}")
    if failed:
        raise UserError(f"failed: {', '.join(failed)}; the same command tries again what is missing")
    return report / "index.html"


def comparison_command(steps: Sequence[Step], reference: str, report: Path) -> list[str]:
    """`mera report` on the results of `steps`."""
    results = [result for step in steps for result in step.results]
    return mera_command("report", *results, "--reference", reference, "--output", report)


def _fingerprint(task: Path) -> str | None:
    """Of a prepared task, as its task.json says it; None where there is no task, which the first run will say."""
    path = task / "task.json"
    return json.loads(path.read_text(encoding="utf-8")).get("fingerprint") if path.is_file() else None
