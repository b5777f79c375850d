"""A patient as the language model reads it: `67 F <visit> 120 <428.0><401.9> <visit> 14 <584.9> <next>`.

Codes are single tokens, definitions, or both (`prompt.history`); the number after `<visit>` is the days before the
target visit. After `<next>` the first output token's distribution ranks the codes.

Notes, and all else that is written in words, are plain text: a note that says `<next>` or `<428.0>` adds no marker and
no code (mera/language_models/plain_text.py).

Notes of past visits (`prompt.past_note_tokens`) stand behind the codes of their visit: `<visit> 14 <584.9> Admitted for
...`. Codes go before notes: notes get what room the visits' codes leave, so that no visit is lost to a note. The newest
note is read first; the one that no longer fits is cut at its end, and the older ones are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from data.task_folder.features import PatientRow, VisitRow
from mera.language_models.code_tokens import MARKERS, NEXT, VISIT, code_token, marker_id
from mera.language_models.plain_text import PlainText
from rank.config import PromptConfig


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: list[int]
    visits: list[list[int]]
    """for each visit, where in `ids` its codes begin and the last one ends: n + 1 places for n codes"""
    lost_visits: int = 0
    """oldest visits that did not fit"""
    lost_text_tokens: int = 0
    """tokens at the note's end that did not fit"""
    read_notes: int = 0
    """notes of past visits of which something is read"""
    cut_notes: int = 0
    """among them, those whose end did not fit: at most one"""
    lost_notes: int = 0
    """notes of past visits of which nothing is read"""
    plain_codes: int = 0
    """codes that the model has no token (or, written out, no definition) for: they stand there as plain text"""


class PromptBuilder:
    """Turns rows of a prepared task into prompts; keeps the ids of what it writes often."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: PromptConfig, definitions: Mapping[str, str]):
        """`definitions`: of the codes that have a token, and perhaps of others."""
        self.tokenizer, self.config, self.definitions = tokenizer, config, definitions
        self._visit, self._next = marker_id(tokenizer, VISIT), marker_id(tokenizer, NEXT)
        self._text = PlainText(tokenizer, definitions)
        added = tokenizer.get_added_vocab()
        self._code_ids = {
            code: added[code_token(code)]
            for code in definitions
            if code_token(code) in added and code_token(code) not in MARKERS
        }
        self._text_ids: dict[str, list[int]] = {}

    def build(self, row: PatientRow) -> Prompt:
        """`row` has `age`, `sex`, `history` (visits with `codes`, `days_before`, perhaps `text`) and `text`, each
        possibly null.

        A code that the model does not know is written as plain text, so that nothing of the history is lost.
        """
        start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        if self.config.demographics:
            demographics = [str(value) for value in (row["age"], row["sex"]) if value is not None]
            start = start + self._encode(" ".join(demographics))
        note = self._text.ids(row["text"]) if row["text"] else []
        read_note = note[: self.config.max_text_tokens]
        room = self.config.max_tokens - len(start) - len(read_note) - 1
        read_visits, lost = [], 0
        for visit in reversed(row["history"] or []):
            pieces = self._visit_pieces(visit)
            length = sum(map(len, pieces))
            if lost or length > room:
                lost += 1
                continue
            room -= length
            read_visits.append(pieces)
        past_notes, cut_notes, lost_notes = self._past_notes(row["history"] or [], len(read_visits), room)
        ids, places = [*start, *read_note], []
        for (opening, *codes), past_note in zip(reversed(read_visits), reversed(past_notes), strict=True):
            ids += opening
            places.append([len(ids)])
            for code in codes:
                ids += code
                places[-1].append(len(ids))
            ids += past_note
        plain = sum(self._is_plain(code) for visit in row["history"] or [] for code in dict.fromkeys(visit["codes"]))
        return Prompt(
            ids=[*ids, self._next],
            visits=places,
            lost_visits=lost,
            lost_text_tokens=len(note) - len(read_note),
            read_notes=sum(map(bool, past_notes)),
            cut_notes=cut_notes,
            lost_notes=lost_notes,
            plain_codes=plain,
        )

    def _past_notes(self, history: Sequence[VisitRow], num_visits: int, room: int) -> tuple[list[list[int]], int, int]:
        """What is read of the note of each of the `num_visits` latest visits, newest first; notes cut, notes left out.

        Notes that nothing is read of are not even tokenized.
        """
        read: list[list[int]] = [[] for _ in range(num_visits)]
        cut = lost = 0
        if not self.config.past_note_tokens:
            return read, cut, lost
        left = max(0, min(self.config.past_note_tokens, room))
        for place, visit in enumerate(reversed(history)):
            text = (visit.get("text") or "").strip()
            if place < num_visits and left and text:
                note = self._text.ids(text)
                read[place] = note[:left]
                cut += len(note) > left
                left -= len(read[place])
            elif text:
                lost += 1
        return read, cut, lost

    def _visit_pieces(self, visit: VisitRow) -> list[list[int]]:
        """The tokens that open a visit, then those of each code; a code that is repeated is written once."""
        days = visit["days_before"]
        opening = [self._visit] + (self._encode(str(days)) if self.config.days and days is not None else [])
        return [opening, *map(self._written, dict.fromkeys(visit["codes"]))]

    def _written(self, code: str) -> list[int]:
        definition = self.definitions.get(code, code)
        if self.config.history == "definitions":
            return self._encode(f"{definition};")
        token = [self._code_ids[code]] if code in self._code_ids else self._encode(code_token(code))
        return token if self.config.history == "codes" else token + self._encode(f" {definition}")

    def _is_plain(self, code: str) -> bool:
        return code not in (self.definitions if self.config.history == "definitions" else self._code_ids)

    def _encode(self, text: str) -> list[int]:
        if text not in self._text_ids:
            self._text_ids[text] = self._text.ids(text)
        return self._text_ids[text]


def reading_sentences(prompts: Sequence[Prompt], name: str, past_note_tokens: int) -> list[str]:
    """What of the rows called `name` did not fit into their prompts, was cut, or is no code of the model's, in counts
    only: a sentence each, none where there is nothing to say. `past_note_tokens` as in the prompts' configuration."""
    sentences = []
    lost_visits = sum(prompt.lost_visits for prompt in prompts)
    cut_texts = sum(prompt.lost_text_tokens > 0 for prompt in prompts)
    if lost_visits or cut_texts:
        sentences.append(
            f"{name}: {lost_visits} oldest visits and the ends of {cut_texts} notes did not fit into the prompt"
        )
    read, cut, lost = (
        sum(getattr(prompt, count) for prompt in prompts) for count in ("read_notes", "cut_notes", "lost_notes")
    )
    if read or lost:
        sentences.append(
            f"{name}: of {read + lost} notes of past visits, {read - cut} are read whole, {cut} without their ends and "
            f"{lost} not at all (prompt.past_note_tokens {past_note_tokens})"
        )
    plain_codes = sum(prompt.plain_codes for prompt in prompts)
    if plain_codes:
        sentences.append(
            f"{name}: {plain_codes} codes of the histories are not among the model's (no training visit has them) and "
            "were read as plain text"
        )
    return sentences
