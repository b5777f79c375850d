"""How a command without a trainer ends: one clear sentence and a non-zero exit on bad input, no word about a patient.

`mera.training.entry_point` does the same for the processes of a training run, which may be many.
"""

import sys
from collections.abc import Callable

from mera.system.errors import sentence, wants_traceback
from mera.system.stop_signals import Stopped, say_stopped, stopping_in_order
from mera.system.terminal import use_utf8


def run_command(main: Callable[[], None]) -> None:
    """Run `main`; an error becomes a sentence, or a stack without its message, and exit code 1.

    A UserError and any OSError (a missing file, a full disk) is `error: <sentence>`; the message of any other may quote
    a patient's data and is hidden. MERA_TRACEBACK=1 shows the whole traceback. SIGTERM, Ctrl-C and a closed terminal
    end it in order, with one sentence and exit code 128 + the signal's number.
    """
    use_utf8()
    try:
        with stopping_in_order():
            main()
    except (Stopped, KeyboardInterrupt) as stopped:
        raise SystemExit(say_stopped(stopped)) from None
    except Exception as error:
        if wants_traceback():
            raise
        print(sentence(error), file=sys.stderr)
        raise SystemExit(1) from None
