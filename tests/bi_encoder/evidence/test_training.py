"""Training with annotated evidence: it moves the attention onto the spans, and without spans it is what it was."""

from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from bi_encoder_runs import configuration, outputs_of, start
from tiny_task import make_tiny_task

from bi_encoder.evidence.agreement import agreement, mean_agreement
from bi_encoder.evidence.annotated import annotated_spans
from bi_encoder.inputs.code_names import further_names, names_for_scoring
from bi_encoder.inputs.texts import query_texts
from bi_encoder.inputs.windows import window_batch, windows_with_offsets
from bi_encoder.predict import code_vectors_of
from data.task_folder.features import FEATURES

EVIDENCE = {"evidence.attention_weight": 1.0, "evidence.phrase_weight": 1.0, "evidence.fragment_weight": 0.5}
VIEWS = {
    "objective.label_views": "both",
    "objective.view_kinds": ["spans"],
    "objective.views_together": True,
    "objective.sigmoid_weight": 0.1,
    "selection.code_vectors": "best",
    "selection.views_per_code": 1,
    "selection.spans_per_code": 2,
}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=100)


def without_spans(task):
    def stripped(split):
        rows = [{**row, "evidence": []} for row in split]
        return datasets.Dataset.from_list(rows, features=FEATURES)

    splits = {name: stripped(split) for name, split in task.splits.items()}
    return replace(task, splits=datasets.DatasetDict(splits))


def hits(trainer, task, config):
    """How often the heaviest token lies in a span of validation."""
    model, pairs = trainer.bi_encoder.eval(), []
    vectors = code_vectors_of(model, task, config)
    queries = query_texts(task, "validation")
    for query, spans in zip(queries, annotated_spans(task, "validation", queries), strict=True):
        windows, offsets = windows_with_offsets(model.tokenizer, query.text, 128, 32)
        columns = sorted({span.column for span in spans})
        of = vectors.of_codes(columns)
        with torch.no_grad():
            weights = model.token_weights(window_batch(model.tokenizer, [windows], 32), of.embeddings, of.owner)[0]
        for column, row in zip(columns, weights.numpy(), strict=True):
            gold = [(span.start, span.end) for span in spans if span.column == column]
            pairs.append(agreement(row, offsets, gold))
    return mean_agreement([pair for pair in pairs if pair is not None])


def test_the_attention_of_a_model_trained_with_evidence_lies_on_the_spans(task, tmp_path):
    measured = {}
    for name, changes in {"off": {}, "on": EVIDENCE | VIEWS}.items():
        config = configuration(task, tmp_path / name, **changes)
        run, trainer = start(task, config)
        trainer.train()
        measured[name] = hits(trainer, task, config)
        metrics = outputs_of(trainer, task, config, run)
        assert 0 < metrics.validation["mean_average_precision"] <= 1
    assert measured["on"]["mass"] > measured["off"]["mass"] + 0.1
    assert measured["on"]["hit"] > measured["off"]["hit"]


def test_without_spans_training_is_the_same_to_the_last_bit(task, tmp_path):
    bare, weights = without_spans(task), []
    for name, changes in {"off": {}, "on": EVIDENCE}.items():
        config = configuration(bare, tmp_path / name, **changes, **{"training.epochs": 1})
        _, trainer = start(bare, config)
        assert "spans" not in trainer.train_dataset.column_names
        trainer.train()
        weights.append(trainer.bi_encoder.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_annotated_phrases_are_names_of_their_code_where_they_are_asked_for(task):
    assert "spans" not in further_names(task)
    names = further_names(task, max_spans=2)["spans"]
    assert max(map(len, names)) == 2
    scored = names_for_scoring(task, 1, 2)
    assert scored.owner == sorted(scored.owner)
    of_code = [text for text, owner in zip(scored.texts, scored.owner, strict=True) if owner == 0]
    assert of_code == [task.definitions[0], *names[0]]
    assert names_for_scoring(without_spans(task), 2, 2) == names_for_scoring(task, 2)
    assert np.mean([len(names) for names in further_names(without_spans(task), max_spans=3)["spans"]]) == 0
