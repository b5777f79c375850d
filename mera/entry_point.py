"""How an entry script ends: one clear sentence and a non-zero exit on bad input, a traceback on a bug."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

from mera.interruption import InterruptedRun

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
SECONDS_FOR_RANK_0 = 3


def run_entry_point(main: Callable[[], None]) -> None:
    """Run `main`; a ValueError or OSError (a missing file, a full disk) becomes `error: <sentence>` and exit code 1.

    A run that a signal ended exits with 128 + the signal's number, as a shell expects. In a distributed run the first
    process speaks for all that have the same to say. Set MERA_TRACEBACK=1 to see where an error was raised.
    """
    _end_with_the_launcher()
    try:
        main()
    except InterruptedRun as stopped:
        _say(str(stopped))
        raise SystemExit(128 + stopped.signal_number) from None
    except (ValueError, OSError) as error:
        if os.environ.get("MERA_TRACEBACK") == "1":
            raise
        _say(f"error: {error} (MERA_TRACEBACK=1 shows where)")
        raise SystemExit(1) from None


def _say(sentence: str) -> None:
    """Print, on another process than the first only if that one does not end within a few seconds.

    An error of one process alone must be heard; of an error of all, the first process's exit makes the launcher end
    the others before they repeat it.
    """
    if os.environ.get("RANK", "0") != "0":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_FOR_RANK_0)
    print(sentence, file=sys.stderr, flush=True)


def _end_with_the_launcher() -> None:
    """Get SIGTERM when `accelerate launch` dies, which otherwise leaves its processes behind (Linux only)."""
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ
    if launched and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
