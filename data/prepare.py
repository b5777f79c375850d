"""Turn hospital tables into a prepared task.

python -m data.prepare diabetes130 --input diabetic_data.csv --output prepared/diabetes130 --every-visit
"""

import os
import sys

from data.prepare_options import parse_arguments
from data.sources import prepare


def main() -> None:
    prepare(parse_arguments())


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        if os.environ.get("MERA_TRACEBACK") == "1":
            raise
        print(f"error: {error} (MERA_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(1) from None
