"""What a run was: configuration, command, versions, git commit, seed, data, time, hardware."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NotRequired, TypedDict

import pynvml

from mera.root import ROOT

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "deepspeed",
    "sentence-transformers",
    "numpy",
)


class Hardware(TypedDict):
    """What this machine is."""

    machine: str
    cpus: int | None
    gpus: NotRequired[list[str]]


class PeakMemory(TypedDict):
    """The most memory this process has held, in bytes."""

    host_bytes: int
    gpu_bytes: NotRequired[int]
    """of its fullest GPU"""


class Manifest(TypedDict):
    """What a run was, as `manifest.json` keeps it beside predictions and checkpoints."""

    run: str
    model: str
    """the name shown in tables"""
    kind: str
    """`rank`, `bi_encoder`, `baseline`, `oracle`, `fusion` or `memorize`"""
    task: Mapping[str, object]
    """`name`, `kind`, `fingerprint` and the `split` that was scored, and more of task.json"""
    config: Mapping[str, object]
    seed: int
    command: str
    git_commit: str | None
    versions: dict[str, str]
    hardware: Hardware
    peak_memory: PeakMemory
    started_at: str
    seconds: float
    tokens: int | None
    """trained on, padding not counted"""
    energy_joules: float | None
    calibration: NotRequired[Mapping[str, float] | None]
    """`slope` and `intercept` from a score's margin over its threshold to a probability; None: nothing to fit"""
    deep_share: NotRequired[float]
    """stage two: how much of what training changed the ranker takes (rank/validation.py)"""
    prior: NotRequired[Mapping[str, object]]
    """what the scores have added for how often a code was seen, and how well they rank with it and without"""
    fusion: NotRequired[Mapping[str, object]]
    """the runs that were fused, their weights, and the figures on validation"""
    refitted: NotRequired[bool]
    """test was scored by a model that was fitted again on train and validation, once all had been chosen (or fused of
    such); the validation scores are those of the model before"""
    threshold: NotRequired[object]
    """how the threshold was chosen on validation"""


class EnergyMeter:
    """Started when a run starts; `joules` is what the visible GPUs of this machine have used since, whoever used them.

    NVIDIA's management library (NVML) counts whole GPUs, from Volta on; GPUs of other nodes, the CPU and the memory are
    not in it.
    """

    def __init__(self) -> None:
        self._start = _millijoules()

    def joules(self) -> float | None:
        """None where there is no GPU, or its driver does not count."""
        now = _millijoules()
        if self._start is None or now is None or len(now) != len(self._start):
            return None
        return sum(after - before for before, after in zip(self._start, now, strict=True)) / 1000


class RunClock:
    """Started when a run starts; the manifest asks it how long the run took and what energy it used."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.energy = EnergyMeter()
        self._start = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self._start


def build_manifest(
    *,
    run: str,
    model: str,
    kind: str,
    config: Mapping[str, object],
    seed: int,
    task: Mapping[str, object],
    clock: RunClock,
    tokens: int | None = None,
) -> Manifest:
    """The record of this process's run, which `clock` has timed."""
    return {
        "run": run,
        "model": model,
        "kind": kind,
        "task": task,
        "config": config,
        "seed": seed,
        "command": _command(),
        "git_commit": git_commit(),
        "versions": package_versions(),
        "hardware": hardware(),
        "peak_memory": peak_memory(),
        "started_at": clock.started_at.isoformat(timespec="seconds"),
        "seconds": round(clock.seconds(), 1),
        "tokens": tokens,
        "energy_joules": clock.energy.joules(),
    }


def package_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit() -> str | None:
    """The project's commit, with `+changes` where the tree differs from it; None outside a checkout."""
    try:
        commit = _git(ROOT, "rev-parse", "HEAD")
        changed = _git(ROOT, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed else "")


def hardware() -> Hardware:
    record = Hardware(machine=platform.machine(), cpus=os.cpu_count())
    if "torch" in sys.modules:
        cuda = sys.modules["torch"].cuda
        if cuda.is_available():
            record["gpus"] = [cuda.get_device_name(index) for index in range(cuda.device_count())]
    return record


def peak_memory() -> PeakMemory:
    # Linux counts in units of 1,024 bytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    record = PeakMemory(host_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        cuda = sys.modules["torch"].cuda
        record["gpu_bytes"] = max(cuda.max_memory_allocated(index) for index in range(cuda.device_count()))
    return record


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


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, encoding="utf-8"
    ).stdout.strip()


def _command() -> str:
    """As one would type it in the project's folder: nothing of where that lies on this machine."""
    script = Path(sys.argv[0])
    name = script.resolve().relative_to(ROOT) if script.resolve().is_relative_to(ROOT) else Path(script.name)
    return " ".join([str(name), *(argument.replace(f"{ROOT}{os.sep}", "") for argument in sys.argv[1:])])
