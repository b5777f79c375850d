"""Annotated spans of a task: which are used, which are counted and left out, which tokens and phrases they are."""

from dataclasses import replace

import datasets
import numpy as np
import pytest
from tiny_task import make_tiny_task

from bi_encoder.config import EncoderConfig
from bi_encoder.evidence.annotated import (
    CodeSpan,
    SpanCounts,
    annotated_spans,
    phrases_of_codes,
    token_spans,
)
from bi_encoder.inputs.texts import query_texts
from bi_encoder.start import training_examples
from data.task_folder.features import FEATURES

NOTE = "Weak heart. Later the  WEAK\nheart failed, and sugar was high."


def with_rows(task, rows):
    """`task` whose training split is `rows`: (note, targets, evidence as (code, start, end))."""
    examples = [
        {
            "example_id": str(number),
            "patient_id": str(number),
            "age": None,
            "sex": None,
            "history": [],
            "text": note,
            "targets": targets,
            "evidence": [{"code": code, "start": start, "end": end} for code, start, end in evidence],
        }
        for number, (note, targets, evidence) in enumerate(rows)
    ]
    train = datasets.Dataset.from_list(examples, features=FEATURES)
    return replace(task, splits=datasets.DatasetDict({**task.splits, "train": train}))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    task = make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=20)
    heart, sugar = "I50.9", "E11.22"
    spans = [(heart, 0, 10), (heart, 23, 33), (sugar, 46, 51), (sugar, 3, 3), (heart, 40, 999), ("R65.20", 0, 4)]
    return with_rows(
        task,
        [
            (NOTE, [heart, sugar], spans),
            ("A weak heart, weak heart; failing heart", [heart], [(heart, 2, 12), (heart, 14, 24), (heart, 26, 39)]),
        ],
    )


def test_spans_outside_their_note_and_of_other_codes_are_counted_and_left_out(task):
    counts = SpanCounts()
    spans = annotated_spans(task, "train", query_texts(task, "train"), counts)
    heart, sugar = task.column["I50.9"], task.column["E11.22"]
    assert [(span.column, span.start, span.end) for span in spans[0]] == [
        (heart, 0, 10),
        (heart, 23, 33),
        (sugar, 46, 51),
    ]
    assert (counts.used, counts.outside_text, counts.not_true, counts.unread) == (6, 2, 1, 0)
    assert counts.sentence() == (
        "evidence: 6 annotated spans are learnt from; left out: 2 outside their note, 1 of a code that is not true for "
        "their example"
    )
    assert SpanCounts(used=3).sentence() is None


def test_phrases_of_a_code_are_counted_once_a_note_the_most_frequent_first(task):
    phrases = phrases_of_codes(task, query_texts(task, "train"), 8)
    assert phrases[task.column["I50.9"]] == ["weak heart", "failing heart"]
    assert phrases[task.column["E11.22"]] == ["sugar"]
    assert phrases[task.column["R65.20"]] == []
    assert phrases_of_codes(task, query_texts(task, "train"), 1)[task.column["I50.9"]] == ["weak heart"]


def test_a_span_is_the_tokens_that_it_touches_among_those_that_are_read():
    offsets = np.array([(0, 0), (0, 4), (5, 10), (10, 11), (12, 17), (0, 0)])
    spans = [
        CodeSpan(column=3, start=2, end=9),
        CodeSpan(column=1, start=11, end=13),
        CodeSpan(column=7, start=4, end=5),
    ]
    counts = SpanCounts(used=3)
    assert token_spans(spans, offsets, 5, counts) == [[3, 1, 3], [1, 4, 5]]
    assert (counts.used, counts.unread) == (2, 1), "between two tokens there is none"
    counts = SpanCounts(used=3)
    assert token_spans(spans, offsets, 4, counts) == [[3, 1, 3]]
    assert (counts.used, counts.unread) == (1, 2)


class Words:
    """A tokenizer of words, one token around each text on both sides."""

    def __call__(self, texts, return_offsets_mapping=False, **_):
        single = isinstance(texts, str)
        places = [self._places(text) for text in ([texts] if single else texts)]
        encoded = {
            "input_ids": [
                [1, *(10 + len(text[s:e]) for s, e in row), 2]
                for text, row in zip([texts] if single else texts, places, strict=True)
            ]
        }
        if return_offsets_mapping:
            encoded["offset_mapping"] = [[(0, 0), *row, (0, 0)] for row in places]
        return {name: value[0] for name, value in encoded.items()} if single else encoded

    @staticmethod
    def _places(text):
        places, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            places.append((at, at + len(word)))
            at += len(word)
        return places


def test_tokens_are_counted_over_the_windows_that_training_reads(task):
    """The note has eleven words: windows of four with one shared, of which two are read."""
    encoder = EncoderConfig(pretrained="x", max_query_tokens=6, window_overlap=1, training_windows=2)
    counts = SpanCounts()
    examples = training_examples(task, Words(), encoder, span_counts=counts)
    heart = task.column["I50.9"]
    assert examples["spans"][0] == [[heart, 1, 3], [heart, 5, 7]]
    assert counts.unread == 1, "`sugar` is the ninth word, of which seven are read"
    assert "spans" not in training_examples(task, Words(), encoder).column_names
    assert (
        "spans"
        not in training_examples(
            with_rows(task, [(NOTE, ["I50.9"], [])]), Words(), encoder, span_counts=counts
        ).column_names
    )
