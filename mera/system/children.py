"""Commands that `mera` runs as child processes. A signal to `mera` ends them, and so does its own end."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from mera.system.stop_signals import STOPPING, Stopped

HANDED_ON = (*STOPPING, signal.SIGUSR1)
"""Slurm's first warning is SIGUSR1."""
SECONDS_TO_END = 300
"""A trainer saves before it ends; a second signal does not wait for it."""
SECONDS_OF_ONE_WISH = 1
"""Further signals within so many seconds count as the same request: terminals and schedulers signal whole groups."""
PARENT_DEATH_SIGNAL, CHILD_SUBREAPER = 1, 36  # PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER of prctl(2)


def run_child(command: Sequence[str]) -> int:
    """Run `command` and return its exit code, 128 + the signal's number where a signal ended it.

    On SIGTERM, SIGUSR1, Ctrl-C or a closed terminal, the command and all processes that it has started get SIGTERM, and
    Stopped is raised when they have ended. Those that have not ended after SECONDS_TO_END, or at a second signal, are
    killed. If this process itself is killed, the command gets SIGTERM (on Linux). What lies in the working folder, a
    user's own `data.py` say, is not on the command's import path.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(CHILD_SUBREAPER, 1)  # what outlives the launcher of a trainer can be waited for here
    child = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        # A process group of its own, so that Ctrl-C reaches this process alone and SIGTERM the others: on Ctrl-C the
        # launcher of a trainer would print a traceback and leave its process behind.
        process_group=0,
        preexec_fn=None if libc is None else lambda: libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM),
    )
    ending = _Ending(child.pid)
    with ending.hearing_signals():
        code = child.wait()
        if ending.received is not None:
            ending.wait_for_the_rest()
    if libc is not None:
        libc.prctl(CHILD_SUBREAPER, 0)
    if ending.received is not None and code:
        stopped = Stopped(ending.received)
        stopped.is_printed = code > 0  # by the command itself, unless a signal killed it
        raise stopped
    return code if code >= 0 else 128 - code


class _Ending:
    """Hands the signals of this process on to the group of processes of a child."""

    def __init__(self, group: int):
        self.received: int | None = None
        self._group = group
        self._since = 0.0
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def hearing_signals(self) -> Iterator[None]:
        taken = [n for n in HANDED_ON if n == signal.SIGTERM or signal.getsignal(n) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, self._hand_on) for number in taken}
        previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._pause)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if self._timer is not None:
                self._timer.cancel()

    def wait_for_the_rest(self) -> None:
        """Until all that the child left behind has ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self._group, 0)

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received, self._since = number, time.monotonic()
            self._timer = threading.Timer(SECONDS_TO_END, self._send, [signal.SIGKILL])
            self._timer.daemon = True
            self._timer.start()
            self._send(signal.SIGTERM)
        elif time.monotonic() - self._since > SECONDS_OF_ONE_WISH:
            self._send(signal.SIGKILL)

    def _pause(self, *_: object) -> None:
        """Ctrl-Z stops the child with this process, and it goes on with it."""
        self._send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, number)
