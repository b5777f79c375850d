"""`mera memorize`, `mera rank` and `mera retrieve`: a stage's trainer with a recipe by name, from any folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mera.commands.programs import accelerate_command, script_command
from mera.root import shipped
from mera.system.errors import CommandLine, UserError

STAGES = ("memorize", "rank", "bi_encoder")
ONE_PROCESS = ("--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
"""What accelerate is told where nobody says how to train: one process, on a GPU if there is one, without its warnings
of settings that were not given."""


def stage_command(stage: str, command: str, arguments: Sequence[str]) -> list[str]:
    """The command that trains `stage` (`memorize`, `rank` or `bi_encoder`) as `mera <command>` was asked to.

    Raises UserError where the recipe or the engine is neither a file nor one that the toolkit brings.
    """
    parser = CommandLine(prog=f"mera {command}", add_help=False, allow_abbrev=False)
    recipes = _names(shipped(f"configs/{stage}"))
    parser.add_argument("--recipe", default=None, help=f"one of {', '.join(recipes)}")
    parser.add_argument("--engine", default=None)
    parser.add_argument("--num-processes", default=None)
    own, others = parser.parse_known_args(arguments)
    if {"-h", "--help"} & set(others):
        print(
            f"usage: mera {command} [--recipe NAME] [--engine NAME] [--num-processes N] --task FOLDER --output RUN\n\n"
            f"--recipe         {', '.join(recipes)}, or a YAML file (default: tiny)\n"
            f"--engine         {', '.join(_names(shipped('launch/accelerate')))}, or a file of accelerate's (default: "
            "one process, on a GPU if there is one)\n"
            "--num-processes  instead of the engine's number\n\n"
            f"It starts `accelerate launch {stage}/train.py --config RECIPE`, whose help follows.\n"
        )
        return script_command(f"{stage}/train.py", "--help")
    if own.recipe is not None and "--config" in others:
        raise UserError("give either --recipe or --config, which name the same thing")
    if "--config" not in others:
        recipe = recipe_file(own.recipe or "tiny", f"configs/{stage}", "--recipe")
        others = ["--config", str(recipe), *others]
    engine = None if own.engine is None else recipe_file(own.engine, "launch/accelerate", "--engine")
    launch = [] if own.num_processes is None else ["--num_processes", own.num_processes]
    if engine is None and not launch:
        launch = list(ONE_PROCESS)
    return accelerate_command(f"{stage}/train.py", *others, engine=engine, launch=launch)


class Files(NamedTuple):
    recipe: Path
    engine: Path | None
    """None: one process, on a GPU if there is one."""


def recipe_and_engine(recipe: str, stage: str | None, engine: str | None) -> Files:
    """The files of a recipe and an engine by name, as `mera doctor` is given them. Raises UserError where there are
    none, a name stands without its stage, or there is no such stage."""
    if stage not in (None, *STAGES):
        raise UserError(f"--stage is one of {', '.join(STAGES)}; got {stage!r}")
    if stage is None and not Path(recipe).is_file():
        raise UserError(f"--recipe {recipe} is no file; a name needs --stage beside it, one of {', '.join(STAGES)}")
    return Files(
        Path(recipe) if stage is None else recipe_file(recipe, f"configs/{stage}", "--recipe"),
        None if engine is None else recipe_file(engine, "launch/accelerate", "--engine"),
    )


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


def recipe_file(name: str, folder: str, option: str) -> Path:
    """The file that `name` is, or the one of that name in the toolkit's `folder`. Raises UserError, which names the
    `option`, where there is neither."""
    for path in (Path(name), shipped(f"{folder}/{name}.yaml")):
        if path.is_file():
            return path
    raise UserError(f"{option} is a YAML file or one of {', '.join(_names(shipped(folder)))}; got {name!r}")
