"""The peak of a process counts what is there at once, whatever gaps its heap has."""

import ctypes
import os
import subprocess
import sys

import pytest

from mera.doctor.host_memory import CLEAR
from mera.root import ROOT

MEASURE = """
from mera.doctor.host_memory import HostPeak

small = [bytearray(50_000) for _ in range(4000)]  # on the heap
small = small[::50]  # gaps of 2.5 MB, of 200 MB together
peak = HostPeak()
filled = [bytearray(b"1" * 2_000_000) for _ in range(20)]
del filled
large = bytearray(b"1" * 20_000_000)  # what was freed above is not there any more
print(peak.bytes())
again = HostPeak()
more = bytearray(b"1" * 2_000_000)
print(again.bytes())
"""


@pytest.mark.skipif(
    not (os.access(CLEAR, os.W_OK) and hasattr(ctypes.CDLL(None), "mallinfo2")),
    reason="needs Linux, which tells a process its peak, and the GNU C library from 2.33",
)
def test_freed_memory_is_not_counted_beside_what_comes_after_it():
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = (int(line) / 1e6 for line in done.stdout.split())
    assert 38 <= first <= 48  # the twenty; 80 where gaps keep the pages of what was in them
    assert 3.5 <= second <= 6
