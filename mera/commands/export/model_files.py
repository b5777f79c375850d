"""The files that an export takes along: by name, so that what is not listed here stays behind and is named."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mera.language_models.licences import is_hub_name
from mera.runs.fitted_contents import ARRAYS, SETTINGS, read_contents
from mera.system.errors import UserError
from mera.system.terminal import as_json

WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
FILES = frozenset(
    {
        *("config.json", "generation_config.json", "chat_template.jinja"),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
        *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
        *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "router_config.json"),
        *("code_tokens.json", "memorized.json", "ranking.json", "recurrence.npy", "wide.safetensors", "rules.parquet"),
        *("verification.json", "verification.safetensors", "bi_encoder.json", "label_attention.safetensors"),
    }
)
"""What a checkpoint may hold: weights, tokenizer, settings, candidates. None has a row of a patient."""
FITTED = ("ranking.json", "rules.parquet", SETTINGS, ARRAYS)
"""What a baseline keeps."""
MODULES = re.compile(r"(query_|document_)?\d+_[A-Za-z]+")
"""Folders of the parts of a sentence-transformers model."""
CARD, INDEX, FITTED_FOLDER = "README.md", "index", "fitted"
LEFT_OUT = (CARD, INDEX)
"""Of a checkpoint: the card is written anew, an index of an ontology is made again by the first search."""
PATHS = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "task_fingerprint", "task", "output")
"""Keys of settings that say where something lay, or which rows they were."""
FROM_NAMES_ALONE = "BM25"
"""The kind of baseline whose lists of words are of codes' names, and of no note."""
LISTS_OF_NOTES = ("phrases", "words", "letters")


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    left_behind: list[str]
    """Files that are not known to be safe, by their names."""
    totals: list[str]
    """Files that hold totals over training patients."""
    words_of_notes: list[str]
    """Files that hold words of training notes, or vectors of such."""


def copy_checkpoint(checkpoint: Path, to: Path) -> Copied:
    left_behind = []
    for path in sorted(path for path in checkpoint.rglob("*") if not path.is_dir()):
        name = path.relative_to(checkpoint)
        if name.parts[0] in LEFT_OUT:
            continue
        if path.is_symlink() or not _is_known(name):
            left_behind.append(str(name))
            continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json", "code_tokens.json"):
            settings = without_paths(json.loads(path.read_text(encoding="utf-8")))
            (to / name).write_text(as_json(settings), encoding="utf-8")
        else:
            shutil.copyfile(path, to / name)
    totals = [name for name in ("wide.safetensors", "recurrence.npy") if (to / name).is_file()]
    return Copied(left_behind=left_behind, totals=totals, words_of_notes=[])


def copy_index(run: Path, to: Path) -> list[str]:
    """The vectors of a bi-encoder's candidates; the files with those of phrases of notes."""
    index = run / "index" / "codes.safetensors"
    if not index.is_file():
        raise UserError(f"{run} has no {index.relative_to(run)}, which the model ranks by; train it again")
    (to / INDEX).mkdir()
    shutil.copyfile(index, to / INDEX / index.name)
    return [f"{INDEX}/"] if spans_per_code(run) else []


def copy_fitted(run: Path, to: Path) -> Copied:
    """What a baseline was fitted to. Raises UserError where it reads an encoder that lies elsewhere."""
    folder = run / FITTED_FOLDER
    encoder = read_contents(folder).settings.get("encoder")
    if isinstance(encoder, str) and not encoder.startswith("package:") and not is_hub_name(encoder):
        raise UserError(
            f"{run} reads an encoder that lies outside its folder, {Path(encoder).name}; export cannot take it"
        )
    (to / FITTED_FOLDER).mkdir()
    for name in FITTED:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / FITTED_FOLDER / name)
    left_behind = [path.name for path in sorted(folder.iterdir()) if path.name not in FITTED]
    words = [f"{FITTED_FOLDER}/"] if keeps_words_of_notes(run) else []
    return Copied(left_behind=left_behind, totals=[f"{FITTED_FOLDER}/"], words_of_notes=words)


def keeps_words_of_notes(run: Path) -> bool:
    """Of a baseline."""
    contents = read_contents(run / FITTED_FOLDER)
    return contents.text("kind") != FROM_NAMES_ALONE and any(contents.lists.get(name) for name in LISTS_OF_NOTES)


def spans_per_code(run: Path) -> int:
    """By how many phrases of training notes a bi-encoder compares each code."""
    record = run / "checkpoint" / "bi_encoder.json"
    return int(json.loads(record.read_text(encoding="utf-8")).get("spans_per_code", 0)) if record.is_file() else 0


def without_paths(settings: object) -> object:
    """Settings without the keys that say where something lay on this machine."""
    if isinstance(settings, dict):
        return {key: without_paths(value) for key, value in settings.items() if key not in PATHS}
    return [without_paths(value) for value in settings] if isinstance(settings, list) else settings


def recipe_without_paths(config: Mapping[str, object]) -> dict[str, object]:
    """A run's configuration without its task and output, and with the last name of each other path."""
    return {key: _without_folders(value) for key, value in config.items() if key not in PATHS}


def shortened(path: str) -> str:
    """The last name of a path, with its folder's where it is a checkpoint; other texts as they are."""
    if "/" not in path or path.startswith("package:") or is_hub_name(path):
        return path
    *_, parent, name = ["", *Path(path).parts]
    return f"{parent}/{name}" if name == "checkpoint" and parent not in ("", "/") else name


def _without_folders(value: object) -> object:
    if isinstance(value, dict):
        return recipe_without_paths(value)
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return shortened(value) if isinstance(value, str) else value


def _is_known(name: Path) -> bool:
    in_module = len(name.parts) == 1 or (len(name.parts) == 2 and MODULES.fullmatch(name.parts[0]) is not None)
    return in_module and (name.name in FILES or WEIGHTS.fullmatch(name.name) is not None)
