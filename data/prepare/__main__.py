"""Turn hospital tables into a prepared task.

python -m data.prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

from data.prepare.options import parse_arguments
from data.prepare.run import prepare
from data.prepare.table_preview import print_preview
from mera.system.command import run_command


def main() -> None:
    arguments = parse_arguments()
    if getattr(arguments, "preview", False):
        print_preview(arguments)
    else:
        prepare(arguments)


if __name__ == "__main__":
    run_command(main)
