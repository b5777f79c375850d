"""Unlabelled notes: the texts of a file, in pieces of tokens, some of them held out."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from bi_encoder.inputs.windows import tokenize_windows
from data.table_files.text_tables import read_text_table
from mera.system.errors import UserError

JSON_SUFFIXES = (".jsonl", ".ndjson")
FEWEST_NOTES = 2
"""One to train on, one to hold out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notes:
    texts: list[str]
    num_empty: int
    """Rows without a text, left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """Token ids of pieces of notes, with the tokens that the tokenizer adds around a text."""

    training: list[list[int]]
    held_out: list[list[int]]
    """Of other notes."""


def read_notes(path: str | Path, column: str) -> Notes:
    """The notes of a JSONL file (also .gz), a CSV or a Parquet file.

    Raises FileNotFoundError where there is no such file, and UserError, naming the line, where one is no object with a
    text in `column`, and where fewer than FEWEST_NOTES have a text.
    """
    path = Path(path)
    if path.name.removesuffix(".gz").endswith(JSON_SUFFIXES):
        values = json_column(path, column)
    else:
        values = read_text_table(path, {column: column}).rows[column].to_list()
    texts = [value for value in values if value is not None and value.strip()]
    if len(texts) < FEWEST_NOTES:
        raise UserError(
            f"{path} has {len(texts)} rows with a text in {column}, of {len(values)}; an adaptation needs at least "
            f"{FEWEST_NOTES}"
        )
    return Notes(texts=texts, num_empty=len(values) - len(texts))


def json_column(path: Path, column: str) -> list[str | None]:
    """The field `column` of each line of a JSONL file, which may be packed. Raises UserError as `read_notes` does."""
    stored = path.read_bytes()
    values: list[str | None] = []
    try:
        lines = (gzip.decompress(stored) if path.suffix == ".gz" else stored).decode("utf-8").split("\n")
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise UserError(f"{path} is no JSONL file in UTF-8: {type(error).__name__}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"line {number} of {path} is no JSON: {error.msg}") from None
        if not isinstance(row, dict) or column not in row:
            raise UserError(f"line {number} of {path} has no field {column}; every line needs it, if only as null")
        value = row[column]
        if not isinstance(value, str | None):
            raise UserError(f"line {number} of {path} has no text in {column}, but {type(value).__name__}")
        values.append(value)
    return values


def split_into_pieces(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int, held_out: float, seed: int
) -> Pieces:
    """Each note in pieces of at most `max_tokens`, without overlap; a share `held_out` of the notes, at least one and
    not all, is held out."""
    windows = tokenize_windows(tokenizer, texts, max_tokens, overlap=0)
    number = min(max(1, round(held_out * len(texts))), len(texts) - 1)
    out = set(np.random.default_rng(seed).permutation(len(texts))[:number].tolist())
    return Pieces(
        training=[piece for row, pieces in enumerate(windows) if row not in out for piece in pieces],
        held_out=[piece for row, pieces in enumerate(windows) if row in out for piece in pieces],
    )
