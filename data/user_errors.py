"""How a command of `data` ends: one clear sentence and a non-zero exit on bad input, a traceback on a bug."""

import os
import sys
from collections.abc import Callable


def run_command(main: Callable[[], None]) -> None:
    """Run `main`; a ValueError or OSError (a missing file, a full disk) becomes `error: <sentence>` and exit code 1.

    `mera.entry_point` does the same for the stages: `data` and `mera` do not import each other.
    """
    try:
        main()
    except (ValueError, OSError) as error:
        if os.environ.get("MERA_TRACEBACK") == "1":
            raise
        print(f"error: {error} (MERA_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(1) from None
