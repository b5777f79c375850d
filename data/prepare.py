"""Turn hospital tables into a prepared task.

python -m data.prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit
"""

from data.prepare_options import parse_arguments
from data.sources import prepare
from data.user_errors import run_command


def main() -> None:
    prepare(parse_arguments())


if __name__ == "__main__":
    run_command(main)
