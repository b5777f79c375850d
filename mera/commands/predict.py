"""`mera predict`: the program of the stage that the checkpoint is of."""

from collections.abc import Sequence
from pathlib import Path

from mera.commands.programs import script_command
from mera.system.errors import UserError

FLAGS = ("--json", "--wide", "--allow-unknown")
"""Options of either program that take no value."""
BI_ENCODER, STAGE_ONE, STAGE_TWO = "bi_encoder.json", "memorized.json", "ranking.json"
"""Files by which a checkpoint says what it is."""
PREDICTS = {BI_ENCODER: "bi_encoder/search/note_prediction/run_predict.py", STAGE_TWO: "rank/run_predict.py"}


def predict_command(arguments: Sequence[str]) -> list[str]:
    """The command that ranks as `mera predict` was asked to. Raises UserError where the run is of stage one."""
    source = _source(arguments)
    kind = None if source is None else checkpoint_kind(source)
    if kind == STAGE_ONE:
        raise UserError(
            f"{source} is of stage one, which knows codes and no patients; train stage two on it: "
            f"mera rank --model.base {source} --task TASK --output RUN"
        )
    return script_command(PREDICTS[kind or STAGE_TWO], *arguments)


def checkpoint_kind(source: str) -> str | None:
    """By which of BI_ENCODER, STAGE_TWO and STAGE_ONE a run, its checkpoint or an export says what it is; None where
    none is there."""
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
