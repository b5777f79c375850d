"""`mera search --task`: the candidates of a task and no others, by the names that the task has."""

import json

import numpy as np
import polars as pl
import pytest
from ready_python import run_ready
from small_note_run import make_note_run
from tiny_task import make_tiny_task

from bi_encoder.inputs.code_names import all_names
from bi_encoder.search.search_index import open_model
from bi_encoder.search.task_search import open_task_index, task_index_path, task_word_search
from data.task_folder.book_parts import TERM_SCHEMA
from mera.root import ROOT


def terms(word):
    return pl.DataFrame([("I50.9", word, "en", "index")], TERM_SCHEMA, orient="row")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("task_search")


@pytest.fixture(scope="module")
def task(folder):
    return make_tiny_task(folder / "task", kind="coding", terms=terms("tired ticker"), outside=["J18.9"])


@pytest.fixture(scope="module")
def run(task, folder):
    return make_note_run(task, folder / "run")


def test_by_words_with_the_tasks_own_names(task):
    words = task_word_search(task)
    found = words.search("a tired ticker", top=3)
    assert (found[0].code, found[0].term) == ("I50.9", "tired ticker")
    assert "J18.9" not in words.codes
    assert words.codes == task.codes


def test_the_index_is_kept_and_not_used_for_other_names(task, run, folder):
    model, record = open_model(str(run))
    path = task_index_path(str(run), task)
    assert path.parent == run / "checkpoint" / "index"
    built = open_task_index(path, model, record, task)
    assert np.array_equal(open_task_index(path, model, record, task).embeddings, built.embeddings)
    assert built.codes == task.codes
    assert "tired ticker" in built.texts
    assert set(built.texts) <= {name for names in all_names(task) for name in names}
    other = make_tiny_task(folder / "other", kind="coding", terms=terms("weary pump"), outside=["J18.9"])
    assert task_index_path(str(run), other) != path
    with pytest.raises(ValueError, match="is not that of this task; choose another --index"):
        open_task_index(path, model, record, other)


def search(*arguments):
    return run_ready(["-m", "mera.cli", "search", *arguments], cwd=ROOT)


def test_the_command(task, run):
    for more in ([], ["--model", run]):
        done = search("tired ticker, pneumonia", "--task", task.path, "--json", "--top", 40, *more)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        codes = [code["code"] for code in answer["codes"]]
        assert answer["task"] == str(task.path)
        assert "I50.9" in codes
        assert set(codes) <= set(task.codes)
        assert len(codes) == (len(task.codes) if more else len(set(codes)))
    refused = search("pneumonia", "--task", task.path, "--codes", "all")
    assert refused.returncode == 1
    assert "--task has its own codes and their names; leave --codes out" in refused.stderr
