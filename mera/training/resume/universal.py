"""A ZeRO checkpoint for another number of processes: DeepSpeed's universal checkpoint, made for one load and removed.

ZeRO's optimizer lies in one piece for each process that wrote it. In a universal checkpoint each parameter has a folder
with its whole weight and its whole moments in float32, of which any number of processes takes its pieces (Lian et al.,
arXiv 2406.18820). DeepSpeed's own converter makes it, in a process of its own.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from safetensors import safe_open
from torch import nn

from mera.system.stop_signals import name_of
from mera.training.engine import all_agree_to
from mera.training.private_api import zero_pieces

FOLDER, TAG, WEIGHTS = ".universal", "universal", "model.safetensors"
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
SECONDS_BETWEEN_LOOKS = 0.5


@contextlib.contextmanager
def universal_checkpoint(checkpoint: Path, device: torch.device, is_first: bool) -> Iterator[Path]:
    """Within it a universal copy of `checkpoint`, complete, lies as `TAG` in the folder that comes back.

    Every process must enter and leave it; the first one converts and removes, the others wait as long as that takes.
    `device`: for what they tell each other. Raises OSError, one sentence, where the conversion fails.
    """
    folder = checkpoint.parent / FOLDER
    if is_first:
        _require_room(checkpoint)
    try:
        _convert(checkpoint, folder, device, is_first)
        yield folder
        all_agree_to(False, device)  # all have read it
    finally:
        if is_first:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftover(folder: Path) -> None:
    """Remove what a start that was killed while it converted has left below `folder`, where the checkpoints are."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def _convert(checkpoint: Path, folder: Path, device: torch.device, is_first: bool) -> None:
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        converter = None
        if is_first:
            folder.mkdir()
            converter = stack.enter_context(_converter(checkpoint, folder, errors))
        # A collective that waited for the whole conversion of a large model would end in a timeout.
        while all_agree_to(converter is not None and converter.poll() is None, device):
            if converter is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    converter.wait(SECONDS_BETWEEN_LOOKS)
        if all_agree_to(converter is not None and converter.returncode != 0, device):
            raise OSError(
                f"cannot convert {checkpoint} for another number of processes: {_cause(converter, errors)}; mend that "
                f"and start the same command again, or start it with as many processes as before"
            )


@contextlib.contextmanager
def _converter(checkpoint: Path, folder: Path, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """DeepSpeed's converter at work, on the CPU; it ends with this process."""
    tag = (checkpoint / "latest").read_text(encoding="utf-8").strip()
    # It puts paths into patterns, so they are given from the run's own folder, whose names have no special characters.
    places = ["--input_folder", f"{checkpoint.name}/{tag}", "--output_folder", f"{folder.name}/{TAG}"]
    words = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", *places, "--inject_missing_state"]
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    converter = subprocess.Popen(
        [*words, "--num_extract_workers", "1", "--num_merge_workers", "1"],  # in memory: one process's piece at a time
        cwd=checkpoint.parent,
        env={**os.environ, "PYTHONSAFEPATH": "1", "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=errors,
        preexec_fn=None if libc is None else lambda: libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM),
    )
    try:
        yield converter
    finally:
        converter.kill()
        converter.wait()


def _require_room(checkpoint: Path) -> None:
    """Raises OSError where the disk cannot hold what the converter writes: all files once, the optimizer once more, as
    it is taken apart before it is put together, and under ZeRO-3 one of its pieces as it is."""
    files = {path: path.stat().st_size for path in checkpoint.glob("*/*.pt")}
    pieces = [size for path, size in files.items() if path.name.endswith("optim_states.pt")]
    needed, free = sum(files.values()) + sum(pieces) + max(pieces, default=0), shutil.disk_usage(checkpoint).free
    if needed > free:
        raise OSError(
            f"cannot convert {checkpoint} for another number of processes: that takes {needed / 2**30:.1f} GiB of "
            f"disk beside it, and {free / 2**30:.1f} are free; make room, or start with as many processes as before"
        )


def _cause(converter: subprocess.Popen[bytes] | None, errors: IO[bytes]) -> str:
    """Why the converter failed: the last line that Python wrote; the first process knows it."""
    if converter is None:
        return "the first process says why"
    if converter.returncode < 0:
        return f"DeepSpeed's converter was ended by {name_of(-converter.returncode)}"
    errors.seek(0)
    lines = [line for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "DeepSpeed's converter ended without a word"


def load_untrained(model: nn.Module, checkpoint: Path) -> None:
    """Read what does not train, frozen parameters and buffers, from the model's weights in `checkpoint` into `model`;
    every process must call it. A universal checkpoint has what trains.

    A checkpoint of LoRA alone has no such weights: they are those of the base model, under every engine.
    """
    file = checkpoint / WEIGHTS
    if not file.is_file():
        return
    in_pieces = set(zero_pieces(model))
    with safe_open(file, framework="pt") as weights, torch.no_grad():
        saved = set(weights.keys())
        for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()]):
            if tensor.requires_grad or name not in saved:
                continue
            if tensor in in_pieces:
                import deepspeed

                with deepspeed.zero.GatheredParameters([tensor], modifier_rank=0):
                    if tensor.numel():
                        tensor.copy_(weights.get_tensor(name))
            else:
                tensor.copy_(weights.get_tensor(name))
