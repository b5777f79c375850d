"""Checkpoints to resume training from. Each is complete or absent, and its files are checked before it is used.

`<run>/trainer/checkpoint-STEP` holds the whole model as safetensors, the optimizer, the learning-rate schedule and the
random generators. DeepSpeed writes the optimizer in one file for each process, from which another number of processes
resumes by way of a universal checkpoint (universal.py); the other engines in one file.
`complete.json` is written last: it lists every file with its size in bytes and its sha256, and how the run was started.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mera.system.errors import UserError

SEAL = "complete.json"
PREFIX = "checkpoint-"
OPTIMIZERS_SHARED_OUT_ANEW = ("", "adamw_torch", "adamw_torch_fused")
"""Those whose state DeepSpeed's converter knows: two moments as large as the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """The settings of a start that decide whether it can resume a checkpoint."""

    engine: str
    """`one process`, `DDP`, `ZeRO-2`, ..."""
    processes: int
    batch_size: int
    gradient_accumulation: int
    optimizer: str = ""
    """as the Hugging Face Trainer names it; empty: not known"""
    trained: dict[str, list[int]] = field(default_factory=dict)
    """shapes of the parameters that train, by name; empty: not known"""

    @property
    def step_examples(self) -> int:
        return self.batch_size * self.gradient_accumulation * self.processes

    def refusal(self, other: "Start") -> str | None:
        """Why this start cannot resume a checkpoint that was written under `other`, and what to do; None: it can."""
        difference = self._difference_of_models(other)
        if difference is not None:
            return f"it is of another model: {difference}; start with the model that it was written with"
        if self.step_examples != other.step_examples:
            return (
                f"a step takes {self.step_examples} examples here ({self._product()}) and took {other.step_examples} "
                f"before ({other._product()}); choose training.batch_size and training.gradient_accumulation so that "
                f"their product with the number of processes is {other.step_examples}"
            )
        plain = {"one process", "DDP"}
        if self.engine != other.engine and not {self.engine, other.engine} <= plain:
            return f"it was written under {other.engine} and this is {self.engine}; launch it with {other.engine} again"
        if self.shares_out_anew(other) and self.optimizer not in OPTIMIZERS_SHARED_OUT_ANEW:
            return (
                f"{self.engine} keeps {self.optimizer} in one piece for each process, {other.processes} before and "
                f"{self.processes} here, and only AdamW can be shared out anew; launch it with --num_processes "
                f"{other.processes} again"
            )
        return None

    def shares_out_anew(self, other: "Start") -> bool:
        """Whether a checkpoint that was written under `other` has the optimizer in other pieces than are read here."""
        return self.engine.startswith("ZeRO") and self.processes != other.processes

    def _difference_of_models(self, other: "Start") -> str | None:
        """The first parameter by name that trains in one of two models and not, or in another shape, in the other."""
        if not self.trained or not other.trained:
            return None
        for name in sorted(self.trained.keys() | other.trained.keys()):
            if name not in self.trained:
                return f"{name} trained there and does not here"
            if name not in other.trained:
                return f"{name} trains here and did not there"
            here, there = (tuple(start.trained[name]) for start in (self, other))
            if here != there:
                return f"{name} has the shape {here} here and {there} there"
        return None

    def _product(self) -> str:
        return f"{self.processes} processes x batch {self.batch_size} x accumulation {self.gradient_accumulation}"


def seal(checkpoint: Path, start: Start) -> None:
    """Write `complete.json` and flush all files to the disk. After that the checkpoint may be renamed into place."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_digest, files))
    listed = {
        str(path.relative_to(checkpoint)): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(files, digests, strict=True)
    }
    with open(checkpoint / SEAL, "w", encoding="utf-8") as file:
        json.dump({"start": asdict(start), "files": listed}, file, indent=1)
    for path in [*files, checkpoint / SEAL, checkpoint]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def newest_usable(folder: Path, start: Start) -> Path | None:
    """The newest complete and undamaged checkpoint below `folder`; None where there is none.

    Prints a warning for each newer one that is damaged. Raises UserError where `start` cannot resume it.
    """
    for checkpoint in checkpoints(folder):
        damage = find_damage(checkpoint)
        if damage is not None:
            print(f"warning: {checkpoint} is damaged ({damage}); trying the one before it", file=sys.stderr)
            continue
        refusal = start.refusal(start_of(checkpoint))
        if refusal is not None:
            raise UserError(f"cannot resume from {checkpoint}: {refusal}, or remove {folder.parent} to start over")
        return checkpoint
    return None


def start_of(checkpoint: Path) -> Start:
    """How the run was started that wrote a checkpoint."""
    return Start(**json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))["start"])


def find_damage(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that is missing or changed, in a few words; None where none is."""
    try:
        listed = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return f"{SEAL} cannot be read"
    for name, written in listed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != written["bytes"]:
            return f"{name} has {path.stat().st_size} bytes instead of {written['bytes']}"
    with ThreadPoolExecutor() as pool:
        digests = pool.map(_digest, [checkpoint / name for name in listed])
        for (name, written), digest in zip(listed.items(), digests, strict=True):
            if digest != written["sha256"]:
                return f"{name} has other contents than were written"
    return None


def prune(folder: Path, keep_last: int, best: str | None, newest_step: int) -> None:
    """Remove all checkpoints but `best` and the `keep_last` newest up to `newest_step`, the run's present step. Later
    ones are of before a resume, and are removed."""
    newest = [path for path in checkpoints(folder) if step_of(path) <= newest_step][:keep_last]
    for path in checkpoints(folder):
        if path not in newest and str(path) != best:
            shutil.rmtree(path, ignore_errors=True)


def checkpoints(folder: Path) -> list[Path]:
    """The sealed checkpoints below `folder`, newest first."""
    return sorted((seal.parent for seal in _seals(folder)), key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def _seals(folder: Path) -> Iterator[Path]:
    return folder.glob(f"{PREFIX}*/{SEAL}")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
