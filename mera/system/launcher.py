"""`accelerate launch`: as `mera` starts it, and what it does on a signal where it starts a single process.

python -m mera.system.launcher --num_processes 1 rank/train.py --task prepared/mine ...
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

LAUNCHER = "MERA_LAUNCHER"
"""Environment variable with the process id of the launcher, for the processes that it starts."""


def main() -> None:
    """`accelerate launch`; what went wrong is said by the process that it starts, and by that alone. Ends with the exit
    code of that process, 128 + the signal's number where a signal ended it."""
    from accelerate.commands import launch
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    from mera.system.terminal import is_verbose  # here: programs that begin with quiet_ctrl_c load this file first

    if not is_verbose():
        # What it chose where nobody said anything.
        logging.getLogger(launch.__name__).setLevel(logging.ERROR)
    os.environ[LAUNCHER] = str(os.getpid())
    try:
        launch.main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode if error.returncode >= 0 else 128 - error.returncode)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.exit(code if code > 0 else 128 - code)


def end_launcher_quietly() -> None:
    """After Ctrl-C: end the launcher that is this process's parent, if it is one (Linux).

    It does not wait for its process to save. A quarter of a second after Ctrl-C it prints a traceback, and that is all
    that a user would see of what is going on.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID") or "ACCELERATE_MIXED_PRECISION" not in os.environ:
        return  # a launcher of several hands the signal on, and waits
    parent = os.getppid()
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{parent}/cmdline").read_bytes()
        if b"accelerate" in words or __name__.encode() in words:
            os.kill(parent, signal.SIGTERM)


if __name__ == "__main__":
    main()
