"""`mera predict`: the program of what a run trained, fitted or fused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mera.commands.fusion.saved import MARK as FUSION
from mera.commands.fusion.saved import part_folders
from mera.commands.programs import script_command
from mera.runs.finished_runs import runs_below
from mera.system.errors import UserError

Ranked = Literal["patients", "notes"]

FLAGS = ("--json", "--wide", "--allow-unknown", "--explain")
"""Options of either program that take no value."""
STAGE_ONE, STAGE_TWO, BI_ENCODER = "memorized.json", "ranking.json", "bi_encoder.json"
BASELINE, NOTES_BASELINE = "fitted/ranking.json", "fitted/model.json"
"""Files by which a checkpoint, or the run of a baseline, says what it is; one of patients has both of the latter."""
BEST_OF_GO = ("fused", "stage-two")
"""What `mera go` names for new notes and new patients."""
RANKS: dict[str, Ranked] = {
    STAGE_TWO: "patients",
    BASELINE: "patients",
    BI_ENCODER: "notes",
    NOTES_BASELINE: "notes",
}
PROGRAMS: dict[Ranked, str] = {
    "patients": "rank/run_predict.py",
    "notes": "bi_encoder/search/note_prediction/run_predict.py",
}


def predict_command(arguments: Sequence[str]) -> list[str]:
    """The command that ranks as `mera predict` was asked to. Raises UserError where the run keeps nothing that can
    rank."""
    source = _source(arguments)
    if source is not None:
        refuse_what_ranks_nothing(source)
    ranked = None if source is None else what_it_ranks(source)
    return script_command(PROGRAMS[ranked or "patients"], *arguments)


def refuse_what_ranks_nothing(source: str | Path) -> None:
    """Raises UserError where `source` is not there, or is something that ranks neither patients nor notes: the
    sentence says what it is, and what to do."""
    kind, folder = checkpoint_kind(source), Path(source)
    if kind == STAGE_ONE:
        raise UserError(
            f"{source} is of stage one, which knows codes and no patients; train stage two on it: "
            f"mera rank --model.base {source} --task TASK --output RUN"
        )
    if kind is not None:
        return
    if not folder.exists():
        raise UserError(f"{source} is not there: give the folder of a run, its checkpoint or an export")
    if (folder / "task.json").is_file():
        raise UserError(f"{source} is a prepared task; give a run that learnt from it, and the task with --task")
    runs = sorted(runs_below(folder), key=lambda run: (run.name not in BEST_OF_GO, what_it_ranks(run) is None, run))
    if runs:
        raise UserError(f"{source} holds {len(runs)} runs: name one of them, such as {runs[0]}")
    if (folder / "predictions" / "manifest.json").is_file():
        raise UserError(
            f"{source} keeps its predictions and no model that can rank others; runs of mera rank, mera retrieve and "
            f"mera fuse have one, those of mera baselines on histories and of mera retrieval-baselines on notes too "
            f"(of an older version: make it again)"
        )


def what_it_ranks(source: str | Path) -> Ranked | None:
    """A fusion ranks patients if any of its parts does; None where `source` ranks nothing."""
    kind = checkpoint_kind(source)
    if kind == FUSION:
        return "patients" if "patients" in map(what_it_ranks, part_folders(Path(source))) else "notes"
    return None if kind is None else RANKS.get(kind)


def checkpoint_kind(source: str | Path) -> str | None:
    """The file, STAGE_ONE, FUSION or a key of RANKS, by which a run, its checkpoint or an export says what it is; None
    where there is none."""
    folders = [Path(source), Path(source) / "checkpoint"]
    kinds = (*RANKS, FUSION, STAGE_ONE)
    return next((name for name in kinds for folder in folders if (folder / name).is_file()), None)


def _source(arguments: Sequence[str]) -> str | None:
    """Of the words that are no option and no option's first value the first that is of a run, as an option may have
    several values; else the first."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    words = []
    for number, word in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if not word.startswith("-") and (not before.startswith("--") or "=" in before or before in FLAGS):
            words.append(word)
    of_runs = (word for word in words if checkpoint_kind(word) is not None)
    return next(of_runs, words[0] if words else None)
