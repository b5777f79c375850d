"""Verifying with a trained checkpoint, for the examples of a prepared task that a first pass has ranked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from data.task_folder.features import PatientRow
from mera.language_models.models import open_checkpoint
from mera.system.errors import UserError
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.patients.patient_ranker import Tell
from rank.patients.trained_on import TrainedOn
from rank.predict import Ranker, stored_parts
from rank.verification.branches import VerificationCollator, branches_of_codes
from rank.verification.first_pass import Candidates, FirstPass, LogOddsScale
from rank.verification.head import Verification, read_hidden_states
from rank.verification.scoring import scores_of_all_codes, verify
from rank.wide.recurrence import NUM_FEATURES

NEEDS_CANDIDATES = (
    "this checkpoint verifies the candidates of a first pass and cannot rank a patient by itself; give --task with "
    "--candidates RUN, a run that has scored the task's patients"
)
FILE_NAME, WEIGHTS_FILE = "verification.json", "verification.safetensors"


class Verifier(Ranker):
    """A `Ranker` that scores the candidates of a first pass, which `use_candidates` has to name first."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        codes: Sequence[str],
        definitions: dict[str, str],
        prompt: PromptConfig,
        rule: DecisionRule,
        num_candidates: int,
        scale: LogOddsScale,
        trained_on: TrainedOn | None = None,
        rules: pl.DataFrame | None = None,
        written_out: Mapping[str, str] | None = None,
    ):
        """`model` returns hidden states and has its `verification` (rank/verification/head.py); `scale` is that of the
        first pass it was trained with."""
        no_recurrence = np.zeros((len(codes), NUM_FEATURES), dtype=np.float32)
        super().__init__(
            model,
            tokenizer,
            codes,
            definitions,
            prompt,
            rule,
            no_recurrence,
            trained_on,
            rules,
            written_out=written_out,
        )
        self.num_candidates, self.scale = num_candidates, scale
        self.branches = branches_of_codes(tokenizer, self.candidates, [definitions[code] for code in self.candidates])
        self.collator = VerificationCollator(len(self.candidates), tokenizer.pad_token_id, scale.intercept)
        self._candidates: dict[str, tuple[np.ndarray, np.ndarray]] | None = None

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | None = None) -> "Verifier":
        """Read a checkpoint of `rank/train.py --candidates`, or the one in a run's folder. Raises UserError where there
        is none."""
        if not is_verifier(checkpoint):
            raise UserError(f"{checkpoint} has no {FILE_NAME}: give a run of rank/train.py --candidates")
        path = _folder(checkpoint)
        saved = json.loads((path / FILE_NAME).read_text(encoding="utf-8"))
        model, tokenizer = open_checkpoint(path, device)
        verification = Verification(model.config.hidden_size)
        verification.load_state_dict(load_file(path / WEIGHTS_FILE))
        model.verification = verification.to(model.device)
        read_hidden_states(model)
        model.eval()
        return cls(
            model,
            tokenizer,
            saved["candidates"],
            num_candidates=saved["num_candidates"],
            scale=LogOddsScale(**saved["scale"]),
            **stored_parts(path, saved),
        )

    def save(self, checkpoint: str | Path, weights: dict[str, Tensor]) -> None:
        """Write what `load` needs beside the model's own files; `weights`: those of its `verification`."""
        save_file(weights, Path(checkpoint) / WEIGHTS_FILE)
        more = {
            "prompt": asdict(self.prompt),
            "written_out": self.written_out,
            "num_candidates": self.num_candidates,
            "scale": asdict(self.scale),
        }
        self.write_settings(Path(checkpoint) / FILE_NAME, **more)

    def use_candidates(self, run: str | Path, task: Task, splits: Sequence[str]) -> None:
        """Take the candidates of these splits' examples from a first pass of `task`. Raises UserError where it is one
        of another task, or the task has other codes than the verifier."""
        if task.codes != self.candidates:
            raise UserError(
                f"{task.path} has other codes than the checkpoint verifies; give the task it was trained on"
            )
        first_pass = FirstPass(run, task, self.num_candidates, self.scale)
        self._candidates = {}
        for split in splits:
            rows = list(task.splits[split])
            of_split = first_pass.candidates(split, rows)
            for row, log_odds, columns in zip(rows, of_split.log_odds, of_split.columns, strict=True):
                self._candidates[row["example_id"]] = log_odds, columns

    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and EOV (N,) of rows whose candidates `use_candidates` has read. Raises UserError for a patient
        without."""
        of_first_pass = self._candidates or {}
        names = [str(row.get("example_id")) for row in rows]
        if any(name not in of_first_pass for name in names):
            raise UserError(NEEDS_CANDIDATES)
        chosen = [of_first_pass[name] for name in names]
        candidates = Candidates(np.stack([log_odds for log_odds, _ in chosen]), np.stack([each for _, each in chosen]))
        ids = self.prompt_ids(rows, tell)
        scores, eov = verify(self.model, ids, candidates, self.branches, self.collator, batch_size)
        return self.complete(scores, eov, candidates), eov

    def complete(self, scores: np.ndarray, eov: np.ndarray, candidates: Candidates) -> np.ndarray:
        """(N, C) from the candidates' scores (N, K): none of the other codes is above the threshold, which is as high
        with them as without, or higher."""
        return scores_of_all_codes(scores, self.rule.thresholds(scores, eov), candidates)


def is_verifier(checkpoint: str | Path) -> bool:
    """Whether `rank/train.py --candidates` wrote the checkpoint, or the run."""
    return (_folder(checkpoint) / FILE_NAME).is_file()


def _folder(checkpoint: str | Path) -> Path:
    inside = Path(checkpoint) / "checkpoint"
    return inside if inside.is_dir() else Path(checkpoint)
