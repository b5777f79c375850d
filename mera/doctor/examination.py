"""The examination: read the recipe, look around, build the model without its weights, and add up."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from mera.config import STAGE_KEYS, Recipe, read_values
from mera.doctor import checks
from mera.doctor.engine import Engine, checkpoint_bytes, memory_of_a_device, peak, read_engine, steps
from mera.doctor.step_estimate import StepEstimate
from mera.root import ROOT
from mera.system.errors import UserError
from mera.training.engine import computes_in_bf16
from mera.training.settings import TrainingConfig
from mera.training.steps import too_few_steps

FURTHER_CHECKPOINTS = 2
"""Besides training.keep_last: the best, and the one being written."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    stage: str
    engine: Engine
    versions: dict[str, str]
    accelerators: str
    missing: list[str]
    estimate: StepEstimate | None = None
    """for one process"""
    memory: dict[str, int] = field(default_factory=dict)
    """Bytes of one device by purpose; `host`: of the machine's memory."""
    peak_bytes: int | None = None
    run_steps: int | None = None
    too_few_steps: str | None = None
    """A sentence where the run is too short to learn from."""
    costs: list[str] = field(default_factory=list)
    """What the memory leaves out, in sentences."""
    checkpoint_bytes: int | None = None
    """Disk for everything the run keeps at once."""

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)


def examine(
    recipe: str | Path,
    overrides: Sequence[str],
    stage: str | None,
    accelerate: str | Path | None,
    processes: int | None,
) -> Examination:
    """`overrides`: `--dotted.key value ...` as the trainers take them.

    Raises UserError or FileNotFoundError where recipe, stage or accelerate settings cannot be read.
    """
    values = read_values(recipe, overrides)
    stage = stage or guess_stage(values, recipe)
    engine = read_engine(accelerate, processes, torch.cuda.is_available())
    training = values.get("training") or {}
    if engine.on_cpu:
        engine = replace(engine, bf16=computes_in_bf16(bool(training.get("cpu_bf16"))))
    missing = list(checks.before_building(stage, values, engine, Path(recipe).stem))
    surroundings = Examination(
        stage=stage, engine=engine, versions=checks.versions(), accelerators=checks.accelerators(), missing=missing
    )
    later = list(checks.before_running(values, engine))
    if missing:
        return replace(surroundings, missing=missing + later)
    estimate = build_without_weights(stage, recipe, overrides, engine)
    if isinstance(estimate, str):
        return replace(surroundings, missing=[*later, estimate])
    accumulates, eight_bit = training.get("gradient_accumulation", 1) > 1, "8bit" in training.get("optimizer", "")
    memory = memory_of_a_device(engine, estimate, accumulates, eight_bit)
    lora = bool(((values.get("model") or values.get("encoder") or {}).get("lora") or {}).get("rank"))
    to_resume, final = checkpoint_bytes(estimate, lora)
    checkpoints = training.get("keep_last", TrainingConfig().keep_last) + FURTHER_CHECKPOINTS
    needed = checkpoints * to_resume + final
    later += checks.memory(values, engine, peak(memory))
    merged = estimate.merged_bytes + estimate.gradient_bytes  # what trained is there twice, for a moment
    later += checks.merging(values, engine, merged)
    later += checks.disk(values.get("output"), needed)
    run_steps = steps(engine, estimate)
    return replace(
        surroundings,
        missing=later,
        estimate=estimate,
        memory=memory,
        peak_bytes=peak(memory),
        run_steps=run_steps,
        too_few_steps=too_few_steps(run_steps),
        costs=list(checks.costs(values, merged)),
        checkpoint_bytes=needed,
    )


def guess_stage(values: Recipe, recipe: str | Path) -> str:
    """The stage whose keys the recipe has, else the one its folder is named after. Raises UserError on neither."""
    having = [stage for stage, keys in STAGE_KEYS.items() if keys & set(values)]
    if len(having) == 1:
        return having[0]
    folder = Path(recipe).resolve().parent.name
    if folder in STAGE_KEYS:
        return folder
    raise UserError(f"{recipe} does not tell its stage; add --stage {', '.join(STAGE_KEYS)}")


def build_without_weights(
    stage: str, recipe: str | Path, overrides: Sequence[str], engine: Engine
) -> StepEstimate | str:
    """The stage's own estimate (`train.py --estimate`), or its error as a sentence."""
    with tempfile.TemporaryDirectory(prefix="mera-doctor-") as folder:
        file = Path(folder) / "estimate.json"
        command = [sys.executable, str(ROOT / stage / "train.py"), "--config", str(recipe), *overrides]
        if not any(word.split("=")[0] == "--output" for word in overrides):
            command += ["--output", str(Path(folder) / "run")]
        command += ["--estimate", str(file), "--estimate-as", engine.precision]
        if engine.in_pieces:
            command.append("--estimate-in-pieces")
        if not engine.on_cpu:
            command.append("--estimate-on-gpu")
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if file.is_file():
            return StepEstimate(**json.loads(file.read_text(encoding="utf-8")))
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    return (errors or done.stderr.splitlines() or ["the model could not be built"])[-1].split("error: ")[-1]
