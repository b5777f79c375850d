"""How a command of `data` ends: one clear sentence and a non-zero exit on bad input, never a word about a patient.

`mera.entry_point` does the same for the stages: `data` and `mera` do not import each other.
"""

import dis
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from data.stop_signals import Stopped, say_stopped, stopping_in_order
from data.text_encoding import use_utf8

HINT = "MERA_TRACEBACK=1 shows where"


def run_command(main: Callable[[], None]) -> None:
    """Run `main`; an error becomes a sentence, or a stack without its message, and exit code 1.

    A ValueError raised by our code and any OSError (a missing file, a full disk) is `error: <sentence>`; the message
    of any other may quote a patient's data and is hidden. MERA_TRACEBACK=1 shows the whole traceback. SIGTERM, Ctrl-C
    and a closed terminal end it in order, with one sentence and exit code 128 + the signal's number.
    """
    use_utf8()
    try:
        with stopping_in_order():
            main()
    except (Stopped, KeyboardInterrupt) as stopped:
        raise SystemExit(say_stopped(stopped)) from None
    except Exception as error:
        if os.environ.get("MERA_TRACEBACK") == "1":
            raise
        if isinstance(error, OSError) or (isinstance(error, ValueError) and _raised_by_us(error)):
            print(f"error: {error} ({HINT})", file=sys.stderr)
        else:
            hidden = "its message is hidden: it may quote a patient's data; MERA_TRACEBACK=1 shows it"
            stack = "".join(traceback.format_tb(error.__traceback__))
            print(f"{stack}error: {type(error).__name__} ({hidden})", file=sys.stderr)
        raise SystemExit(1) from None


def _raised_by_us(error: Exception) -> bool:
    """A `raise` in this package or below it; a built-in that failed here, such as `int(text)`, is not ours."""
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    code = frame.tb_frame.f_code
    is_ours = Path(code.co_filename).resolve().is_relative_to(Path(__file__).resolve().parent)
    return is_ours and code.co_code[frame.tb_lasti] == dis.opmap["RAISE_VARARGS"]
