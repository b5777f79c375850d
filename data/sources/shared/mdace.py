"""MDACE (Cheng et al. 2023, ACL): evidence that medical coders marked in notes of MIMIC-III, one JSON file a chart.

A chart names its admission (`hadm_id`) and notes (`note_id`, ROW_ID of NOTEEVENTS), each with annotations: a code, its
system, and the characters from `begin` to before `end` of the note as NOTEEVENTS has it. The files hold no text.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.codes.code_columns import DroppedCode, Resolve
from data.cohorts.cohort import Evidence
from data.ledger import Ledger
from data.ontology import UnknownCode
from data.table_files import meanings
from data.table_files.stored_files import InputFile
from mera.system.errors import UserError

CODE_SYSTEM = "ICD-9-CM"
"""Of the annotations that are taken; MIMIC-III has no other diagnoses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """A code as written, and the characters `[begin, end)` of its note that speak for it."""

    code: str
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NotePlace:
    """Where a note of MIMIC-III went."""

    admission_id: str
    offset: int
    """Where its text begins in that of the admission."""
    cut_before: int
    """Characters of space in front of it that were cut off."""
    length: int
    """Of what is left of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mdace:
    """The annotations of a folder of charts."""

    of_note: Mapping[str, Sequence[Annotation]] = field(default_factory=dict)
    """note id -> its annotations."""
    file: InputFile

    def evidence(self, places: Mapping[str, NotePlace], resolve: Resolve, ledger: Ledger) -> dict[str, list[Evidence]]:
        """admission id -> its evidence in the text of the admission, in order.

        `places`: of the annotated notes that are in a text. What has no place, no known code, or lies outside its note
        is counted.
        """
        evidence: dict[str, set[Evidence]] = defaultdict(set)
        for note, annotations in self.of_note.items():
            place = places.get(note)
            if place is None:
                ledger.change("evidence in a note that is not in the text, left out", len(annotations))
                continue
            for each in annotations:
                begin, end = each.begin - place.cut_before, each.end - place.cut_before
                if not 0 <= begin < end <= place.length:
                    ledger.change("evidence without a place in its text left out")
                    continue
                try:
                    codes = resolve(each.code).codes
                except (UnknownCode, DroppedCode):
                    ledger.change("evidence for a code that no edition knows, left out")
                    continue
                evidence[place.admission_id] |= {(code, place.offset + begin, place.offset + end) for code in codes}
        return {name: sorted(spans, key=lambda span: (span[1], span[2], span[0])) for name, spans in evidence.items()}


def read_mdace(folder: str | Path, ledger: Ledger) -> Mdace:
    """The annotations of CODE_SYSTEM in all JSON files below `folder`; others are counted.

    Raises FileNotFoundError or UserError naming the file where there is none, or it is no chart of MDACE.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob("*.json")) if folder.is_dir() else []
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .json file; --evidence must name the folder of MDACE's charts")
    digest = hashlib.sha256()
    of_note: dict[str, list[Annotation]] = defaultdict(list)
    for path in paths:
        stored = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {hashlib.sha256(stored).hexdigest()}\n".encode())
        for note, system, annotation in _annotations(path, stored):
            if system.upper() == CODE_SYSTEM:
                of_note[note].append(annotation)
            else:
                ledger.change(f"evidence for a code that is not {CODE_SYSTEM}, left out")
    if not of_note:
        raise UserError(f"{folder} holds no evidence for codes of {CODE_SYSTEM}; take MDACE's folder ICD-9")
    return Mdace(of_note=of_note, file=InputFile(file_name=f"{folder.name}/", sha256=digest.hexdigest()))


def _annotations(path: Path, stored: bytes) -> Iterator[tuple[str, str, Annotation]]:
    """Note id, code system and annotation."""
    try:
        for note in json.loads(stored.decode("utf-8"))["notes"]:
            note_id = str(note["note_id"]).strip()
            for each in note["annotations"]:
                annotation = Annotation(code=str(each["code"]), begin=int(each["begin"]), end=int(each["end"]))
                yield meanings.whole_number(note_id) or note_id, str(each["code_system"]), annotation
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{path} is no chart of MDACE: notes with note_id and annotations of code, code_system, begin and end"
        ) from None
