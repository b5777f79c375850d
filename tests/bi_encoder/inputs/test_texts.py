"""What the towers read, the configuration, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_task import make_tiny_task

from bi_encoder.config import (
    BiEncoderConfig,
    EncoderConfig,
    ObjectiveConfig,
    matryoshka_weights,
    matryoshka_widths,
)
from bi_encoder.inputs.texts import codes_without_definition, key_texts, query_text, query_texts
from mera.config import load_config
from mera.root import ROOT

CONFIGS = sorted((ROOT / "configs" / "bi_encoder").glob("*.yaml"))
DEFINITIONS = {"I10": "Essential hypertension", "N39.0": "Urinary tract infection"}


def example(**changes):
    row = {"example_id": "e1", "age": 70, "sex": "F", "text": None, "history": []}
    return row | changes


def test_a_history_is_written_with_definitions_newest_visit_first():
    history = [{"codes": ["I10"], "days_before": 90}, {"codes": ["N39.0", "I10"], "days_before": 10}]
    query = query_text(example(history=history), DEFINITIONS)
    assert query.text == (
        "70 year old female. Visit 10 days before: Urinary tract infection; Essential hypertension. "
        "Visit 90 days before: Essential hypertension."
    )
    assert query.note_start is None


def test_unknown_age_sex_and_dates_are_left_out():
    row = example(age=None, sex=None, history=[{"codes": ["I10"], "days_before": None}])
    assert query_text(row, DEFINITIONS).text == "Visit before: Essential hypertension."


def test_a_note_is_kept_letter_for_letter_at_its_offset():
    note = " BP high 😀.\nNo café au lait spots. "
    query = query_text(example(text=note, history=[{"codes": ["I10"], "days_before": 5}]), DEFINITIONS)
    assert query.text[query.note_start :] == note
    assert query.text.startswith("70 year old female. ")


def test_evidence_spans_of_the_task_point_into_the_query(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=10)
    row = task.splits["train"][0]
    query = query_texts(task, "train")[0]
    span = row["evidence"][0]
    words = query.text[query.note_start + span["start"] : query.note_start + span["end"]]
    assert words == row["text"][span["start"] : span["end"]]


def test_a_first_visit_is_said_to_be_one():
    assert query_text(example(), DEFINITIONS).text == "70 year old female. First visit."


def test_an_empty_note_is_refused_by_its_row_and_not_by_its_patient(tmp_path):
    task = make_tiny_task(tmp_path / "task", kind="coding", patients=10)
    rows = task.splits["validation"].to_list()
    rows[1 if len(rows) > 1 else 0]["text"] = " \n"
    broken = replace(task, splits={**task.splits, "validation": rows})
    with pytest.raises(ValueError, match=r"row \d of the validation split of .*: the note is empty") as raised:
        query_texts(broken, "validation")
    assert rows[0]["patient_id"] not in str(raised.value)


def test_a_code_without_a_definition_is_read_by_its_group_or_its_name_and_counted(tmp_path):
    task = make_tiny_task(tmp_path / "task", patients=10)
    column = task.column
    definitions = list(task.definitions)
    for code in ("I50.22", "I10"):
        definitions[column[code]] = " " if code == "I10" else None
    names = {level: dict(groups) for level, groups in task.group_names.items()}
    for level in ("subcategory", "category"):
        names[level].pop("I10", None)
        names[level].pop("I50.2", None)
    broken = replace(task, definitions=definitions, group_names=names)
    texts = key_texts(broken)
    assert (texts[column["I50.22"]], texts[column["I10"]]) == ("Heart failure", "ICD code I10")
    assert [text for text in texts if text in task.definitions] == [text for text in task.definitions if text in texts]
    assert codes_without_definition(broken) == sorted([column["I10"], column["I50.22"]])
    assert codes_without_definition(task) == []
    history = [{"codes": ["I50.22"], "days_before": 3}]
    rows = [row | {"history": history} for row in broken.splits["train"].to_list()]
    queries = query_texts(replace(broken, splits={"train": rows}), "train")
    assert queries[0].text.endswith("Visit 3 days before: Heart failure.")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipes_are_valid(path):
    config = load_config(BiEncoderConfig, path, {"task": "prepared/x", "output": "runs/y"})
    assert (config.encoder.pretrained is None) == (path.stem in ("tiny", "demo"))


def test_the_recipes_are_those_the_readme_names():
    assert [path.stem for path in CONFIGS] == [
        "bioclinical_modernbert",
        "demo",
        "e5_multilingual",
        "minilm",
        "minilm_evidence",
        "tiny",
    ]


def test_bad_values_are_refused():
    required = {"task": "prepared/x", "output": "runs/y"}
    tiny = next(path for path in CONFIGS if path.stem == "tiny")
    with pytest.raises(ValueError, match=r"'retrieval', 'mean_mrl' or 'laa_mrl'.*got 'laa'"):
        load_config(BiEncoderConfig, tiny, required | {"variant": "laa"})
    with pytest.raises(ValueError, match="temperature must be greater than 0"):
        load_config(BiEncoderConfig, tiny, required | {"objective.temperature": 0})
    with pytest.raises(ValueError, match=r"either encoder\.pretrained or encoder\.architecture"):
        EncoderConfig()
    with pytest.raises(ValueError, match=r"objective\.views_together needs objective\.label_views: both"):
        load_config(BiEncoderConfig, tiny, required | {"objective.views_together": True})
    with pytest.raises(ValueError, match=r"phrase_weight and fragment_weight must not be negative"):
        load_config(BiEncoderConfig, tiny, required | {"evidence.phrase_weight": -1})
    with pytest.raises(ValueError, match=r"does not go with encoder\.lora"):
        load_config(BiEncoderConfig, tiny, required | {"encoder.frozen_layers": 1, "encoder.lora.rank": 4})


def test_widths_are_clipped_to_the_hidden_size_which_is_always_there():
    assert matryoshka_widths((64, 128, 256, 768), 384) == [64, 128, 256, 384]
    assert matryoshka_widths((64, 128, 256, 768), 768) == [64, 128, 256, 768]
    assert matryoshka_widths((64,), 128) == [64, 128]


@pytest.mark.parametrize(
    ("widths", "weights", "hidden_size", "expected"),
    [
        ((64, 128, 256, 768), None, 384, [1, 1, 1, 1]),
        ((64, 128, 256, 768), (4, 2, 1, 1), 384, [2, 1, 0.5, 0.5]),
        ((768, 64), (1, 3), 384, [1.5, 0.5]),
        ((64, 256, 768), (2, 1, 5), 128, [4 / 3, 2 / 3]),
        ((64, 128), (3, 1), 384, [9 / 5, 3 / 5, 3 / 5]),
        ((64,), None, 128, [1, 1]),
    ],
)
def test_weights_belong_to_the_widths_and_have_mean_1(widths, weights, hidden_size, expected):
    objective = ObjectiveConfig(widths=widths, width_weights=weights)
    assert len(matryoshka_widths(widths, hidden_size)) == len(expected)
    np.testing.assert_allclose(matryoshka_weights(objective, hidden_size), expected)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0)])
def test_weights_that_fit_no_widths_are_refused(weights):
    with pytest.raises(ValueError, match=r"objective.width_weights needs 2 positive numbers, one for each of"):
        ObjectiveConfig(widths=(64, 128), width_weights=weights)
