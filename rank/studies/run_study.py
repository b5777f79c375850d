"""Experiments of which knowledge should pay, each as a page with a figure and a sentence that may be quoted.

mera study learning-curve --task prepared/X --output studies/learning-curve --seeds 3
mera study unseen-codes --task prepared/X-hidden --output studies/unseen-codes
mera study hierarchy --task prepared/X --memorize runs/X/one/checkpoint --output studies/hierarchy
mera study eov --task prepared/X --run runs/X/two --output studies/eov
mera study ontology-distance --task prepared/X --run runs/X/two --memorize runs/X/one/checkpoint --output studies/d

Every model is trained by its ordinary command, which is printed. Finished runs are kept and interrupted ones resume.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import os
import sys
from pathlib import Path

from data.task import load_task
from mera.commands.programs import mera_command, run_steps, shown
from mera.root import shipped
from mera.system.command import run_command
from mera.system.errors import CommandLine
from mera.system.folder_lock import FolderLock
from mera.system.terminal import plain_console
from rank.studies.contents import STUDIES
from rank.studies.page import write_study
from rank.studies.plan import MODELS, StudyPlan, check_overrides
from rank.studies.settings import claim_output

RANK_RECIPE, MEMORIZE_RECIPE = "configs/rank/tiny.yaml", "configs/memorize/tiny.yaml"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def main() -> None:
    parser = _parser()
    options, overrides = parser.parse_known_args()
    plan = StudyPlan(
        task=options.task,
        output=options.output,
        recipe=options.config,
        memorize_recipe=options.memorize_config,
        memorize=options.memorize,
        overrides=tuple(overrides),
        seeds=options.seeds,
        sizes=tuple(options.sizes),
        validation_share=options.validation_share,
        models=tuple(options.models),
        run=options.run,
        engine=options.engine,
        least_effect=options.least_effect / 100,
        resamples=options.resamples,
    )
    check_overrides(plan)
    if options.threads:
        os.environ |= dict.fromkeys(THREADS, str(options.threads))
    study, task = STUDIES[options.study], load_task(plan.task)
    steps = study.steps(plan, task)
    if options.dry_run:
        for step in steps:
            print(shown(step.command))
        return
    with FolderLock(plan.output):
        claim_output(options.study, plan, task)
        run_steps(steps, plain_console())
        command = shown(mera_command("study", *sys.argv[1:]))
        print(write_study(study.report(plan, task), plan.output / "study", command))


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(
        prog="mera study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Further keys of the recipe go to every training of stage two: --wide none.",
        allow_abbrev=False,
    )
    parser.add_argument("study", choices=tuple(STUDIES), help="which")
    parser.add_argument("--task", type=Path, required=True, help="prepared task")
    parser.add_argument("--output", type=Path, required=True, help="gets the runs, and the page in OUTPUT/study")
    parser.add_argument(
        "--config",
        type=Path,
        default=shipped(RANK_RECIPE),
        help=f"recipe of stage two (default: {RANK_RECIPE} of the toolkit)",
    )
    parser.add_argument("--memorize", type=Path, help="checkpoint of stage one (default: the study trains one)")
    parser.add_argument(
        "--memorize-config",
        type=Path,
        default=shipped(MEMORIZE_RECIPE),
        help=f"recipe of stage one, where the study trains it (default: {MEMORIZE_RECIPE} of the toolkit)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model (default: %(default)s)")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[], help="learning-curve: training patients; all of them besides"
    )
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.2,
        help="learning-curve: validation patients for each of train, 40 at least; 0: all (default: %(default)s)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        help=f"learning-curve, unseen-codes: of {', '.join(model.name for model in MODELS)}",
    )
    parser.add_argument("--run", type=Path, help="eov, ontology-distance: finished run of rank/train.py")
    parser.add_argument("--engine", type=Path, help="accelerate configuration, from launch/accelerate/")
    parser.add_argument("--threads", type=int, default=1, help="threads of each command; 0: as many as it likes")
    parser.add_argument(
        "--least-effect",
        type=float,
        default=1.0,
        help="points that would matter: a claim is called not found where a gain of so many can be ruled out, and not "
        "to be seen here where neither can (default: %(default)s)",
    )
    parser.add_argument("--resamples", type=int, default=1000, help="behind the intervals (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    return parser


if __name__ == "__main__":
    run_command(main)
