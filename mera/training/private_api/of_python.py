"""Private names of the standard library: what Python does before it takes the interpreter down."""

import atexit
import threading

from mera.training.private_api.private_name import PrivateName

END_THREADS = PrivateName(
    library="python",
    name="threading._shutdown",
    reason="waits for threads where a process ends without taking the interpreter down",
    seen_in="3.11",
    remedy="see what Py_FinalizeEx calls first now, in end_as_python_ends",
)
EXIT_HANDLERS = PrivateName(
    library="python",
    name="atexit._run_exitfuncs",
    reason="calls exit handlers where a process ends without taking the interpreter down",
    seen_in="3.11",
    remedy="see what Py_FinalizeEx calls now, in end_as_python_ends",
)


def end_as_python_ends() -> None:
    """Wait for threads and call exit handlers, as Python does before it takes the interpreter down."""
    threading._shutdown()  # type: ignore[attr-defined]  # typeshed leaves it out
    atexit._run_exitfuncs()
