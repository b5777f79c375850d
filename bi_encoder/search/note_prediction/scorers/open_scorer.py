"""The scorer of a run, by what stands in its folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from bi_encoder.baselines import fitted
from bi_encoder.checkpoint import checkpoint_folder, load_bi_encoder
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.predict import embed_as_recorded
from bi_encoder.scoring.similarities import CodeVectors
from bi_encoder.search.note_prediction.run_parts import find_parts
from bi_encoder.search.note_prediction.scorers.baseline import BaselineScorer
from bi_encoder.search.note_prediction.scorers.fused import FusedScorer
from bi_encoder.search.note_prediction.scorers.scorer import NoteScorer
from bi_encoder.search.note_prediction.scorers.trained import BiEncoderScorer
from bi_encoder.search.search_index import open_model
from data.task import Task
from mera.commands.fusion import saved
from mera.runs.finished_runs import RunFiles, files_of
from mera.system.errors import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    scorer: NoteScorer
    candidates: pl.DataFrame
    """`code`, `definition`, `train_count`: C rows in column order."""
    facts: Mapping[str, object]
    """Of the run's manifest `task` and `calibration`; empty where there is none."""
    met: Mapping[str, bool]
    """Whether any patient of the run had an `age`, a `sex`; empty where there is none to see."""


def open_scorer(source: str | Path, task: Task | None = None) -> Opened:
    """`source`: a run of `mera retrieve`, `mera retrieval-baselines` or `mera fuse` on notes, an export of one, or a
    checkpoint of the first. `task`: with the same candidates; a checkpoint alone needs it for their vectors.

    Raises UserError where it is none of these, does not open, or has other candidates than the task.
    """
    folder = Path(source)
    if checkpoint_folder(folder) is not None:
        return _open_bi_encoder(folder, task)
    if (folder / fitted.MARK).is_file():
        model, threshold = fitted.read_fitted(folder, open_model)
        opened = _opened(BaselineScorer(model=model, threshold=threshold), files_of(folder))
    elif (folder / saved.MARK).is_file():
        opened = _open_fusion(folder)
    else:
        raise UserError(
            f"{folder} holds no model that reads notes: give a run of mera retrieve, mera retrieval-baselines or mera "
            "fuse (one of an older version of the latter two is to be made again), a bi-encoder's checkpoint or an "
            "export"
        )
    if task is not None:
        _check_codes(opened, task.codes, folder, "the task")
    return opened


def _open_bi_encoder(source: Path, task: Task | None) -> Opened:
    parts = find_parts(source)
    model, record = load_bi_encoder(parts.checkpoint, None if task is None else task.codes)
    files = parts.files
    facts = {**files.facts()}
    if not files.candidates.is_file() or not parts.index.is_file():
        if task is None:
            raise UserError(
                f"{source} holds the model alone, without the candidates that its run has; give the run's folder, "
                "or the task that it was trained on with --task"
            )
        vectors, table = embed_as_recorded(model, task, record), task.code_table
        facts |= {"task": dict(task.info)}
    else:
        # Rather than those of the task: training may have taken phrases from elsewhere (evidence.translation).
        index = CodeIndex.load(parts.index, model_fingerprint=model.fingerprint(), codes=record.codes)
        owner = torch.from_numpy(index.groups.owner.astype(np.int64)).to(model.device)
        vectors = CodeVectors(embeddings=torch.from_numpy(index.embeddings).to(model.device), owner=owner)
        table = pl.read_parquet(files.candidates)
    scorer = BiEncoderScorer(model, record, vectors, table["train_count"].to_numpy())
    return Opened(scorer=scorer, candidates=table, facts=facts, met=_met(files))


def _open_fusion(folder: Path) -> Opened:
    """Raises UserError where a part is not where it was, is another run by now, or reads no notes."""
    fusion, own = saved.read_fusion(folder), files_of(folder)
    table = pl.read_parquet(own.candidates)
    scorers = []
    for part in fusion.parts:
        opened = open_scorer(part)
        _check_codes(opened, table["code"].to_list(), part, f"the fusion {folder}")
        scorers.append(opened.scorer)
    return _opened(FusedScorer(parts=scorers, fusion=fusion, train_counts=table["train_count"].to_numpy()), own)


def _opened(scorer: NoteScorer, files: RunFiles) -> Opened:
    table = pl.read_parquet(files.candidates)
    return Opened(scorer=scorer, candidates=table, facts=files.facts(), met=_met(files))


def _met(files: RunFiles) -> dict[str, bool]:
    if not files.examples.is_file():
        return {}
    examples = pl.read_parquet(files.examples)
    return {name: bool(examples[name].count()) for name in ("age", "sex") if name in examples.columns}


def _check_codes(opened: Opened, codes: list[str], source: Path, other: str) -> None:
    own = opened.candidates["code"].to_list()
    if own != codes:
        raise UserError(f"{source} has {len(own):,} candidate codes, {other} has {len(codes):,} or other ones")
