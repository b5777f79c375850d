"""Ctrl-C while a program imports its libraries ends it with one sentence instead of a traceback.

An entry script imports this module first, which is all it takes: importing torch and transformers takes seconds, in
which `main` and its own ending (`run_entry_point`, `run_command`, `SafeGroup`) are not there yet. Nothing else may
import it. For the same reason it is here that bitsandbytes, which PEFT imports where it is installed, is kept from
warning on some CPUs that it has no faster kernel from a hub: none is wanted.
"""

import logging
import os
import sys
from types import TracebackType

from mera.system.errors import wants_traceback
from mera.system.launcher import end_launcher_quietly
from mera.system.stop_signals import say_stopped


def print_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In the place of `sys.excepthook`: one sentence of the first process for Ctrl-C, any other error as Python."""
    if isinstance(error, KeyboardInterrupt) and not wants_traceback():
        end_launcher_quietly()
        if os.environ.get("RANK", "0") == "0":
            say_stopped(error)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = print_uncaught
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
