"""BM25 and the retrieval baselines: against the formula word by word, best sentences, and the runs they write."""

import math
import os
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from ready_python import run_ready
from small_encoder import make_encoder, save_plain
from tiny_task import make_tiny_task

from bi_encoder.baselines import name_models
from bi_encoder.baselines.bm25 import Bm25
from bi_encoder.baselines.name_models import best_sentence_scores
from bi_encoder.baselines.retrieval_baselines import bm25, untrained_encoder
from bi_encoder.index.words import sentences
from bi_encoder.inputs.texts import tokenizer_texts
from bi_encoder.search.search_index import open_model
from mera.evaluation.metrics import mean_average_precision
from mera.root import ROOT
from mera.runs.other_splits.validation_scores import read_validation
from mera.runs.predictions import read_predictions

DOCUMENTS = ["Heart failure, unspecified", "Acute heart heart failure of the left heart", "Anemia", "Type 2 diabetes"]
VIEWS = ("whole text", "best sentence")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=80)


@pytest.fixture(scope="module")
def encoder_folder(task, tmp_path_factory):
    return save_plain(make_encoder(tokenizer_texts(task)), tmp_path_factory.mktemp("models") / "plain")


def words(text):
    return [word for word in re.findall(r"\b\w\w+\b", text.lower()) if word not in ("of", "the", "with")]


def formula(query, document, documents, k1=1.5, b=0.75):
    lengths = [len(words(text)) for text in documents]
    counts, total = Counter(words(document)), 0.0
    for word in set(words(query)):
        having = sum(word in words(text) for text in documents)
        idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        damping = k1 * (1 - b + b * len(words(document)) / (sum(lengths) / len(lengths)))
        total += idf * counts[word] * (k1 + 1) / (counts[word] + damping)
    return total


def test_scores_equal_the_formula_word_by_word():
    queries = ["HEART failure with the heart", "diabetes 2", "nothing known", ""]
    found = Bm25(DOCUMENTS).scores(queries)
    expected = [[formula(query, document, DOCUMENTS) for document in DOCUMENTS] for query in queries]
    assert found == pytest.approx(np.array(expected), rel=1e-5)
    assert found[0].argmax() == 1
    assert (found[2:] == 0).all()


def test_documents_without_a_word_are_refused():
    with pytest.raises(ValueError, match="none of the 2 documents has a word"):
        Bm25(["?", "a"])


def test_sentences_cover_the_text_and_are_never_none():
    assert sentences("Chest pain. No fever;\nCHF 2.5 mg\n\nStable") == [
        "Chest pain.",
        "No fever;",
        "CHF 2.5 mg",
        "Stable",
    ]
    assert sentences(" \n ") == [" \n "]


def test_the_best_sentence_is_the_maximum_over_a_texts_own_sentences():
    def score(texts):
        return np.array([[len(text), -len(text)] for text in texts], dtype=float)

    found = best_sentence_scores(score, ["One. Three is long.", "Two"])
    assert found.tolist() == [[14.0, -4.0], [3.0, -3.0]]


def test_the_best_sentences_of_blocks_of_texts_are_those_of_each_text(monkeypatch):
    asked = []

    def score(texts):
        asked.append(len(texts))
        return np.array([[len(text), -len(text)] for text in texts], dtype=float)

    generator = np.random.default_rng(0)
    texts = [". ".join(["Ab" * n for n in generator.integers(1, 9, size)]) + "." for size in (1, 7, 2, 40, 3, 3, 1)]
    expected = np.concatenate([best_sentence_scores(score, [text]) for text in texts])
    monkeypatch.setattr(name_models, "SENTENCES_AT_ONCE", 5)
    asked.clear()
    np.testing.assert_array_equal(best_sentence_scores(score, texts), expected)
    assert (sum(asked), max(asked)) == (57, 43), "few sentences together, but all of a text"


def test_bm25_finds_codes_by_their_words(task):
    ranking = bm25(task)
    targets = task.targets("test")
    generator = np.random.default_rng(0)
    by_chance = mean_average_precision(generator.random(targets.shape), targets)
    assert ranking.test.shape == targets.shape
    assert mean_average_precision(ranking.test, targets) > by_chance + 0.3
    views = ranking.chosen.validation_map
    chosen = views[f"{ranking.chosen.document}, {ranking.chosen.view}"]
    assert chosen.map == max(view.map for view in views.values())
    assert set(views) == {f"{document}, {view}" for document in ("all words", "best name") for view in VIEWS}
    measured = mean_average_precision(ranking.validation, task.targets("validation"))
    assert measured == pytest.approx(chosen.map)


def test_the_untrained_encoder_scores_cosines_plus_the_prior(task, encoder_folder):
    ranking = untrained_encoder(task, str(encoder_folder), open_model, max_query_tokens=64)
    prior = ranking.chosen.unit * ranking.chosen.prior.of_codes(task.train_counts)
    cosines = ranking.test - prior
    assert np.abs(cosines).max() <= 1 + 1e-5
    assert ranking.test.shape == task.targets("test").shape


def test_the_command_writes_runs_that_the_report_reads(task, encoder_folder, tmp_path):
    command = ["bi_encoder/run_retrieval_baselines.py", "--task", task.path, "--output", tmp_path]

    def start(*more):
        words = [*command, "--encoder", encoder_folder, "--max_query_tokens", "64", *more]
        return run_ready(words, cwd=ROOT, env=os.environ | {"HOME": str(tmp_path)})

    done = start()
    assert done.returncode == 0, done.stderr
    for name, model in {"bm25": "BM25", "untrained-encoder": "untrained encoder"}.items():
        run = read_predictions(tmp_path / name)
        assert (run.manifest["model"], run.manifest["kind"]) == (model, "baseline")
        assert np.isfinite(run.thresholds).all()
        chosen = run.manifest["config"]["chosen_on_validation"]
        assert chosen["view"] in VIEWS
        validation = read_validation(tmp_path / name)
        of_chosen = chosen["validation_map"][f"{chosen['document']}, {chosen['view']}"]["map"]
        assert mean_average_precision(validation.scores, validation.targets) == pytest.approx(of_chosen)
        assert {"map", "map_without_prior", "unseen_recall_at_20"} < set(next(iter(chosen["validation_map"].values())))
    shutil.rmtree(tmp_path / "untrained-encoder")
    again = start()
    assert again.returncode == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if line.startswith("finished")] == [
        f"finished before: {tmp_path / name}" for name in ("bm25", "dictionary", "words-and-letters", "phrase-trees")
    ]
    assert read_predictions(tmp_path / "dictionary").records["evidence"]["0"]
    assert (tmp_path / "untrained-encoder" / "predictions").is_dir()
    other = start("--max_query_tokens", "32")
    assert other.returncode == 1
    assert f"{tmp_path / 'untrained-encoder'} already exists and differs in max_query_tokens" in other.stderr
