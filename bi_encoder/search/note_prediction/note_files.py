"""What `mera predict` writes of notes: ranked codes with the evidence of each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import polars as pl
from rich.table import Table

from bi_encoder.search.note_prediction.note_ranker import RankedNoteCode
from bi_encoder.search.output import highlighted
from mera.system.private_files import private_output
from mera.system.terminal import as_json, plain_console

SUFFIXES = (".json", ".parquet", ".csv")


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedNote:
    codes: list[RankedNoteCode]
    note: str | None = None
    """What the evidence counts characters of."""
    names: dict[str, str]
    """Column -> value: `patient_id` of a table, `example_id` of a task; empty for a note of the command line."""
    targets: Sequence[str] | None = None
    """The true codes, where they are known."""


class CodeRecord(TypedDict):
    """A ranked code in JSON; the evidence is characters `[start, end)` of the note, and their share of attention."""

    place: int
    code: str
    definition: str
    score: float
    probability: float | None
    predicted: bool
    evidence: list[dict[str, float]]
    known: NotRequired[bool]
    """in the history, where there is one"""
    target: NotRequired[bool]
    """true, where that is known"""


def records(ranked: RankedNote) -> list[CodeRecord]:
    """The codes of one note as plain values, most likely first."""
    true = None if ranked.targets is None else set(ranked.targets)
    found = []
    for place, code in enumerate(ranked.codes, start=1):
        record = CodeRecord(
            place=place,
            code=code.code,
            definition=code.definition,
            score=code.score,
            probability=code.probability,
            predicted=code.predicted,
            evidence=[asdict(span) for span in code.evidence],
        )
        if code.known is not None:
            record["known"] = code.known
        if true is not None:
            record["target"] = code.code in true
        found.append(record)
    return found


def write_ranked_notes(path: str | Path, notes: Sequence[RankedNote]) -> None:
    """JSON: an object for each note. Parquet and CSV: a row for each note and code; evidence as `start-end` in
    characters, joined by `; `. The file is complete or absent, and its owner's alone."""
    with private_output(path, SUFFIXES) as beside:
        if Path(path).suffix == ".json":
            values = [note.names | {"codes": records(note)} for note in notes]
            beside.write_text(as_json({"examples": values}), encoding="utf-8")
        else:
            rows = [
                note.names
                | {**record}
                | {"evidence": "; ".join(f"{span['start']:.0f}-{span['end']:.0f}" for span in record["evidence"])}
                for note in notes
                for record in records(note)
            ]
            table = pl.DataFrame(rows, infer_schema_length=None)
            table.write_csv(beside) if Path(path).suffix == ".csv" else table.write_parquet(beside)


def print_ranked_note(ranked: RankedNote) -> None:
    """A table in the terminal, the evidence in the words around it."""
    console = plain_console()
    has_evidence = any(code.evidence for code in ranked.codes)
    table = Table("", "code", "definition", "probability", "predicted", *(["evidence"] if has_evidence else []))
    for place, code in enumerate(ranked.codes, start=1):
        shown = [highlighted(ranked.note or "", list(code.evidence), console.is_terminal)] if has_evidence else []
        probability = "-" if code.probability is None else f"{code.probability:.1%}"
        table.add_row(str(place), code.code, code.definition, probability, "yes" if code.predicted else "", *shown)
    console.print(table)
