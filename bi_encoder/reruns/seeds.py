"""Which trainings `mera seeds` starts."""

from collections.abc import Sequence
from pathlib import Path

from mera.commands.programs import Step, accelerate_command
from mera.config import read_values
from mera.system.errors import UserError


def seed_steps(
    recipe: Path, task: Path, output: Path, seeds: int, overrides: Sequence[str], engine: Path | None = None
) -> list[Step]:
    """The command of each training, into `output/seed-0` and so on. `overrides`: `--key value` of the recipe.

    Raises UserError where there is no seed to train, the overrides are no pairs, or name the seed or the output.
    """
    if seeds < 1:
        raise UserError(f"--seeds must be 1 or more, got {seeds}")
    values = read_values(recipe, overrides)
    if "--training.seed" in " ".join(overrides).replace("=", " ").split():
        raise UserError("--training.seed is what --seeds counts; leave it out")
    if "encoder" not in values:
        raise UserError(f"{recipe} is no recipe of the bi-encoder: it has no section encoder")
    steps = []
    for seed in range(seeds):
        result = output / f"seed-{seed}"
        arguments = ("--config", recipe, "--task", task, "--output", result, *overrides, "--training.seed", seed)
        steps.append(
            Step(
                name=result.name,
                command=accelerate_command("bi_encoder/train.py", *arguments, engine=engine),
                results=(result,),
            )
        )
    return steps
