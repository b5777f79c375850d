"""`accelerate launch`, where it starts a single process: what it does on a signal, and how a process answers that."""

import contextlib
import os
import signal
from pathlib import Path


def end_launcher_quietly() -> None:
    """After Ctrl-C: end the launcher that is this process's parent, if it is one (Linux).

    It does not wait for its process to save. A quarter of a second after Ctrl-C it prints a traceback, and that is all
    that a user would see of what is going on.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID") or "ACCELERATE_MIXED_PRECISION" not in os.environ:
        return  # a launcher of several hands the signal on, and waits
    parent = os.getppid()
    with contextlib.suppress(OSError):
        if b"accelerate" in Path(f"/proc/{parent}/cmdline").read_bytes():
            os.kill(parent, signal.SIGTERM)
