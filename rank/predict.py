"""Ranking patients with a trained checkpoint: `Ranker.load("runs/rank/checkpoint").rank([["428.0"], ["584.9"]])`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from mera.code_tokens import EOV, CodeTokens, marker_id, token_ids
from mera.models import SAFE_LOADING
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.prompt import PromptBuilder, build_prompts
from rank.recurrence import add_recurrence, seen_codes
from rank.scoring import score_prompts

FILE_NAME, RECURRENCE_FILE = "ranking.json", "recurrence.npy"


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedCode:
    code: str
    definition: str
    score: float
    """logit of the code's token, plus the bonus of a code seen before"""
    probability: float
    predicted: bool
    """the score is above the EOV threshold"""
    known: bool
    """the code stands in the history"""


class Ranker:
    """A model, its tokenizer, its candidates and its threshold: all that ranking a patient needs."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        candidates: Sequence[str],
        definitions: dict[str, str],
        prompt: PromptConfig,
        rule: DecisionRule,
        recurrence: np.ndarray,
    ):
        self.model, self.tokenizer = model, tokenizer
        self.candidates, self.definitions = list(candidates), definitions
        self.prompt, self.rule, self.recurrence = prompt, rule, recurrence
        self.column = {code: index for index, code in enumerate(self.candidates)}
        self.builder = PromptBuilder(tokenizer, prompt)

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | None = None) -> "Ranker":
        """Read a checkpoint of rank/train.py. Raises ValueError where `checkpoint` is not one."""
        path = Path(checkpoint)
        if not (path / FILE_NAME).is_file():
            raise ValueError(f"{path} has no {FILE_NAME}: give the checkpoint directory that rank/train.py wrote")
        saved = json.loads((path / FILE_NAME).read_text(encoding="utf-8"))
        model = AutoModelForCausalLM.from_pretrained(path, **SAFE_LOADING)
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        return cls(
            model,
            AutoTokenizer.from_pretrained(path, trust_remote_code=False),
            saved["candidates"],
            CodeTokens.load(path).definitions,
            PromptConfig(**saved["prompt"]),
            DecisionRule(**saved["rule"]),
            np.load(path / RECURRENCE_FILE, allow_pickle=False),
        )

    def save_settings(self, checkpoint: str | Path) -> None:
        """Write what `load` needs beside the model's own files."""
        settings = {
            "candidates": self.candidates,
            "prompt": asdict(self.prompt),
            "rule": asdict(self.rule),
        }
        np.save(Path(checkpoint) / RECURRENCE_FILE, self.recurrence)
        (Path(checkpoint) / FILE_NAME).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    def score(self, rows: Sequence[dict[str, Any]], batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """scores (N, C) and EOV (N,) of rows as in a prepared task: one forward pass each."""
        scores, eov = score_prompts(
            self.model,
            build_prompts(self.builder, rows, "ranking"),
            token_ids(self.tokenizer, self.candidates),
            marker_id(self.tokenizer, EOV),
            self.tokenizer.pad_token_id,
            batch_size,
        )
        return add_recurrence(scores, [seen_codes(row["history"], self.column) for row in rows], self.recurrence), eov

    def rank(
        self,
        history: Sequence[Sequence[str]],
        *,
        days_before: Sequence[int] | None = None,
        age: int | None = None,
        sex: str | None = None,
        text: str | None = None,
        top: int | None = None,
    ) -> list[RankedCode]:
        """All candidates (or the first `top`), most likely first.

        `history`: visits, oldest first, each a list of canonical codes; `days_before`: one number per visit.
        Raises ValueError where `days_before` and `history` differ in length, or there is neither history nor text.
        """
        if not history and not text:
            raise ValueError("nothing to rank from: give a history, a note, or both")
        if days_before is not None and len(days_before) != len(history):
            raise ValueError(f"days_before has {len(days_before)} numbers for {len(history)} visits")
        days = list(days_before) if days_before is not None else [None] * len(history)
        visits = [{"codes": list(codes), "days_before": day} for codes, day in zip(history, days, strict=True)]
        scores, eov = self.score([{"age": age, "sex": sex, "history": visits, "text": text}])
        probabilities = self.rule.probabilities(scores, eov)[0]
        threshold = self.rule.thresholds(eov)[0]
        known = {code for codes in history for code in codes}
        order = np.argsort(-scores[0], kind="stable")[:top]
        return [
            RankedCode(
                code=self.candidates[column],
                definition=self.definitions[self.candidates[column]],
                score=float(scores[0, column]),
                probability=float(probabilities[column]),
                predicted=bool(scores[0, column] > threshold),
                known=self.candidates[column] in known,
            )
            for column in order
        ]
