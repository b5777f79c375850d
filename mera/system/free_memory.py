"""How much memory this machine can still give a process."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Of a container its own limits stand here (Linux, cgroup version 2)."""


def free_host_bytes() -> int:
    """What the system can give without swapping, and, in a container, its limit allows."""
    free = psutil.virtual_memory().available
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))
