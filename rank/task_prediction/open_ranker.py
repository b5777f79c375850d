"""From the folder of a run to what ranks patients."""

from pathlib import Path

import polars as pl

from mera.commands.fusion import saved
from mera.commands.predict import refuse_what_ranks_nothing, what_it_ranks
from mera.runs.finished_runs import files_of
from mera.system.errors import UserError
from rank.baselines.fitted import ranker as fitted
from rank.patients.patient_ranker import PatientRanker
from rank.predict import Ranker
from rank.task_prediction.fused_ranker import FusedRanker
from rank.verification.verifier import Verifier, is_verifier


def open_ranker(source: str | Path) -> PatientRanker:
    """`source`: a run of stage two, or its checkpoint (of `--candidates` too), or a run of `mera baselines` or
    `mera fuse`, or an export of one. Raises UserError where it is none of these, or does not open."""
    folder = Path(source)
    if is_verifier(folder):
        return Verifier.load(folder)
    if (folder / fitted.MARK).is_file():
        return fitted.BaselineRanker.load(folder)
    if (folder / saved.MARK).is_file():
        return _open_fusion(folder)
    refuse_what_ranks_nothing(folder)
    return Ranker.load(folder)


def _open_fusion(folder: Path) -> FusedRanker:
    """Raises UserError where a part is not where it was, is another run by now, or does not rank patients by itself."""
    fusion = saved.read_fusion(folder)
    files = files_of(folder)
    codes, facts = pl.read_parquet(files.candidates, columns=["code", "train_count"]), files.facts()
    parts = []
    for path in fusion.parts:
        if what_it_ranks(path) != "patients":
            raise UserError(f"{path}, a part of {folder}, keeps no model that ranks patients; fuse without it")
        part = open_ranker(path)
        if part.candidates != codes["code"].to_list():
            raise UserError(f"{path} has other candidates than {folder}, which was fused of it; fuse the runs again")
        parts.append(part)
    calibration = facts["calibration"]
    if not isinstance(calibration, dict):
        raise UserError(f"{folder} gave every code the same score on validation and has nothing to rank by")
    return FusedRanker(parts, fusion, str(facts["model"]), codes["train_count"].to_numpy(), calibration)
