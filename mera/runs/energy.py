"""Energy that the GPUs of this machine count for themselves, read through NVIDIA's management library (NVML)."""

import sys

import pynvml


class EnergyMeter:
    """Started when a run starts; `joules` is what the visible GPUs have used since, whoever used them.

    NVML counts whole GPUs, from Volta on; GPUs of other nodes, the CPU and the memory are not in it.
    """

    def __init__(self) -> None:
        self._start = _millijoules()

    def joules(self) -> float | None:
        """None where there is no GPU, or its driver does not count."""
        now = _millijoules()
        if self._start is None or now is None or len(now) != len(self._start):
            return None
        return sum(after - before for before, after in zip(self._start, now, strict=True)) / 1000


def _millijoules() -> list[int] | None:
    """What each GPU that torch sees has used since its driver was loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    uuids = [f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())]
    try:
        pynvml.nvmlInit()
        try:
            handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
            return [pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in handles]
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no counter is no error of the run
        return None
