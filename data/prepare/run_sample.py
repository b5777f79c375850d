"""A prepared task with fewer patients to train on, for learning curves.

mera sample prepared/diabetes130 --patients 500 --validation-patients 100 --seed 0 --output prepared/diabetes130-500

Test and the candidates stay as they are, so that numbers can be compared with those of the whole task. Of one seed a
larger sample holds the smaller ones.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse

from data.inspection.summary import print_splits
from data.prepare.patient_sample import sample_patients
from data.task import load_task
from mera.system.command import run_command
from mera.system.errors import CommandLine


def main() -> None:
    parser = CommandLine(
        prog="mera sample",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("task", help="prepared task")
    parser.add_argument("--patients", type=int, required=True, metavar="N", help="patients of train")
    parser.add_argument("--validation-patients", type=int, metavar="N", help="patients of validation (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which patients (default: %(default)s)")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="the new task; must not exist yet")
    options = parser.parse_args()
    whole = load_task(options.task)
    sample = sample_patients(whole, options.output, options.patients, options.validation_patients, options.seed)
    print_splits(sample)


if __name__ == "__main__":
    run_command(main)
