"""Searching the candidates of a prepared task, by what that task calls them."""

import hashlib
import json
from pathlib import Path

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.index.term_index import TermIndex
from bi_encoder.index.word_translation import learn_meanings
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import key_texts
from bi_encoder.model import BiEncoder
from bi_encoder.search.search_index import build_index, kept_at
from bi_encoder.search.word_search import WordSearch
from data.task import Task
from mera.system.errors import UserError


def task_word_search(task: Task) -> WordSearch:
    """By the words of the candidates' names: definitions, inclusion terms, and the terms of the task's code book."""
    index = TermIndex.build(all_names(task), learn_meanings(task.translations))
    return WordSearch(index, task.codes, key_texts(task))


def task_index_path(source: str, task: Task) -> Path:
    """Where the index of a task's candidates lies if nothing else is said: with the model's other indexes."""
    return kept_at(source, f"task-{_digest(task)[:12]}.safetensors")


def open_task_index(path: Path, model: BiEncoder, record: ModelRecord, task: Task) -> CodeIndex:
    """The index of the candidates at `path`, built and saved there first where there is none.

    Raises UserError where the one that is there is of another model or of other codes.
    """
    if path.is_file():
        index = CodeIndex.load(path, model_fingerprint=model.fingerprint(), codes=task.codes)
        if index.code_set != _code_set(task) or index.texts is None:
            raise UserError(f"the index {path} is not that of this task; choose another --index, or remove it")
        return index
    index = build_index(
        model,
        record,
        dict(zip(task.codes, key_texts(task), strict=True)),
        _code_set(task),
        progress="encoding the task's codes (once)",
        names=all_names(task),
    )
    index.save(path)
    return index


def _code_set(task: Task) -> str:
    return f"candidates of a task {_digest(task)}"


def _digest(task: Task) -> str:
    """Of the candidates and all their names: a task's fingerprint does not cover the terms of its code book."""
    return hashlib.sha256(json.dumps([task.codes, all_names(task)]).encode()).hexdigest()
