"""How an entry script ends: one clear sentence and a non-zero exit on bad input, never a word about a patient."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NoReturn

import torch.distributed

from mera.system.errors import is_sentence, sentence, wants_traceback
from mera.system.launcher import LAUNCHER, end_launcher_quietly
from mera.system.stop_signals import Stopped, say_stopped, stopping_in_order
from mera.system.terminal import quiet_libraries, use_utf8
from mera.training.engine import tell_deepspeed_of_the_cpu
from mera.training.interruption import InterruptedRun
from mera.training.private_api import disable_telemetry, end_as_python_ends

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
SECONDS_FOR_RANK_0 = 3


def run_entry_point(main: Callable[[], None]) -> None:
    """Run `main`; an error becomes a sentence, or a stack without its message, and exit code 1.

    A ValueError raised by our code and any OSError (a missing file, a full disk) is `error: <sentence>`. What a signal
    ended exits with 128 + the signal's number, as a shell expects. In a distributed run the first process speaks for
    all that have the same to say. Set MERA_TRACEBACK=1 to see the whole traceback of any error, values included.
    """
    use_utf8()
    _end_with_the_launcher()
    disable_telemetry()
    tell_deepspeed_of_the_cpu()
    quiet_libraries()
    # In a collective Python runs no signal handler, so the processes of a group leave signals to the system.
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    code = 0
    try:
        with stopping_in_order() if alone else nullcontext():
            main()
    except InterruptedRun as stopped:
        _say(str(stopped))
        code = 128 + stopped.signal_number
    except (Stopped, KeyboardInterrupt) as stopped:
        code = say_stopped(stopped)
        if code == 128 + signal.SIGINT:
            end_launcher_quietly()
    except Exception as error:
        if wants_traceback():
            raise
        if is_sentence(error):
            _say(sentence(error))
        else:
            print(sentence(error), file=sys.stderr)
        code = 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        _exit_without_teardown(code)
    if code:
        raise SystemExit(code)


def _exit_without_teardown(code: int) -> NoReturn:
    """End a process of a group as `multiprocessing` ends its own: threads are awaited and exit handlers called, but the
    interpreter is not finalized.

    A thread of gloo may still hold tensors of the last collective and needs the interpreter to free them. During
    finalization that thread dies, and the process with it by SIGABRT, although its work is done
    (pytorch/pytorch#190489). `destroy_process_group` does not prevent it: its threads live as long as a DDP model or a
    functional collective refers to the group.
    """
    end_as_python_ends()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
    if launched:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a launcher that ignores it (launch/*.sh) hands that down
    if launched and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() == 1 != int(os.environ.get(LAUNCHER, 1)):  # it died while this process imported its libraries
            os.kill(os.getpid(), signal.SIGTERM)
