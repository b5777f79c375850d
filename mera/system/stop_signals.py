"""A signal becomes an exception, so that what is half-written is removed on the way out."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
SECONDS_TO_TIDY_UP = 5
"""Further signals within so many seconds count as the same request: a group and its parent may both get one."""


class Stopped(BaseException):
    """A signal asks the process to end. No Exception, so that nobody takes it for a failure of a row or of a file."""

    is_printed = False
    """whether a child process has printed the sentence already"""

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {name_of(signal_number)}")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """As a shell reports a program that a signal ended."""
        return 128 + self.signal_number


def name_of(signal_number: int) -> str:
    """`SIGTERM`, or `Ctrl-C`."""
    return "Ctrl-C" if signal_number == signal.SIGINT else signal.Signals(signal_number).name


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Within it SIGTERM, Ctrl-C and a closed terminal raise Stopped where the program is, instead of ending it.

    A process that was started with Ctrl-C or a closed terminal ignored (`nohup`, a background job) keeps ignoring them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [float("-inf")]

    def stop(number: int, _: FrameType | None) -> None:
        before, asked[0] = asked[0], time.monotonic()
        if asked[0] - before > SECONDS_TO_TIDY_UP:
            raise Stopped(number)

    taken = [n for n in STOPPING if n == signal.SIGTERM or signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in taken}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def say_stopped(stopped: BaseException) -> int:
    """Print the one sentence of a Stopped or a KeyboardInterrupt; return the exit code."""
    if not isinstance(stopped, Stopped):
        stopped = Stopped(signal.SIGINT)
    if not stopped.is_printed:
        print(stopped, file=sys.stderr, flush=True)
    return stopped.exit_code
