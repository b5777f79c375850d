"""A patient as the language model reads it: `67 F <visit> 120 <428.0><401.9> <visit> 14 <584.9> <next>`.

Codes are single tokens; the number after `<visit>` is the days before the target visit. After `<next>` the first
output token's distribution ranks the codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from mera.code_tokens import NEXT, VISIT, code_token, marker_id
from rank.config import PromptConfig


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: list[int]
    lost_visits: int
    """oldest visits that did not fit"""
    lost_text_tokens: int
    """tokens at the note's end that did not fit"""


class PromptBuilder:
    """Turns rows of a prepared task into prompts; keeps the ids of what it writes often."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: PromptConfig):
        self.tokenizer, self.config = tokenizer, config
        self._visit, self._next = marker_id(tokenizer, VISIT), marker_id(tokenizer, NEXT)
        self._text_ids: dict[str, list[int]] = {}

    def build(self, row: dict[str, Any]) -> Prompt:
        """`row` has `age`, `sex`, `history` (visits with `codes`, `days_before`) and `text`, each possibly null.

        A code without a token of its own is written as plain text, so that nothing of the history is lost.
        """
        start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        if self.config.demographics:
            known = [str(value) for value in (row["age"], row["sex"]) if value is not None]
            start = start + self._encode(" ".join(known))
        note = self._encode(row["text"], keep=False) if row["text"] else []
        kept_note = note[: self.config.max_text_tokens]
        room = self.config.max_tokens - len(start) - len(kept_note) - 1
        kept_visits, lost = [], 0
        for visit in reversed(row["history"] or []):
            ids = self._visit_ids(visit)
            if lost or len(ids) > room:
                lost += 1
                continue
            room -= len(ids)
            kept_visits.append(ids)
        visits = [token for ids in reversed(kept_visits) for token in ids]
        return Prompt([*start, *kept_note, *visits, self._next], lost, len(note) - len(kept_note))

    def _visit_ids(self, visit: dict[str, Any]) -> list[int]:
        days = visit["days_before"]
        ids = [self._visit] + (self._encode(str(days)) if self.config.days and days is not None else [])
        for code in dict.fromkeys(visit["codes"]):
            ids += self._encode(code_token(code))
        return ids

    def _encode(self, text: str, keep: bool = True) -> list[int]:
        if text in self._text_ids:
            return self._text_ids[text]
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if keep:
            self._text_ids[text] = ids
        return ids


def build_prompts(builder: PromptBuilder, rows: Sequence[dict[str, Any]], name: str) -> list[list[int]]:
    """Prompts of all rows; says how much did not fit, in counts only."""
    prompts = [builder.build(row) for row in rows]
    lost_visits = sum(prompt.lost_visits for prompt in prompts)
    cut_notes = sum(prompt.lost_text_tokens > 0 for prompt in prompts)
    if lost_visits or cut_notes:
        print(f"{name}: {lost_visits} oldest visits and the ends of {cut_notes} notes did not fit into the prompt")
    return [prompt.ids for prompt in prompts]
