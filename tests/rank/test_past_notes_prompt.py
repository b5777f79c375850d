"""Notes of past visits in stage two: their place in the prompt, their budget, and a run from end to end."""

import json
import os
import random
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
from prepare_case import run
from ready_python import run_ready
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from mera.language_models.code_tokens import add_code_tokens
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.config import PromptConfig
from rank.partial_outputs import RankingDataset
from rank.predict import Ranker
from rank.prompt import PromptBuilder, reading_sentences
from rank.start import require_past_notes
from rank.wide.recurrence import seen_codes

DEFINITIONS = {"428.0": "Congestive heart failure", "401.9": "Essential hypertension", "584.9": "Acute kidney failure"}
WORDS = ["acute", "heart", "kidney", "failure", "of", "an", "essential", "tension", "not", "congested", "with", "old"]


@pytest.fixture(scope="module")
def tokenizer():
    config = ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400)
    model, tokenizer = load_base_model(config, [*DEFINITIONS.values(), "0 1 2 3 4 5 6 7 8 9 F M", " ".join(WORDS)])
    add_code_tokens(model, tokenizer, DEFINITIONS)
    return tokenizer


def row(history, **changes):
    return {"age": 67, "sex": "F", "history": history, "text": None} | changes


def visit(code, days, text=None):
    return {"codes": [code], "days_before": days, "text": text}


def builder(tokenizer, **settings):
    return PromptBuilder(tokenizer, PromptConfig(**settings), DEFINITIONS)


def tokens(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


OLD, NEW = "essential tension", "acute kidney failure"
TWO = [visit("401.9", 120, OLD), visit("428.0", 60), visit("584.9", 14, NEW)]


def test_a_note_stands_behind_the_codes_of_its_visit(tokenizer):
    prompt = builder(tokenizer, past_note_tokens=500).build(row(TWO))
    assert tokenizer.decode(prompt.ids) == (f"<s>67 F<visit>120<401.9>{OLD}<visit>60<428.0><visit>14<584.9>{NEW}<next>")
    assert (prompt.read_notes, prompt.cut_notes, prompt.lost_notes) == (2, 0, 0)


def test_without_a_budget_notes_change_nothing(tokenizer):
    bare = [{key: told[key] for key in ("codes", "days_before")} for told in TWO]
    assert builder(tokenizer).build(row(TWO)) == builder(tokenizer).build(row(bare))
    with_budget = builder(tokenizer, past_note_tokens=50)
    assert with_budget.build(row(bare)) == builder(tokenizer).build(row(bare))
    assert with_budget.build(row([visit("428.0", 3, " \n ")])) == with_budget.build(row([visit("428.0", 3)]))
    assert with_budget.build(row([])).ids == builder(tokenizer).build(row([])).ids


def test_the_newest_note_is_read_first_and_the_last_that_fits_is_cut_at_its_end(tokenizer):
    new, old = tokens(tokenizer, NEW), tokens(tokenizer, OLD)
    for budget in range(1, len(new) + len(old) + 3):
        prompt = builder(tokenizer, past_note_tokens=budget, days=False, demographics=False).build(row(TWO))
        text = tokenizer.decode(prompt.ids)
        read_new, read_old = new[:budget], old[: max(0, budget - len(new))]
        assert text == (
            f"<s><visit><401.9>{tokenizer.decode(read_old)}<visit><428.0><visit><584.9>{tokenizer.decode(read_new)}<next>"
        )
        assert len(prompt.ids) == 8 + min(budget, len(new) + len(old))
        assert prompt.lost_notes == (budget <= len(new))
        assert prompt.read_notes == 2 - prompt.lost_notes
        assert prompt.cut_notes == (budget < len(new) or len(new) < budget < len(new) + len(old))


def with_notes_put_in(tokenizer, config, example):
    """The naive twin: the prompt without notes, and into it, behind the last code of each visit that stands there,
    what may be read, found visit by visit from the newest on."""
    plain = PromptBuilder(tokenizer, PromptConfig(**config | {"past_note_tokens": 0}), DEFINITIONS).build(example)
    ids = list(plain.ids)
    allowed = min(config["past_note_tokens"], config["max_tokens"] - len(ids))
    read = cut = 0
    texts = [told["text"] for told in example["history"]]
    for places, text in list(zip(reversed(plain.visits), reversed(texts), strict=False)):
        note = tokens(tokenizer, text) if text else []
        part = note[: max(0, allowed)]
        ids[places[-1] : places[-1]] = part
        allowed -= len(part)
        read += bool(part)
        cut += 0 < len(part) < len(note)
    return plain, ids, read, cut, sum(bool(text) for text in texts) - read


@pytest.mark.parametrize("form", ["codes", "codes+definitions", "definitions"])
def test_prompts_equal_those_of_a_naive_construction(tokenizer, form):
    draw = random.Random(form)
    seen = set()
    for _ in range(300):
        history = [
            {
                "codes": draw.sample(list(DEFINITIONS), draw.randint(0, 3)),
                "days_before": draw.choice([None, 3, 1200]),
                "text": draw.choice([None, " ".join(draw.choices(WORDS, k=draw.randint(1, 20)))]),
            }
            for _ in range(draw.randint(0, 5))
        ]
        config = {
            "history": form,
            "past_note_tokens": draw.choice([1, 7, 30, 400]),
            "max_tokens": draw.choice([9, 40, 90, 700]),
        }
        example = row(history, text=draw.choice([None, NEW]), age=draw.choice([None, 67]))
        prompt = builder(tokenizer, **config).build(example)
        plain, ids, read, cut, lost = with_notes_put_in(tokenizer, config, example)
        assert prompt.ids == ids
        assert (prompt.read_notes, prompt.cut_notes, prompt.lost_notes) == (read, cut, lost)
        assert (prompt.lost_visits, prompt.lost_text_tokens) == (plain.lost_visits, plain.lost_text_tokens)
        assert len(prompt.ids) <= max(config["max_tokens"], len(plain.ids))
        for with_notes, without in zip(prompt.visits, plain.visits, strict=True):
            codes = [
                prompts.ids[places[0] : places[-1]] for prompts, places in ((prompt, with_notes), (plain, without))
            ]
            assert codes[0] == codes[1]
        seen.add((bool(prompt.lost_visits), bool(read), bool(cut), bool(lost)))
    assert len(seen) > 6


def test_no_visit_is_lost_to_a_note_and_what_is_lost_is_counted(tokenizer):
    settings = {"days": False, "demographics": False, "max_tokens": 12}
    history = [visit("401.9", 9, OLD), visit("428.0", 5, OLD * 9), visit("584.9", 1, NEW * 9)] * 2
    examples = [row(history), row(TWO), row([visit("428.0", 1)])]
    without = reading_sentences([builder(tokenizer, **settings).build(example) for example in examples], "train", 0)
    assert without == ["train: 1 oldest visits and the ends of 0 notes did not fit into the prompt"]
    with_notes = builder(tokenizer, **settings, past_note_tokens=300)
    prompts = [with_notes.build(example) for example in examples]
    assert max(len(prompt.ids) for prompt in prompts) == 12
    assert reading_sentences(prompts, "train", 300) == [
        *without,
        "train: of 8 notes of past visits, 1 are read whole, 1 without their ends and 6 not at all "
        "(prompt.past_note_tokens 300)",
    ]


def test_dropping_and_shuffling_codes_leaves_notes_alone(tokenizer):
    history = [
        {"codes": list(DEFINITIONS), "days_before": 9, "text": OLD},
        {"codes": list(DEFINITIONS)[::-1], "days_before": 2, "text": f"{NEW} <428.0>"},
    ]
    prompt = builder(tokenizer, past_note_tokens=100).build(row(history))
    pieces = [prompt.ids[: prompt.visits[0][0]], prompt.ids[prompt.visits[0][-1] : prompt.visits[1][0]]]
    pieces.append(prompt.ids[prompt.visits[1][-1] :])
    assert OLD in tokenizer.decode(pieces[1])
    assert tokenizer.decode(pieces[2]).replace(" ", "") == f"{NEW}<428.0><next>".replace(" ", "")
    seen = seen_codes(history, {code: column for column, code in enumerate(DEFINITIONS)})

    def variants(**options):
        dataset = RankingDataset([prompt], [[0]], [seen], num_orders=1, max_targets=5, seed=0, **options)
        for epoch in range(20):
            dataset.set_epoch(epoch)
            yield dataset[0].prompt_ids

    assert next(variants(history_dropout=0.9999)) == [token for piece in pieces for token in piece]
    shuffled = list(variants(shuffle_codes=True))
    assert len(set(map(tuple, shuffled))) > 5
    for ids in shuffled:
        assert ids[: len(pieces[0])] == pieces[0]
        assert ids[len(pieces[0]) + 3 :][: len(pieces[1])] == pieces[1]
        assert ids[-len(pieces[2]) :] == pieces[2]


def test_what_cannot_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"prompt\.past_note_tokens must be 0 or more, got -1"):
        PromptConfig(past_note_tokens=-1)
    task = make_tiny_task(tmp_path / "task", patients=20)
    require_past_notes(task, PromptConfig())
    with pytest.raises(ValueError, match=r"is 64, but .* has no notes of past visits; prepare it with `mera prepare"):
        require_past_notes(task, PromptConfig(past_note_tokens=64))


def without_notes(rows):
    return [{**row, "history": [{**told, "text": None} for told in row["history"]]} for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on synthetic patients with past notes, after one that was refused: the two tasks, the run, both logs."""
    folder = tmp_path_factory.mktemp("past-notes")
    options = ("--patients", 60, "--kind", "diagnosis")
    (task,) = run("synthetic", *options, "--past-notes", "--output", folder / "task")
    (bare,) = run("synthetic", *options, "--output", folder / "bare")
    arguments = [
        *("--config", "configs/rank/demo.yaml", "--model.base", "null"),
        *("--model.architecture", json.dumps(ARCHITECTURE), "--model.tokenizer_size", "600"),
        *("--training.epochs", "1", "--training.batch_size", "16", "--prompt.past_note_tokens", "64"),
        *("--wide", "recurrence"),  # a full wide part may take nothing of what one epoch changed
    ]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}  # scores are compared in float32
    refused, result = (
        run_ready(
            ["rank/train.py", *arguments, "--task", of.path, "--output", folder / name], cwd=ROOT, env=environment
        )
        for of, name in ((bare, "refused"), (task, "run"))
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return task, bare, folder / "run", refused, result


def test_a_task_without_notes_is_refused_before_anything_is_built(trained):
    _, bare, path, refused, _ = trained
    assert f"error: prompt.past_note_tokens is 64, but {bare.path} has no notes of past visits" in refused.stderr
    assert refused.returncode == 1
    assert not path.with_name("refused").exists()


def test_a_run_reads_the_notes(trained):
    task, _, path, _, result = trained
    notes = sum(told["text"] is not None for row in task.splits["train"] for told in row["history"])
    assert f"train: of {notes} notes of past visits, " in result.stderr
    predictions = read_predictions(path)
    assert predictions.manifest["config"]["prompt"]["past_note_tokens"] == 64
    assert predictions.context["history"].to_list() == [row["history"] for row in task.splits["test"]]
    ranker, rows = Ranker.load(path / "checkpoint"), list(task.splits["test"])
    assert ranker.prompt.past_note_tokens == 64
    scores, _ = ranker.score(rows)
    np.testing.assert_allclose(scores, predictions.scores, rtol=1e-4, atol=1e-4)
    others, _ = ranker.score(without_notes(rows))
    assert np.abs(others - scores).max(axis=1).min() > 1e-6
    ranker.builder = PromptBuilder(ranker.tokenizer, replace(ranker.prompt, past_note_tokens=0), ranker.definitions)
    np.testing.assert_allclose(ranker.score(rows)[0], others, rtol=1e-4, atol=1e-4)


def test_no_note_is_in_the_log_or_outside_the_predictions(trained):
    task, _, path, refused, result = trained
    notes = {told["text"] for split in task.splits.values() for row in split for told in row["history"]} - {None}
    sentences = {note[:50] for note in notes}
    folders = ("predictions", "validation")  # whose tables hold the first examples, with their notes
    inside = [file for name in folders for file in (path / name).iterdir()]
    kept = b"".join(file.read_bytes() for file in inside if file.suffix != ".parquet")
    others = [file.read_bytes() for file in path.rglob("*") if file.is_file() and not {*folders} & {*file.parts}]
    assert others
    printed = [text.encode() for log in (refused, result) for text in (log.stdout, log.stderr)]
    for stored in [*printed, kept, *others]:
        assert not [sentence for sentence in sentences if sentence.encode() in stored]


def test_predict_reads_the_notes_of_a_task_and_does_without_them(trained, tmp_path, monkeypatch, capsys):
    task, bare, path, _, _ = trained
    ranker = Ranker.load(path / "checkpoint")

    def predict(command):
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        runpy.run_path(str(ROOT / "rank" / "run_predict.py"), run_name="__main__")

    for source, name in ((task, "notes.json"), (bare, "bare.json")):
        command = ["predict", path / "checkpoint", "--task", source.path, "--output", tmp_path / name]
        predict(command)
        said = f"the model reads notes of past visits, and {source.path} has none: ranking by codes alone"
        assert (said in capsys.readouterr().err) == (source is bare)
        rows = list(source.splits["test"])
        expected = ranker.ranked(rows, *ranker.score(rows), top=20)
        examples = json.loads((tmp_path / name).read_text())["examples"]
        for example, codes in zip(examples, expected, strict=True):
            found = [code["score"] for code in example["codes"]]
            np.testing.assert_allclose(found, [code.score for code in codes], rtol=1e-4, atol=1e-4)
    capsys.readouterr()
    predict(["predict", path / "checkpoint", "--history", "I10;E11.9", "--json"])
    assert len(json.loads(capsys.readouterr().out)["codes"]) == 20
