"""Where the parts of a finished run lie: in its folder, around its checkpoint, or in an export.

A bi-encoder's run has `checkpoint/`, `index/codes.safetensors` and `predictions/`; `mera export` puts the checkpoint's
files, the index, `candidates.parquet` and `mera.json` into one folder.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bi_encoder.checkpoint import RECORD_NAME, checkpoint_folder
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class RunParts:
    checkpoint: Path
    index: Path
    """Vectors of the candidates."""
    candidates: Path
    """Parquet: `code`, `definition`, `train_count` of the candidates."""
    examples: Path
    """Parquet: of the test split, as `predictions/` has it; not in an export."""
    about: Path
    """JSON: a manifest, or what `mera export` writes of one: `task` and `calibration`."""

    def facts(self) -> Mapping[str, object]:
        """The manifest; empty where it is not there."""
        if not self.about.is_file():
            return {}
        facts = json.loads(self.about.read_text(encoding="utf-8"))
        return facts if isinstance(facts, dict) else {}


def find_parts(source: str | Path) -> RunParts:
    """`source`: a run, its checkpoint, or an export. Raises UserError where it is none."""
    checkpoint = checkpoint_folder(source)
    if checkpoint is None:
        raise UserError(
            f"{source} has no {RECORD_NAME}: give a run of bi_encoder/train.py, its checkpoint directory or an export"
        )
    if (checkpoint / "candidates.parquet").is_file():
        return RunParts(
            checkpoint=checkpoint,
            index=checkpoint / "index" / "codes.safetensors",
            candidates=checkpoint / "candidates.parquet",
            examples=checkpoint / "examples.parquet",
            about=checkpoint / "mera.json",
        )
    return replace(parts_of_run(checkpoint.absolute().parent), checkpoint=checkpoint)


def parts_of_run(run: Path) -> RunParts:
    """`run`: the folder of any run; one of a baseline or a fusion has neither checkpoint nor index."""
    return RunParts(
        checkpoint=run / "checkpoint",
        index=run / "index" / "codes.safetensors",
        candidates=run / "predictions" / "codes.parquet",
        examples=run / "predictions" / "examples.parquet",
        about=run / "predictions" / "manifest.json",
    )
