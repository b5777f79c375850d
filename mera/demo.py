"""`mera demo`: every stage of the pipeline on the synthetic cohort, each as the command a user would type."""

import shutil
import subprocess
import time
from pathlib import Path

from rich.console import Console

from mera.commands import ROOT, Step, accelerate_command, mera_command, shown

PATIENTS = 1500
RECIPES = {"memorize": "tiny", "rank": "demo", "bi_encoder": "demo"}
VARIANTS = ("retrieval", "mean_mrl", "laa_mrl")


def run_demo(output: Path, fresh: bool = False) -> Path:
    """Run every step that has not finished yet and return the report's page.

    Raises subprocess.CalledProcessError where a step fails; what finished before is kept.
    """
    console = Console()
    if fresh:
        shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    report = output / "report"
    shutil.rmtree(report, ignore_errors=True)  # quick to make, and it must show what is there now
    steps = demo_steps(output)
    started = time.perf_counter()
    for number, step in enumerate(steps, start=1):
        console.rule(f"[bold]{number}/{len(steps)} {step.name}")
        if step.result.exists():
            console.print(f"finished before: {step.result}")
            continue
        console.print(shown(step.command), soft_wrap=True, highlight=False)
        subprocess.run(step.command, check=True)
    console.print(f"finished in {(time.perf_counter() - started) / 60:.1f} minutes; the report:")
    return report / "index.html"


def demo_steps(output: Path) -> list[Step]:
    """The commands in order. The two tasks have the same patients and codes: next diagnoses, and codes of a note."""
    tasks = {kind: output / "prepared" / f"synthetic-{kind}" for kind in ("diagnosis", "coding")}
    runs = output / "runs"
    checkpoint = runs / "memorize" / "checkpoint"
    steps = [
        Step(
            name="prepare the synthetic cohort",
            command=mera_command(
                *("prepare", "synthetic", "--patients", PATIENTS, "--kind", "both", "--every-visit", "--first-visits"),
                *("--output", output / "prepared" / "synthetic"),
            ),
            result=tasks["coding"],
        ),
        Step(
            name="stage one: memorize the codes",
            command=_train("memorize", tasks["diagnosis"], runs / "memorize"),
            result=runs / "memorize",
        ),
    ]
    for kind, task in tasks.items():
        results = runs / kind
        if kind == "diagnosis":  # on notes, stage two needs more than minutes on a CPU
            rank = [*_train("rank", task, results / "stage-two"), "--model.base", str(checkpoint)]
            steps.append(Step(name="stage two: rank the next diagnoses", command=rank, result=results / "stage-two"))
        for variant in VARIANTS:
            command = [*_train("bi_encoder", task, results / variant), "--variant", variant]
            steps.append(Step(name=f"bi-encoder {variant} ({kind})", command=command, result=results / variant))
        baselines = mera_command("baselines", "--task", task, "--output", results)
        steps.append(Step(name=f"baselines ({kind})", command=baselines, result=results / "popularity"))
    compared = [results for kind in tasks for results in _run_names(runs / kind, kind)]
    steps.append(
        Step(
            name="report",
            command=mera_command("report", *compared, "--by-task", "--output", output / "report"),
            result=output / "report",
        )
    )
    return steps


def _run_names(folder: Path, kind: str) -> list[Path]:
    more = ["stage-two", "own-history", "retain", "transformer", "oracle"] if kind == "diagnosis" else []
    return [folder / name for name in [*VARIANTS, "popularity", "linear", *more]]


def _train(stage: str, task: Path, output: Path) -> list[str]:
    return accelerate_command(
        f"{stage}/train.py",
        *("--config", ROOT / "configs" / stage / f"{RECIPES[stage]}.yaml"),
        *("--task", task, "--output", output),
        engine=ROOT / "launch" / "accelerate" / "cpu.yaml",
    )
