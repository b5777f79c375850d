"""Stage two with one thing taken away at a time, each as a run, and the differences as a report.

mera ablate --task prepared/diabetes130 --output runs/ablations --memorize runs/memorize/checkpoint --training.epochs 3
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
from pathlib import Path

from mera.commands.ablations import comparison_command, run_and_compare
from mera.commands.programs import shown
from mera.root import shipped
from mera.system.command import run_command
from mera.system.errors import CommandLine
from rank.ablations.plan import FULL, AblationPlan, ablation_steps

RECIPE = "configs/rank/tiny.yaml"


def main() -> None:
    parser = CommandLine(
        prog="mera ablate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Finished runs are kept and interrupted ones resume. Further keys of the recipe go to every run: "
        "--training.epochs 3.",
        allow_abbrev=False,
    )
    parser.add_argument("--task", type=Path, required=True, help="prepared task")
    parser.add_argument("--output", type=Path, required=True, help="directory that gets one run for each ablation")
    parser.add_argument(
        "--config", type=Path, default=shipped(RECIPE), help=f"recipe of stage two (default: {RECIPE} of the toolkit)"
    )
    parser.add_argument("--memorize", type=Path, help="checkpoint of stage one (default: the recipe's model.base)")
    parser.add_argument("--only", action="append", default=[], help="an ablation to run; may be given several times")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each, with the seeds 0, 1, ... (default: 1)")
    parser.add_argument("--engine", type=Path, help="accelerate configuration, from launch/accelerate/")
    parser.add_argument("--report", type=Path, help="report to write (default: OUTPUT-report)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    options, overrides = parser.parse_known_args()
    plan = AblationPlan(
        task=options.task,
        output=options.output,
        recipe=options.config,
        memorize=options.memorize,
        overrides=tuple(overrides),
        only=tuple(options.only),
        seeds=options.seeds,
        engine=options.engine,
    )
    report = options.report or plan.output.with_name(f"{plan.output.name}-report")
    steps = ablation_steps(plan)
    if options.dry_run:
        for command in [*(step.command for step in steps), comparison_command(steps, FULL, report)]:
            print(shown(command))
    else:
        print(run_and_compare(steps, FULL, plan.task, plan.output, report))


if __name__ == "__main__":
    run_command(main)
