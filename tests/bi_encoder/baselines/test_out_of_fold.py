"""Scores of the training notes: each from what learnt of the other folds alone."""

import numpy as np
import pytest
from tiny_task import make_tiny_task

from bi_encoder import run_retrieval_baselines
from bi_encoder.baselines.phrases_and_words import dictionary, phrase_trees, words_and_letters
from bi_encoder.baselines.retrieval_baselines import bm25, out_of_fold_scores
from bi_encoder.inputs.texts import query_texts
from mera.evaluation.metrics import mean_average_precision
from mera.runs.other_splits.train_scores import read_train

FOLDS = 3


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=60)


def test_no_fold_is_learnt_from_when_it_is_scored(task):
    all_texts = [query.text for query in query_texts(task, "train")]
    patients = task.splits["train"]["patient_id"]
    asked = []

    def score(rows, texts):
        asked.append((rows, texts))
        return np.repeat([[float(all_texts.index(text))] for text in texts], len(task.codes), axis=1)

    scores = out_of_fold_scores(task, score, FOLDS)
    np.testing.assert_array_equal(scores[:, 0], [all_texts.index(text) for text in all_texts])
    assert len(asked) == FOLDS
    for rows, texts in asked:
        scored = [row for row, text in enumerate(all_texts) if text in texts]
        assert not set(rows) & set(scored)
        assert not {patients[row] for row in rows} & {patients[row] for row in scored}
        assert len(rows) + len(texts) == len(all_texts)


@pytest.mark.parametrize("baseline", [dictionary, words_and_letters, phrase_trees])
def test_the_chosen_setting_learns_from_the_rows_that_are_named(task, baseline):
    """All rows give the scores of the run itself; without a third of them they are others."""
    ranking = baseline(task)
    texts = [query.text for query in query_texts(task, "test")]
    rows = np.arange(len(task.splits["train"]))
    np.testing.assert_allclose(ranking.of_fold(rows, texts), ranking.test, rtol=1e-5, atol=1e-6)
    assert np.abs(ranking.of_fold(rows[: len(rows) * 2 // 3], texts) - ranking.test).max() > 0.01


def test_bm25_counts_codes_without_the_fold(task):
    ranking = bm25(task)
    texts = [query.text for query in query_texts(task, "train")]
    rows = np.arange(len(texts))
    whole = ranking.of_fold(rows, texts)
    counts = task.train_counts
    half = rows[: len(rows) // 2]
    scaled = np.rint(task.targets("train")[half].sum(axis=0) * (len(rows) / len(half))).astype(int)
    prior, unit = ranking.chosen.prior, ranking.chosen.unit
    expected = whole - unit * prior.of_codes(counts) + unit * prior.of_codes(scaled)
    np.testing.assert_allclose(ranking.of_fold(half, texts), expected, rtol=1e-5, atol=1e-4)


def test_a_model_that_has_met_a_note_ranks_its_codes_too_well(task):
    ranking = words_and_letters(task)
    texts = [query.text for query in query_texts(task, "train")]
    targets = task.targets("train")
    met = mean_average_precision(ranking.of_fold(np.arange(len(texts)), texts), targets)
    honest = mean_average_precision(out_of_fold_scores(task, ranking.of_fold, FOLDS), targets)
    assert met > honest + 0.05


def test_a_baseline_that_was_stopped_among_its_folds_is_made_when_it_is_asked_for_again(task, tmp_path, monkeypatch):
    output = tmp_path / "runs"
    command = ("--task", str(task.path), "--output", str(output), "--only", "bm25", "--candidate_folds", str(FOLDS))
    monkeypatch.setattr("sys.argv", ["run_retrieval_baselines.py", *command])

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(run_retrieval_baselines, "out_of_fold_scores", stop)
        with pytest.raises(KeyboardInterrupt):
            run_retrieval_baselines.main()
    assert (output / ".bm25.partial" / "fitted").is_dir()
    run_retrieval_baselines.main()
    assert read_train(output / "bm25").scores.shape == (len(task.splits["train"]), len(task.codes))
