"""`mera demo`: every stage of the pipeline on the synthetic cohort, each as the command a user would type."""

import shutil
import time
from pathlib import Path

from mera.commands.programs import Step, accelerate_command, mera_command, run_steps
from mera.root import shipped
from mera.system.folder_lock import FolderLock
from mera.system.terminal import plain_console

PATIENTS = 1000
RECIPES = {"memorize": "tiny", "rank": "demo", "bi_encoder": "demo"}
VARIANTS = ("retrieval", "mean_mrl", "laa_mrl")
BASELINES = {
    "diagnosis": (
        *("popularity", "linear", "own-history", "ease", "item-knn", "gbdt"),
        *("retain", "transformer", "oracle"),
    ),
    "coding": ("popularity", "linear"),
}
SHORT_TRAINING = tuple(
    word for name in ("retain", "transformer") for word in (f"--{name}.epochs", "20", f"--{name}.min_steps", "0")
)
"""A fifth of what the neural baselines train by default at most: the rest is minutes in which they hardly change."""
PATIENCE = ("--training.patience", "4")
"""Looks without a better epoch: on this cohort the first is often the best, and the rest is minutes."""
MADE = ("prepared", "runs", "report")
"""Folders of the demo, which `--fresh` removes."""


def run_demo(output: Path, fresh: bool = False) -> Path:
    """Run every step that has not finished yet and return the report's page.

    Raises UserError where a step fails (what finished before is kept), or another process works in `output`.
    """
    console, started = plain_console(), time.perf_counter()
    with FolderLock(output):
        if fresh:
            for name in MADE:
                shutil.rmtree(output / name, ignore_errors=True)
        run_steps(demo_steps(output), console)
    console.print(f"finished in {(time.perf_counter() - started) / 60:.1f} minutes; the report:")
    return output / "report" / "index.html"


def demo_steps(output: Path) -> list[Step]:
    """The commands in order. The two tasks have the same patients and codes: next diagnoses, and codes of a note."""
    tasks = {kind: output / "prepared" / f"synthetic-{kind}" for kind in ("diagnosis", "coding")}
    runs = output / "runs"
    checkpoint = runs / "memorize" / "checkpoint"
    steps = [
        Step(
            name=f"prepare the synthetic cohort ({kind})",
            command=mera_command(
                *("prepare", "synthetic", "--patients", PATIENTS, "--kind", kind, "--every-visit", "--first-visits"),
                *("--output", task),
            ),
            results=(task,),
        )
        for kind, task in tasks.items()
    ]
    steps.append(
        Step(
            name="stage one: memorize the codes",
            command=_train("memorize", tasks["diagnosis"], runs / "memorize"),
            results=(runs / "memorize",),
        )
    )
    for kind, task in tasks.items():
        results = runs / kind
        if kind == "diagnosis":  # on notes, stage two needs more than minutes on a CPU
            rank = [*_train("rank", task, results / "stage-two"), "--model.base", str(checkpoint), *PATIENCE]
            steps.append(
                Step(name="stage two: rank the next diagnoses", command=rank, results=(results / "stage-two",))
            )
        for variant in VARIANTS:
            command = [*_train("bi_encoder", task, results / variant), "--variant", variant]
            steps.append(Step(name=f"bi-encoder {variant} ({kind})", command=command, results=(results / variant,)))
        short = SHORT_TRAINING if kind == "diagnosis" else ()
        baselines = mera_command("baselines", "--task", task, "--output", results, *short)
        made = tuple(results / name for name in BASELINES[kind])
        steps.append(Step(name=f"baselines ({kind})", command=baselines, results=made))
    compared = [result for step in steps for result in step.results if result.parent.name in tasks]
    steps.append(
        Step(
            name="report",
            command=mera_command("report", *compared, "--by-task", "--output", output / "report"),
            results=(),
        )
    )
    return steps


def _train(stage: str, task: Path, output: Path) -> list[str]:
    return accelerate_command(
        f"{stage}/train.py",
        *("--config", shipped(f"configs/{stage}/{RECIPES[stage]}.yaml")),
        *("--task", task, "--output", output),
        engine=shipped("launch/accelerate/cpu.yaml"),
    )
