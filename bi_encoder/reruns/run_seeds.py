"""One recipe of the bi-encoder trained with several seeds, each as a run, and the report on all of them.

mera seeds --recipe minilm --task prepared/codiesp-en --output runs/laa --seeds 3
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
from collections.abc import Sequence
from pathlib import Path

from mera.commands.ablations import comparison_command, run_and_compare
from mera.commands.programs import Step, accelerate_command, shown
from mera.commands.stages import recipe_file
from mera.config import read_values
from mera.system.command import run_command
from mera.system.errors import CommandLine, UserError


def main() -> None:
    parser = CommandLine(
        prog="mera seeds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Finished runs are kept and interrupted ones resume. Further keys of the recipe go to every run: "
        "--variant laa_mrl --training.epochs 3. `mera fuse OUTPUT/seed-* --output RUN` makes the ensemble.",
        allow_abbrev=False,
    )
    parser.add_argument("--recipe", help="as of `mera retrieve`: a name, or a YAML file (default: tiny)")
    parser.add_argument("--config", help="the same")
    parser.add_argument("--task", type=Path, required=True, help="prepared task")
    parser.add_argument("--output", type=Path, required=True, help="directory that gets the runs seed-0, seed-1, ...")
    parser.add_argument("--seeds", type=int, default=3, help="trainings, with the seeds 0, 1, ... (default: 3)")
    parser.add_argument("--engine", type=Path, help="accelerate configuration, from launch/accelerate/")
    parser.add_argument("--report", type=Path, help="report to write (default: OUTPUT-report)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    options, overrides = parser.parse_known_args()
    if options.recipe is not None and options.config is not None:
        raise UserError("give either --recipe or --config, which name the same thing")
    recipe = recipe_file(options.recipe or options.config or "tiny", "configs/bi_encoder", "--recipe")
    steps = seed_steps(recipe, options.task, options.output, options.seeds, overrides, options.engine)
    report = options.report or options.output.with_name(f"{options.output.name}-report")
    reference = steps[0].name
    if options.dry_run:
        for command in [*(step.command for step in steps), comparison_command(steps, reference, report)]:
            print(shown(command))
    else:
        print(run_and_compare(steps, reference, options.task, options.output, report))


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


if __name__ == "__main__":
    run_command(main)
