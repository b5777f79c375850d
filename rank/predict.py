"""Ranking patients with a trained checkpoint: `Ranker.load("runs/rank/checkpoint").rank([["428.0"], ["584.9"]])`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task_folder.features import PatientRow
from mera.language_models.code_tokens import EOV, CodeTokens, marker_id, token_ids
from mera.language_models.models import open_checkpoint
from mera.system.errors import UserError
from mera.system.terminal import progress_bar
from rank.candidate_head import read_candidates_only, score_prompts
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.decoding import decode, scores_of_decoded
from rank.patients.patient_ranker import SETTINGS_FILE, PatientRanker, Tell, read_rules
from rank.patients.trained_on import TrainedOn
from rank.prompt import Prompt, PromptBuilder, reading_sentences
from rank.wide.rare_codes import move_up
from rank.wide.recurrence import NUM_FEATURES, SeenCodes, add_recurrence, seen_codes
from rank.wide.storage import load_wide_part, save_wide_part
from rank.wide.wide_part import WideScorer

RECURRENCE_FILE = "recurrence.npy"


class StoredParts(TypedDict):
    """What the checkpoint of every kind of ranker holds beside the model, its tokenizer and its candidates."""

    definitions: dict[str, str]
    prompt: PromptConfig
    rule: DecisionRule
    trained_on: TrainedOn
    rules: pl.DataFrame | None
    written_out: dict[str, str]


class Ranker(PatientRanker):
    """A language model and its tokenizer, with all else that ranking a patient needs."""

    called = "stage two"
    reads_unknown_codes = "read as plain text"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        candidates: Sequence[str],
        definitions: dict[str, str],
        prompt: PromptConfig,
        rule: DecisionRule,
        recurrence: np.ndarray,
        trained_on: TrainedOn | None = None,
        rules: pl.DataFrame | None = None,
        wide: WideScorer | None = None,
        events: Mapping[str, str] | None = None,
        rare_bonus: np.ndarray | None = None,
        written_out: Mapping[str, str] | None = None,
    ):
        """`model` reads candidates only (rank/candidate_head.py); `recurrence` (C, 3); `wide`: the full wide part of
        the model, if it has one; `trained_on`: None where nothing is known of it;
        `rules`: the coding rules of the candidates, as a prepared task has them; `events`: those with a token;
        `rare_bonus` (C,): what rare codes of the last visit are moved up by (rank/wide/rare_codes.py); `written_out`:
        codes of the training histories without a token, which are read as plain text, with their definitions."""
        self.model, self.tokenizer = model, tokenizer
        self.prompt, self.recurrence, self.wide = prompt, recurrence, wide
        self.rare_bonus = np.zeros(len(candidates), dtype=np.float32) if rare_bonus is None else rare_bonus
        self.written_out = {**(written_out or {})}
        read = self.written_out | definitions
        self.builder = PromptBuilder(tokenizer, prompt, read, events)
        super().__init__(candidates, read, rule, trained_on, rules, self.builder.events)

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | None = None) -> "Ranker":
        """Read a checkpoint of rank/train.py, or the one in a run's folder. Raises UserError where there is none."""
        path = Path(checkpoint)
        if (path / "checkpoint" / SETTINGS_FILE).is_file():
            path = path / "checkpoint"
        if not (path / SETTINGS_FILE).is_file():
            below = sorted(found.parent.parent for found in path.glob(f"*/*/checkpoint/{SETTINGS_FILE}"))
            meant = f"; did you mean {below[0]}?" if below else ""
            raise UserError(
                f"{path} has no {SETTINGS_FILE}: give a run of rank/train.py, or its checkpoint directory{meant}"
            )
        saved = json.loads((path / SETTINGS_FILE).read_text(encoding="utf-8"))
        model, tokenizer = open_checkpoint(path, device)
        read_candidates_only(model, token_ids(tokenizer, saved["candidates"]), marker_id(tokenizer, EOV))
        model.eval()  # its new head too
        recurrence = np.load(path / RECURRENCE_FILE, allow_pickle=False)
        return cls(
            model,
            tokenizer,
            saved["candidates"],
            recurrence=recurrence[:, :NUM_FEATURES],
            rare_bonus=recurrence[:, NUM_FEATURES:].sum(axis=1),  # a checkpoint of before has none
            wide=load_wide_part(path),
            events=CodeTokens.load(path).events,
            **stored_parts(path, saved),
        )

    def save_settings(self, checkpoint: str | Path) -> None:
        """Write what `load` needs beside the model's own files."""
        np.save(Path(checkpoint) / RECURRENCE_FILE, np.column_stack([self.recurrence, self.rare_bonus]))
        if self.wide is not None:
            save_wide_part(self.wide, checkpoint)
        more = {"prompt": asdict(self.prompt), "written_out": self.written_out}
        self.write_settings(Path(checkpoint) / SETTINGS_FILE, **more)

    @property
    def reads_past_notes(self) -> bool:
        return bool(self.prompt.past_note_tokens)

    def add_definitions(self, definitions: Mapping[str, str]) -> None:
        """What prompts that write definitions shall say of codes without a token. The definition of a code that has
        one stays as it was trained."""
        self.builder.definitions = {**definitions, **self.builder.definitions}

    def prompts(self, rows: Sequence[PatientRow]) -> list[Prompt]:
        """What the model reads of rows as in a prepared task; `rank.prompt.reading_sentences` says what it does not."""
        return [self.builder.build(row) for row in rows]

    def score(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `PatientRanker.score`: one forward pass a row."""
        scores, eov = self.unmoved_scores(rows, batch_size, tell)
        return move_up(scores, self.rule.thresholds(scores, eov), self.seen(rows), self.rare_bonus), eov

    def unmoved_scores(
        self, rows: Sequence[PatientRow], batch_size: int = 64, tell: Tell | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `score`, before rare codes of the last visit are moved up."""
        ids = self.prompt_ids(rows, tell)
        scores, eov = score_prompts(self.model, ids, self.tokenizer.pad_token_id, batch_size)
        if self.wide is not None:
            scores, eov = self.wide.add(scores, eov, [self.wide.tables.patient(row, self.column) for row in rows])
        return add_recurrence(scores, self.seen(rows), self.recurrence), eov

    def decode(
        self,
        rows: Sequence[PatientRow],
        batch_size: int = 64,
        max_codes: int = 40,
        tell: Tell | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and thresholds (N,) by writing code after code until EOV (rank/decoding.py); `tell` as in
        `score`."""
        ids, shape = self.prompt_ids(rows, tell), (len(rows), len(self.candidates))
        bonus = np.zeros((len(rows), shape[1] + 1), dtype=np.float32)
        if self.wide is not None:
            bonus = self.wide.bonus([self.wide.tables.patient(row, self.column) for row in rows])
        add_recurrence(bonus, self.seen(rows), self.recurrence)
        gate = 1.0 if self.wide is None else float(self.wide.weights.gate[0])
        written, first_scores = [], np.empty(shape, dtype=np.float32)
        for start in progress_bar(range(0, len(rows), batch_size), "decoding", "batch"):
            batch = slice(start, start + batch_size)
            written_in_batch, first_scores[batch] = decode(
                self.model,
                ids[batch],
                bonus[batch],
                token_ids(self.tokenizer, self.candidates),
                self.rule,
                self.tokenizer.pad_token_id,
                max_codes,
                gate,
                None if self.wide is None else self.wide.untrained,
            )
            written += written_in_batch
        return scores_of_decoded(written, first_scores)

    def prompt_ids(self, rows: Sequence[PatientRow], tell: Tell | None = None) -> list[list[int]]:
        """The tokens of `prompts`; `tell` takes what they do not hold of the rows."""
        prompts = self.prompts(rows)
        if tell is not None:
            for sentence in reading_sentences(prompts, "ranking", self.prompt.past_note_tokens):
                tell(sentence)
        return [prompt.ids for prompt in prompts]

    def seen(self, rows: Sequence[PatientRow]) -> list[SeenCodes]:
        """The candidates in the history of each row."""
        return [seen_codes(row["history"], self.column) for row in rows]


def stored_parts(checkpoint: Path, saved: Mapping[str, Any]) -> StoredParts:
    """`saved`: the settings in the checkpoint, as JSON has them."""
    return StoredParts(
        definitions=CodeTokens.load(checkpoint).definitions,
        prompt=PromptConfig(**saved["prompt"]),
        rule=DecisionRule(**saved["rule"]),
        trained_on=TrainedOn.read(saved.get("trained_on", {})),
        rules=read_rules(checkpoint),
        written_out=saved.get("written_out", {}),
    )
