"""The memory of this process on the host, as Linux counts it."""

import ctypes
import gc
from pathlib import Path

from mera.language_models.quantization import return_freed_memory

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LARGEST_GAP, SMALLEST_GAP = 1 << 26, 1 << 16
"""Bytes; smaller gaps have no room for a tensor that matters."""


class HostPeak:
    """The most memory this process holds from now on, beside what it holds now; None where the system does not tell."""

    def __init__(self) -> None:
        self._before = None
        self._gaps = _close_gaps()
        try:
            CLEAR.write_text("5", encoding="ascii")  # the peak begins anew
            self._before = _status("VmRSS")
        except OSError:
            return

    def bytes(self) -> int | None:
        """To be asked once, at the end of what is measured."""
        peak = None if self._before is None else max(0, _status("VmHWM") - self._before)
        for gap in self._gaps:
            _c_library().free(gap)
        self._gaps = []
        return peak


class _HeapSizes(ctypes.Structure):
    """`struct mallinfo2` of the GNU C library: sizes in bytes, but for the numbers of chunks."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("heap", "free_chunks", "free_small", "own_mappings", "in_own_mappings", "unused", "free_in_small"),
            *("used", "free", "free_at_end"),
        )
    ]


def _close_gaps() -> list[int]:
    """Return unused heap memory to the system and block the gaps; returns addresses to `free` afterwards.

    Tables and tokenizers leave hundreds of MiB of gaps in the heap, whose pages are returned here. A tensor that is
    later put into a gap takes pages again, which stay when the tensor is freed: the peak would count tens of MiB that
    no tensor uses. So the gaps are allocated, which takes next to no pages while nothing is written there.
    """
    gc.collect()
    return_freed_memory()
    library = _c_library()
    if not hasattr(library, "mallinfo2"):  # not the GNU C library, or older than 2.33
        return []
    taken, size = [], LARGEST_GAP
    while size >= SMALLEST_GAP:
        before = library.mallinfo2()
        address = library.malloc(size)
        after = library.mallinfo2()
        if address is not None:
            taken.append(address)
        if address is None or (after.heap, after.own_mappings) != (before.heap, before.own_mappings):
            size //= 2  # no gap of this size is left
    return taken


def _c_library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.free.restype = None
    if hasattr(library, "mallinfo2"):
        library.mallinfo2.restype = _HeapSizes
    return library


def _status(name: str) -> int:
    line = next(
        line
        for line in STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        if line.startswith(f"{name}:")
    )
    return int(line.split()[1]) * 1024
