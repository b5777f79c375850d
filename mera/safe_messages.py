"""What an error may say on a screen or in a log: never a word about a patient.

Our own errors name rows by number. A library's error may quote the value it stumbled over (`invalid literal for int():
'Smith'`, `KeyError: 'J18.9'`), so its message stays hidden until it is asked for.
"""

import dis
import os
import traceback
from pathlib import Path
from types import TracebackType

HINT = "MERA_TRACEBACK=1 shows where"
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mera", "data", "memorize", "rank", "bi_encoder")
ABOUT_THE_MACHINE = ("torch", "deepspeed", "accelerate")
"""Libraries whose RuntimeErrors speak of memory, shapes and connections."""


def is_sentence(error: Exception) -> bool:
    """Whether the error's message was written by us, or is the system's word on a file: safe to print."""
    if isinstance(error, OSError):
        return True
    return isinstance(error, ValueError) and _raised_by_us(error)


def told(error: Exception) -> str:
    """What is printed of an error: its sentence where that is safe, else where it came from."""
    return f"error: {error} ({HINT})" if is_sentence(error) else without_values(error)


def wants_traceback() -> bool:
    """Whether the user asked to see whole errors, values included."""
    return os.environ.get("MERA_TRACEBACK") == "1"


def without_values(error: Exception) -> str:
    """The stack as file, line and source, and the error's type; its message only where it is about the machine."""
    name = type(error).__name__
    if isinstance(error, RuntimeError | MemoryError | ImportError) and _is_about_the_machine(error):
        name += f": {error}"
    else:
        name += " (its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it)"
    return f"{''.join(traceback.format_tb(error.__traceback__))}error: {name}"


def _raised_by_us(error: Exception) -> bool:
    """A `raise` in one of our files; a built-in that failed there, such as `int(text)`, is not ours."""
    frame = _innermost(error)
    path = Path(frame.tb_frame.f_code.co_filename).resolve()
    is_ours = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES
    return is_ours and frame.tb_frame.f_code.co_code[frame.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _is_about_the_machine(error: Exception) -> bool:
    if not isinstance(error, RuntimeError):
        return True
    return type(error).__module__.split(".")[0] == "torch" or any(
        f"{os.sep}{library}{os.sep}" in _innermost(error).tb_frame.f_code.co_filename for library in ABOUT_THE_MACHINE
    )


def _innermost(error: Exception) -> TracebackType:
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame
