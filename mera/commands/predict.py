"""`mera predict`: the program of what a run trained, fitted or fused."""

from collections.abc import Sequence
from pathlib import Path

from mera.commands.programs import script_command
from mera.system.errors import UserError

FLAGS = ("--json", "--wide", "--allow-unknown")
"""Options of either program that take no value."""
BI_ENCODER, STAGE_ONE, STAGE_TWO = "bi_encoder.json", "memorized.json", "ranking.json"
FITTED, FUSION = "fitted/model.json", "fusion/fusion.json"
"""Files by which a checkpoint, or the run of a baseline on notes or of a fusion, says what it is."""
OF_NOTES = (BI_ENCODER, FITTED, FUSION)
NOTES_PROGRAM = "bi_encoder/search/note_prediction/run_predict.py"
PREDICTS = {**dict.fromkeys(OF_NOTES, NOTES_PROGRAM), STAGE_TWO: "rank/run_predict.py"}


def predict_command(arguments: Sequence[str]) -> list[str]:
    """The command that ranks as `mera predict` was asked to. Raises UserError where the run keeps nothing that can
    rank."""
    source = _source(arguments)
    kind = None if source is None else checkpoint_kind(source)
    if kind == STAGE_ONE:
        raise UserError(
            f"{source} is of stage one, which knows codes and no patients; train stage two on it: "
            f"mera rank --model.base {source} --task TASK --output RUN"
        )
    if kind is None and source is not None and not Path(source).exists():
        raise UserError(f"{source} is not there: give the folder of a run, its checkpoint or an export")
    if kind is None and source is not None and (Path(source) / "predictions" / "manifest.json").is_file():
        raise UserError(
            f"{source} keeps its predictions and no model that can rank others; runs of mera rank and mera retrieve "
            f"have one, and on notes those of mera retrieval-baselines and mera fuse (of an older version: make it "
            f"again)"
        )
    return script_command(PREDICTS[kind or STAGE_TWO], *arguments)


def checkpoint_kind(source: str) -> str | None:
    """The file, a key of PREDICTS or STAGE_ONE, by which a run, its checkpoint or an export says what it is; None where
    there is none."""
    folders = [Path(source), Path(source) / "checkpoint"]
    kinds = (*PREDICTS, STAGE_ONE)
    return next((name for name in kinds for folder in folders if (folder / name).is_file()), None)


def _source(arguments: Sequence[str]) -> str | None:
    """The first word that is no option and no option's value."""
    for number, word in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if not word.startswith("-") and (not before.startswith("--") or "=" in before or before in FLAGS):
            return word
    return None
