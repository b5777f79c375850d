"""A patient as the language model reads it: `67 F <visit> 120 <428.0><401.9> <visit> 14 <584.9> <next>`.

Codes are single tokens, definitions, or both (`prompt.history`); the number after `<visit>` is the days before the
target visit. After `<next>` the first output token's distribution ranks the codes.

Notes, and all else that is written in words, are plain text: a note that says `<next>` or `<428.0>` adds no marker and
no code (mera/language_models/plain_text.py).

Events of a visit (procedures, drugs, abnormal labs: `mera prepare --events`) stand behind its codes, one token each:
`<visit> 14 <584.9><drug:furosemide><lab:50912:high>`. Of each visit at most `prompt.max_events` are read, the rarest in
training first: what most patients get says least of one. They get the room that the visits' codes leave, the newest
visit first, so that neither a visit nor a code is lost to them.

Notes of past visits (`prompt.past_note_tokens`) stand behind the codes of their visit: `<visit> 14 <584.9> Admitted for
...`. Codes and events go before notes: notes get what room is left, so that no visit is lost to a note. The newest note
is read first; the one that no longer fits is cut at its end, and the older ones are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from data.task_folder.features import PatientRow, VisitRow
from mera.language_models.code_tokens import MARKERS, NEXT, VISIT, code_token, marker_id
from mera.language_models.plain_text import PlainText
from rank.config import PromptConfig
from rank.patients.visit_events import events_of

MOST_KEPT = 100_000
"""Texts whose ids are kept: codes, definitions, days. A server reads for weeks."""
TOO_SHORT = "shorter than one visit (prompt.max_tokens)"


@dataclass(frozen=True, slots=True)
class Prompt:
    ids: list[int]
    visits: list[list[int]]
    """for each visit, where in `ids` its codes begin and the last one ends: n + 1 places for n codes"""
    events: list[list[int]] = field(default_factory=list)
    """the same of each visit's events; empty where the model reads none"""
    lost_visits: int = 0
    """oldest visits that did not fit"""
    lost_codes: int = 0
    """codes of the newest visit, where it alone did not fit: the last ones"""
    lost_text_tokens: int = 0
    """tokens at the note's end that did not fit"""
    read_notes: int = 0
    """notes of past visits of which something is read"""
    cut_notes: int = 0
    """among them, those whose end did not fit: at most one"""
    lost_notes: int = 0
    """notes of past visits of which nothing is read"""
    lost_events: int = 0
    """events of the history that the model knows and does not read: beyond max_events, or without room"""
    plain_codes: int = 0
    """codes that the model has no token (or, written out, no definition) for: they stand there as plain text"""


class PromptBuilder:
    """Turns rows of a prepared task into prompts; keeps the ids of what it writes often."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PromptConfig,
        definitions: Mapping[str, str],
        events: Mapping[str, str] | None = None,
    ):
        """`definitions`: of the codes that have a token, and perhaps of others; `events`: event -> name of those that
        have one, the rarest in training first."""
        self.tokenizer, self.config, self.definitions = tokenizer, config, definitions
        self._visit, self._next = marker_id(tokenizer, VISIT), marker_id(tokenizer, NEXT)
        self.events = {} if events is None or not config.max_events else dict(events)
        self._event_columns = {event: number for number, event in enumerate(self.events)}
        self._text = PlainText(tokenizer, (*definitions, *self.events))
        added = tokenizer.get_added_vocab()
        self._code_ids = {
            code: added[code_token(code)]
            for code in definitions
            if code_token(code) in added and code_token(code) not in MARKERS
        }
        self._event_ids = [self._event_written(event, name, added) for event, name in self.events.items()]
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
        room = self.config.max_tokens - len(start) - 1
        read_note = note[: max(0, min(self.config.max_text_tokens, room))]
        room -= len(read_note)
        read_visits: list[list[list[int]]] = []
        lost_visits = lost_codes = 0
        for visit in reversed(row["history"] or []):
            pieces = self._visit_pieces(visit)
            fitting = [] if lost_visits or lost_codes else _fitting(pieces, room)
            if len(fitting) < len(pieces) and (read_visits or len(fitting) < 2):
                lost_visits += 1
                continue
            lost_codes += len(pieces) - len(fitting)
            room -= sum(map(len, fitting))
            read_visits.append(fitting)
        events, lost_events, room = self._visit_events(row["history"] or [], len(read_visits), room)
        past_notes, cut_notes, lost_notes = self._past_notes(row["history"] or [], len(read_visits), room)
        ids, places, event_places = [*start, *read_note], [], []
        for (opening, *codes), of_visit, past_note in zip(
            reversed(read_visits), reversed(events), reversed(past_notes), strict=True
        ):
            ids += opening
            places.append(_put(codes, ids))
            event_places.append(_put(of_visit, ids))
            ids += past_note
        plain = sum(self._is_plain(code) for visit in row["history"] or [] for code in dict.fromkeys(visit["codes"]))
        return Prompt(
            ids=[*ids, self._next],
            visits=places,
            events=event_places if self.events else [],
            lost_visits=lost_visits,
            lost_codes=lost_codes,
            lost_text_tokens=len(note) - len(read_note),
            read_notes=sum(map(bool, past_notes)),
            cut_notes=cut_notes,
            lost_notes=lost_notes,
            lost_events=lost_events,
            plain_codes=plain,
        )

    def _visit_events(
        self, history: Sequence[VisitRow], num_visits: int, room: int
    ) -> tuple[list[list[list[int]]], int, int]:
        """What is read of the events of each of the `num_visits` latest visits, newest first; events that are not read;
        the tokens of `room` that are left."""
        read: list[list[list[int]]] = [[] for _ in range(num_visits)]
        lost = 0
        for place, visit in enumerate(reversed(history)):
            for number in events_of(visit, self._event_columns):
                ids = self._event_ids[number]
                if place < num_visits and len(read[place]) < self.config.max_events and len(ids) <= room:
                    read[place].append(ids)
                    room -= len(ids)
                else:
                    lost += 1
        return read, lost, room

    def _event_written(self, event: str, name: str, added: Mapping[str, int]) -> list[int]:
        if self.config.history == "definitions":
            return self._text.ids(f"{name};")
        token = [added[code_token(event)]]
        return token if self.config.history == "codes" else token + self._text.ids(f" {name}")

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
        if text in self._text_ids:
            return self._text_ids[text]
        ids = self._text.ids(text)
        if len(self._text_ids) < MOST_KEPT:
            self._text_ids[text] = ids
        return ids


def _fitting(pieces: Sequence[list[int]], room: int) -> list[list[int]]:
    """The first of `pieces` that have no more than `room` tokens together."""
    ends = accumulate(map(len, pieces))
    return [piece for piece, end in zip(pieces, ends, strict=True) if end <= room]


def _put(pieces: Sequence[Sequence[int]], ids: list[int]) -> list[int]:
    """Append `pieces` to `ids`; where they begin and the last one ends: n + 1 places for n of them."""
    places = [len(ids)]
    for piece in pieces:
        ids += piece
        places.append(len(ids))
    return places


def reading_sentences(prompts: Sequence[Prompt], name: str, past_note_tokens: int) -> list[str]:
    """What of the rows called `name` did not fit into their prompts or was cut, in counts only: a sentence each, none
    where there is nothing to say. `past_note_tokens` as in the prompts' configuration."""
    sentences = []
    lost_visits, lost_codes = (
        sum(getattr(prompt, count) for prompt in prompts) for count in ("lost_visits", "lost_codes")
    )
    cut_texts = sum(prompt.lost_text_tokens > 0 for prompt in prompts)
    if lost_visits or cut_texts:
        sentences.append(
            f"{name}: {lost_visits} oldest visits and the ends of {cut_texts} notes did not fit into the prompt"
        )
    if lost_codes:
        sentences.append(
            f"{name}: {lost_codes} codes of newest visits did not fit into the prompt, which is {TOO_SHORT}"
        )
    read, cut, lost = (
        sum(getattr(prompt, count) for prompt in prompts) for count in ("read_notes", "cut_notes", "lost_notes")
    )
    if read or lost:
        sentences.append(
            f"{name}: of {read + lost} notes of past visits, {read - cut} are read whole, {cut} without their ends and "
            f"{lost} not at all (prompt.past_note_tokens {past_note_tokens})"
        )
    read_events = sum(len(places) - 1 for prompt in prompts for places in prompt.events)
    lost_events = sum(prompt.lost_events for prompt in prompts)
    if lost_events:
        sentences.append(
            f"{name}: of {read_events + lost_events} events of past visits, {read_events} are read and {lost_events} "
            "are not (prompt.max_events a visit, in the room that the codes leave)"
        )
    return sentences


def plain_code_sentences(prompts: Sequence[Prompt], name: str) -> list[str]:
    """How many codes of the rows called `name` are read as plain text; none where all have tokens."""
    number = sum(prompt.plain_codes for prompt in prompts)
    if not number:
        return []
    return [f"{name}: {number} codes of the histories have no token, as they are no candidates: read as plain text"]
