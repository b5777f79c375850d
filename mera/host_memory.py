"""The memory of this process on the host, as Linux counts it."""

import ctypes
import gc
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class HostPeak:
    """The most memory this process holds from now on, beside what it holds now; None where the system does not tell."""

    def __init__(self) -> None:
        self._before = None
        _give_back_unused()
        try:
            CLEAR.write_text("5")  # the peak begins anew
            self._before = _status("VmRSS")
        except OSError:
            return

    def bytes(self) -> int | None:
        return None if self._before is None else max(0, _status("VmHWM") - self._before)


def _give_back_unused() -> None:
    """What nobody uses any more would make room for what is to be measured: hundreds of MiB after tables are read."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
