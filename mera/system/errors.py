"""What an error may say on a screen or in a log: never a word about a patient.

A `UserError` is our own sentence to the user; it names rows by number. A library's error may quote the value it
stumbled over (`invalid literal for int(): 'Smith'`, `KeyError: 'J18.9'`), so its message is hidden until asked for.
"""

import argparse
import difflib
import os
import re
import traceback
from types import TracebackType
from typing import NoReturn

HINT = "MERA_TRACEBACK=1 shows where"
ABOUT_THE_MACHINE = ("torch", "deepspeed", "accelerate")
"""Libraries whose RuntimeErrors speak of memory, shapes and connections."""
_OPTION = re.compile(r"--[a-z][\w.-]*")
_OF_SYSTEM = re.compile(r"\(os error (\d+)\)|\bOs \{ code: (\d+)|\[Errno (\d+)\]")
"""How libraries, those written in Rust too, quote what the system says of a file: a full disk, no permission."""


class UserError(ValueError):
    """A user's mistake, or trouble with a user's file: one sentence that says what was wrong and what to do, without a
    cell of the user's data. A command prints it and exits with a code other than 0."""


class CommandLine(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are the sentence alone, without the usage, and end with exit code 2."""

    help_command: str | None = None
    """What lists the options with --help behind it, where that is not the program's name."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse on a wrong or missing option."""
        unknown = message.removeprefix("unrecognized arguments: ").split()[0].split("=")[0]
        if unknown != message.split()[0].split("=")[0] and unknown.startswith("--"):
            meant = difflib.get_close_matches(unknown, set(_OPTION.findall(self.format_help())), n=1, cutoff=0.7)
            message += f"; did you mean {meant[0]}?" if meant else ""
        self.exit(2, f"error: {message}\n{self.help_command or self.prog} --help lists the options\n")


class Once(argparse.Action):
    """An option that may be given once; argparse would take the last of several and say nothing of the others."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, name: str | None = None
    ) -> None:
        """Called by argparse with what stands behind the option."""
        if getattr(namespace, self.dest) != self.default:
            parser.error(f"{name} is given more than once; give it once")
        setattr(namespace, self.dest, values)


def is_sentence(error: BaseException) -> bool:
    """Whether the error's message was written for the user, or is the system's word on a file: safe to print."""
    return isinstance(error, UserError | OSError)


def sentence(error: BaseException) -> str:
    """What is printed of an error: its sentence where that is safe, else where it came from."""
    if not is_sentence(error):
        of_system = _OF_SYSTEM.search(str(error))
        if of_system is None:
            return without_values(error)
        said = os.strerror(int(next(filter(None, of_system.groups())))).lower()
        return f"error: {type(error).__name__}: {said} ({HINT})"
    said = str(error)
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str | bytes):
        said = f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
    return f"error: {said}"


def wants_traceback() -> bool:
    """Whether the user asked to see whole errors, values included."""
    return os.environ.get("MERA_TRACEBACK") == "1"


def without_values(error: BaseException) -> str:
    """The stack as file, line and source, and the error's type; its message only where it is about the machine."""
    name = type(error).__name__
    if isinstance(error, RuntimeError | MemoryError | ImportError) and _is_about_the_machine(error):
        name += f": {error}"
    else:
        name += " (its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it)"
    return f"{''.join(traceback.format_tb(error.__traceback__))}error: {name}"


def _is_about_the_machine(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return True
    frame = _innermost(error)
    path = "" if frame is None else frame.tb_frame.f_code.co_filename
    return type(error).__module__.split(".")[0] == "torch" or any(
        f"{os.sep}{library}{os.sep}" in path for library in ABOUT_THE_MACHINE
    )


def _innermost(error: BaseException) -> TracebackType | None:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame
