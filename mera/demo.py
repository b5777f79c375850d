"""`mera demo`: every stage of the pipeline on the synthetic cohort, each as the command a user would type."""

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
PATIENTS = 1500
RECIPES = {"memorize": "tiny", "rank": "demo", "bi_encoder": "demo"}
VARIANTS = ("retrieval", "mean_mrl", "laa_mrl")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command and the directory that it leaves when it has finished."""

    name: str
    command: list[str]
    result: Path


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
        console.print(shlex.join(_shown(step.command)), soft_wrap=True, highlight=False)
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
            command=_mera(
                *("prepare", "synthetic", "--patients", PATIENTS, "--kind", "both", "--every-visit", "--first-visits"),
                *("--output", output / "prepared" / "synthetic"),
            ),
            result=tasks["coding"],
        ),
        Step(
            name="stage one: memorize the codes",
            command=_accelerate("memorize", tasks["diagnosis"], runs / "memorize"),
            result=runs / "memorize",
        ),
    ]
    for kind, task in tasks.items():
        results = runs / kind
        if kind == "diagnosis":  # on notes, stage two needs more than minutes on a CPU
            rank = [*_accelerate("rank", task, results / "stage-two"), "--model.base", str(checkpoint)]
            steps.append(Step(name="stage two: rank the next diagnoses", command=rank, result=results / "stage-two"))
        for variant in VARIANTS:
            command = [*_accelerate("bi_encoder", task, results / variant), "--variant", variant]
            steps.append(Step(name=f"bi-encoder {variant} ({kind})", command=command, result=results / variant))
        baselines = _mera("baselines", "--task", task, "--output", results)
        steps.append(Step(name=f"baselines ({kind})", command=baselines, result=results / "popularity"))
    compared = [results for kind in tasks for results in _run_names(runs / kind, kind)]
    steps.append(
        Step(
            name="report",
            command=_mera("report", *compared, "--by-task", "--output", output / "report"),
            result=output / "report",
        )
    )
    return steps


def _run_names(folder: Path, kind: str) -> list[Path]:
    more = ["stage-two", "own-history", "oracle"] if kind == "diagnosis" else []
    return [folder / name for name in [*VARIANTS, "popularity", "linear", *more]]


def _mera(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mera.cli", *map(str, arguments)]


def _accelerate(stage: str, task: Path, output: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(ROOT / "launch" / "accelerate" / "cpu.yaml")),
        str(ROOT / stage / "train.py"),
        *("--config", str(ROOT / "configs" / stage / f"{RECIPES[stage]}.yaml")),
        *("--task", str(task), "--output", str(output)),
    ]


def _shown(command: list[str]) -> list[str]:
    """The command as one would type it: `mera` and `accelerate launch` instead of the interpreter's path."""
    names = {"mera.cli": ["mera"], "accelerate.commands.launch": ["accelerate", "launch"]}
    return [*names[command[2]], *(part.replace(f"{ROOT}/", "") for part in command[3:])]
