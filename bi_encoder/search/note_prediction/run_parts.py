"""Where the parts of a bi-encoder's run lie: in its folder, around its checkpoint, or in an export.

A run has `checkpoint/`, `index/codes.safetensors` and `predictions/`; `mera export` puts the checkpoint's files, the
index, `candidates.parquet` and `mera.json` into one folder.
"""

from dataclasses import dataclass
from pathlib import Path

from bi_encoder.checkpoint import RECORD_NAME, checkpoint_folder
from mera.runs.finished_runs import RunFiles, files_of
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    checkpoint: Path
    index: Path
    """Vectors of the candidates."""
    files: RunFiles


def find_parts(source: str | Path) -> RunParts:
    """`source`: a run, its checkpoint, or an export. Raises UserError where it is none."""
    checkpoint = checkpoint_folder(source)
    if checkpoint is None:
        raise UserError(
            f"{source} has no {RECORD_NAME}: give a run of bi_encoder/train.py, its checkpoint directory or an export"
        )
    folder = checkpoint if files_of(checkpoint).candidates.is_file() else checkpoint.absolute().parent
    return RunParts(checkpoint=checkpoint, index=folder / "index" / "codes.safetensors", files=files_of(folder))
