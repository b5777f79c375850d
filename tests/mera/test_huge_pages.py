"""Large tensors on the CPU lie in huge pages, unless the user or the system says no."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mera.root import ROOT

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
ALLOCATE = """
import mera.training.entry_point
import torch

tensor = torch.ones(2**24)
with open("/proc/self/smaps_rollup", encoding="ascii") as file:
    print(next(line.split()[1] for line in file if line.startswith("AnonHugePages:")))
"""


@pytest.mark.skipif(
    not SETTING.is_file() or "[madvise]" not in SETTING.read_text(encoding="ascii"),
    reason="needs Linux that gives huge pages to those who ask",
)
def test_a_large_tensor_lies_in_huge_pages_unless_the_user_says_no():
    def huge_mib(environment: dict[str, str]) -> float:
        command = [sys.executable, "-c", ALLOCATE]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(done.stdout) / 1024

    unset = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    assert huge_mib(unset) >= 60  # of the tensor's 64
    assert huge_mib(unset | {"THP_MEM_ALLOC_ENABLE": "0"}) < 10
