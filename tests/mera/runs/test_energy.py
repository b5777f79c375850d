"""The energy record, with made-up GPUs in the place of the driver: none is at hand in CI."""

import sys
from types import SimpleNamespace

import pytest

from mera.runs import manifest
from mera.runs.manifest import EnergyMeter, RunClock, build_manifest


class MadeUpGpus:
    """torch.cuda and NVML of two GPUs whose counters the test sets."""

    def __init__(self):
        self.millijoules = {"GPU-a": 1_000, "GPU-b": 50_000}
        self.sessions = 0
        properties = [SimpleNamespace(uuid="a"), SimpleNamespace(uuid="b")]
        self.cuda = SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 2,
            get_device_properties=properties.__getitem__,
            get_device_name=lambda index: f"made-up GPU {index}",
            max_memory_allocated=lambda index: index,
        )

    def install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=self.cuda))
        monkeypatch.setattr(manifest.pynvml, "nvmlInit", lambda: self._session(+1))
        monkeypatch.setattr(manifest.pynvml, "nvmlShutdown", lambda: self._session(-1))
        monkeypatch.setattr(manifest.pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
        monkeypatch.setattr(manifest.pynvml, "nvmlDeviceGetTotalEnergyConsumption", self.millijoules.__getitem__)

    def _session(self, change):
        self.sessions += change


@pytest.fixture
def gpus(monkeypatch):
    made_up = MadeUpGpus()
    made_up.install(monkeypatch)
    return made_up


def test_all_gpus_are_added_up_in_joules(gpus):
    meter = EnergyMeter()
    gpus.millijoules |= {"GPU-a": 4_000, "GPU-b": 50_500}
    assert meter.joules() == pytest.approx(3.5)
    assert gpus.sessions == 0


def test_the_manifest_records_it(gpus):
    clock = RunClock()
    gpus.millijoules["GPU-a"] += 7_200_000
    manifest = build_manifest(run="r", model="m", kind="rank", config={}, seed=0, task={}, clock=clock, tokens=12)
    assert manifest["energy_joules"] == pytest.approx(7_200)
    assert manifest["tokens"] == 12


def test_a_driver_without_a_counter_gives_no_number(gpus, monkeypatch):
    def refuse(_):
        raise manifest.pynvml.NVMLError(manifest.pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(manifest.pynvml, "nvmlDeviceGetTotalEnergyConsumption", refuse)
    assert EnergyMeter().joules() is None
    assert gpus.sessions == 0


def test_without_a_gpu_there_is_no_number(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False)))
    assert EnergyMeter().joules() is None
