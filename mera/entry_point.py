"""How an entry script ends: one clear sentence and a non-zero exit on bad input, a traceback on a bug."""

import os
import sys
from collections.abc import Callable


def run_entry_point(main: Callable[[], None]) -> None:
    """Run `main`; a ValueError or OSError (a missing file, a full disk) becomes `error: <sentence>` and exit code 1.

    In a distributed run only rank 0 prints. Set MERA_TRACEBACK=1 to see where the error was raised.
    """
    try:
        main()
    except (ValueError, OSError) as error:
        if os.environ.get("MERA_TRACEBACK") == "1":
            raise
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {error} (MERA_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(1) from None
