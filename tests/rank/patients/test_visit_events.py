"""Events of histories in stage two: tokens from their names, their place and budget in the prompt, a run from end to
end, and the same features in every baseline."""

import json
import os
import random
import warnings

import numpy as np
import pytest
import torch
from prepare_case import every_row
from ready_python import run_ready
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from data.task import without_events
from mera.evaluation.metrics import recall_at_k
from mera.language_models.code_tokens import CodeTokens, add_code_tokens, add_event_tokens, code_token
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from rank.baselines.config import NeuralBaselineConfig, TransformerBaselineConfig
from rank.baselines.neural.training import retain, transformer
from rank.config import PromptConfig
from rank.partial_outputs import RankingDataset
from rank.patients.visit_events import event_columns, events_of
from rank.predict import Ranker
from rank.prompt import PromptBuilder, reading_sentences
from rank.task_prediction.predict_task import scored
from rank.wide.recurrence import seen_codes

DEFINITIONS = {"428.0": "Congestive heart failure", "401.9": "Essential hypertension", "584.9": "Acute kidney failure"}
EVENTS = {"procedure:9:3961": "bypass of the heart", "lab:1:high": "kidney high", "drug:furosemide": "furosemide"}
"""The rarest first."""


@pytest.fixture(scope="module")
def model_and_tokens():
    torch.manual_seed(0)
    config = ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400)
    model, tokenizer = load_base_model(config, [*DEFINITIONS.values(), *EVENTS.values(), "0123456789 F M"])
    tokens = add_code_tokens(model, tokenizer, DEFINITIONS)
    before = model.get_input_embeddings().weight.detach().clone()
    return model, tokenizer, add_event_tokens(model, tokenizer, tokens, EVENTS), before


@pytest.fixture(scope="module")
def tokenizer(model_and_tokens):
    return model_and_tokens[1]


def visit(code, days, events=()):
    return {"codes": [code], "days_before": days, "events": list(events)}


def row(history, **changes):
    return {"age": 67, "sex": "F", "history": history, "text": None} | changes


def builder(tokenizer, **settings):
    return PromptBuilder(tokenizer, PromptConfig(**settings), DEFINITIONS, EVENTS)


TWO = [visit("401.9", 120, ["drug:furosemide", "procedure:9:3961", "drug:of-another-task"]), visit("584.9", 14, EVENTS)]


def test_an_event_has_one_token_that_starts_as_the_mean_of_its_names_tokens(model_and_tokens, tmp_path):
    model, tokenizer, tokens, before = model_and_tokens
    weight = model.get_input_embeddings().weight.detach()
    for event, name in EVENTS.items():
        (token,) = tokenizer(code_token(event), add_special_tokens=False)["input_ids"]
        words = tokenizer(name, add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(weight[token], weight[words].mean(dim=0))
    codes = [tokenizer.convert_tokens_to_ids(code_token(code)) for code in DEFINITIONS]
    torch.testing.assert_close(weight[codes], before[codes], rtol=0, atol=0)
    assert (tokens.definitions, tokens.events) == (DEFINITIONS, EVENTS)
    tokens.save(tmp_path)
    assert CodeTokens.load(tmp_path) == tokens
    CodeTokens(definitions=DEFINITIONS).save(tmp_path)
    assert list(json.loads((tmp_path / "code_tokens.json").read_text())) == ["definitions"]
    size = len(tokenizer)
    assert add_event_tokens(model, tokenizer, tokens, {"lab:1:high": "kidney high"}).events == {
        "lab:1:high": "kidney high"
    }
    assert len(tokenizer) == size


def test_events_stand_behind_the_codes_of_their_visit_the_rarest_first(tokenizer):
    prompt = builder(tokenizer).build(row(TWO))
    assert tokenizer.decode(prompt.ids) == (
        "<s>67 F<visit>120<401.9><procedure:9:3961><drug:furosemide>"
        "<visit>14<584.9><procedure:9:3961><lab:1:high><drug:furosemide><next>"
    )
    assert [len(places) - 1 for places in prompt.events] == [2, 3]
    assert prompt.lost_events == 0
    few = builder(tokenizer, max_events=1).build(row(TWO))
    assert tokenizer.decode(few.ids) == (
        "<s>67 F<visit>120<401.9><procedure:9:3961><visit>14<584.9><procedure:9:3961><next>"
    )
    assert few.lost_events == 3
    words = builder(tokenizer, history="definitions", max_events=1, days=False).build(row(TWO[1:]))
    assert tokenizer.decode(words.ids) == "<s>67 F<visit>Acute kidney failure;bypass of the heart;<next>"


def test_without_events_a_prompt_is_what_it_was(tokenizer):
    bare = [{key: each[key] for key in ("codes", "days_before")} for each in TWO]
    plain = PromptBuilder(tokenizer, PromptConfig(), DEFINITIONS)
    for other in (builder(tokenizer, max_events=0), plain):
        assert other.build(row(TWO)) == plain.build(row(bare))
        assert other.events == {}
    assert builder(tokenizer).build(row(bare)).ids == plain.build(row(bare)).ids


def with_events_put_in(tokenizer, config, example):
    """The naive twin: the prompt without events, and behind the last code of each visit that stands there, from the
    newest on, the rarest events that the budget and the room allow."""
    plain = PromptBuilder(tokenizer, PromptConfig(**config | {"max_events": 0}), DEFINITIONS).build(example)
    ids, lost = list(plain.ids), 0
    room = config["max_tokens"] - len(ids)
    standing = len(plain.visits)
    for place, told in enumerate(reversed(example["history"])):
        known = [event for event in EVENTS if event in told["events"]]
        taken = known[: min(config["max_events"], max(0, room))] if place < standing else []
        lost += len(known) - len(taken)
        if place < standing:
            end = plain.visits[standing - 1 - place][-1]
            ids[end:end] = [tokenizer.convert_tokens_to_ids(code_token(event)) for event in taken]
            room -= len(taken)
    return plain, ids, lost


def test_prompts_equal_those_of_a_naive_construction(tokenizer):
    draw, seen = random.Random(3), set()
    for _ in range(300):
        history = [
            {
                "codes": draw.sample(list(DEFINITIONS), draw.randint(0, 3)),
                "days_before": draw.choice([None, 3, 1200]),
                "events": draw.sample([*EVENTS, "drug:unknown"], draw.randint(0, 4)),
            }
            for _ in range(draw.randint(0, 5))
        ]
        config = {"max_events": draw.choice([1, 2, 32]), "max_tokens": draw.choice([9, 20, 90])}
        example = row(history, age=draw.choice([None, 67]))
        prompt = builder(tokenizer, **config).build(example)
        plain, ids, lost = with_events_put_in(tokenizer, config, example)
        assert (prompt.ids, prompt.lost_events, prompt.lost_visits) == (ids, lost, plain.lost_visits)
        for places, of_plain in zip(prompt.visits, plain.visits, strict=True):
            assert prompt.ids[places[0] : places[-1]] == plain.ids[of_plain[0] : of_plain[-1]]  # no code is cut
        seen.add((bool(prompt.lost_visits), bool(lost), len(prompt.ids) == config["max_tokens"]))
    assert len(seen) > 5


def test_what_is_not_read_is_said_in_counts(tokenizer):
    prompts = [builder(tokenizer, max_events=1).build(row(TWO))]
    assert reading_sentences(prompts, "train", 0) == [
        "train: of 5 events of past visits, 2 are read and 3 are not (prompt.max_events a visit, in the room that the "
        "codes leave)"
    ]
    assert reading_sentences([builder(tokenizer).build(row(TWO))], "train", 0) == []
    with pytest.raises(ValueError, match=r"prompt\.max_events must be 0 or more, got -1"):
        PromptConfig(max_events=-1)


def test_events_are_dropped_and_shuffled_within_their_visit_and_apart_from_codes(tokenizer):
    history = [
        {"codes": list(DEFINITIONS), "days_before": 9, "events": list(EVENTS)},
        {"codes": list(DEFINITIONS)[:2], "days_before": 2, "events": []},
    ]
    prompt = builder(tokenizer).build(row(history))
    seen = seen_codes(history, {code: column for column, code in enumerate(DEFINITIONS)})

    def variants(**options):
        dataset = RankingDataset([prompt], [[0]], [seen], num_orders=1, max_targets=5, seed=0, **options)
        for epoch in range(20):
            dataset.set_epoch(epoch)
            yield tokenizer.decode(dataset[0].prompt_ids)

    assert next(variants(history_dropout=0.9999)) == "<s>67 F<visit>9<visit>2<next>"
    assert set(variants()) == {tokenizer.decode(prompt.ids)}
    shuffled = list(variants(shuffle_codes=True))
    assert len(set(shuffled)) > 10
    first = {tuple(text.split("<visit>")[1].removeprefix("9<").removesuffix(">").split("><")) for text in shuffled}
    assert {frozenset(pieces[:3]) for pieces in first} == {frozenset(DEFINITIONS)}
    assert {frozenset(pieces[3:]) for pieces in first} == {frozenset(EVENTS)}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("events") / "task", patients=240, events=True)


def test_columns_are_the_vocabulary_of_the_task_and_none_where_none_is_read(task):
    columns = event_columns(task)
    assert list(columns) == task.events["event"].to_list()
    assert task.events["event"].to_list()[-1] == "drug:water"
    assert event_columns(without_events(task)) == {}
    first = task.splits["train"][0]["history"][0]
    assert [task.events["event"][number] for number in events_of(first, columns)] == sorted(
        set(first["events"]), key=columns.__getitem__
    )
    assert events_of({"codes": [], "days_before": None}, columns) == []
    assert events_of(first | {"events": None}, columns) == []


ARGUMENTS = (
    *("--config", "configs/rank/demo.yaml", "--model.base", "null", "--model.architecture", json.dumps(ARCHITECTURE)),
    *("--model.tokenizer_size", "600", "--training.epochs", "1", "--training.min_steps", "1"),
    *("--training.batch_size", "16", "--prompt.max_events", "2"),
)


@pytest.fixture(scope="module")
def trained(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("events-runs")
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}  # scores are compared in float32
    logs = {}
    for name, more in (("with", ()), ("without", ("--prompt.max_events", "0"))):
        command = ["rank/train.py", *ARGUMENTS, *more, "--task", task.path, "--output", folder / name]
        logs[name] = run_ready(command, cwd=ROOT, env=environment)
        assert logs[name].returncode == 0, logs[name].stderr[-2000:]
    return folder, logs


def test_a_run_reads_the_events_and_its_ranker_too(task, trained):
    folder, logs = trained
    assert "train: of " in logs["with"].stderr
    assert "events of past visits" in logs["with"].stderr
    assert "events of past visits" not in logs["without"].stderr
    predictions, rows = read_predictions(folder / "with"), list(task.splits["test"])
    ranker = Ranker.load(folder / "with" / "checkpoint")
    assert list(ranker.builder.events) == task.events["event"].to_list()
    np.testing.assert_allclose(ranker.score(rows)[0], predictions.scores, rtol=1e-4, atol=1e-4)
    bare = [each | {"history": [dict(old, events=[]) for old in each["history"]]} for each in rows]
    assert np.abs(ranker.score(bare)[0] - predictions.scores).max(axis=1).min() > 1e-6
    plain = Ranker.load(folder / "without" / "checkpoint")
    assert plain.builder.events == {}
    np.testing.assert_array_equal(plain.score(bare)[0], plain.score(rows)[0])
    assert "events" not in json.loads((folder / "without" / "checkpoint" / "code_tokens.json").read_text())


def test_the_wide_part_reads_events_where_left_out_patients_are_scored_better(task, trained):
    folder, _ = trained
    wide = Ranker.load(folder / "with" / "checkpoint").wide
    assert wide.tables.event_weight > 0
    assert wide.tables.item_weights.shape == (len(task.codes) + len(task.events), len(task.codes))
    told = wide.tables.item_weights[len(task.codes) + event_columns(task)["drug:for-N17.9"]]
    assert int(told.argmax()) == task.codes.index("N17.9")
    assert Ranker.load(folder / "without" / "checkpoint").wide.tables.event_weight == 0


def test_predict_says_that_it_ranks_without_events(trained):
    folder, _ = trained
    command = ["rank/run_predict.py", folder / "with", "--history", "I10;E11.9", "--json"]
    result = run_ready(command, cwd=ROOT, env=os.environ)
    assert "the model also reads procedures, drugs or labs of past visits, and there are none: ranking without" in (
        result.stderr
    )
    assert len(json.loads(result.stdout)["codes"]) == 20


def test_predict_counts_events_without_a_token(task, trained):
    ranker, rows = Ranker.load(trained[0] / "with" / "checkpoint"), list(task.splits["test"])
    with warnings.catch_warnings(record=True) as of_known:
        warnings.simplefilter("always")
        scores, _ = scored(ranker, rows)
    assert not any("no token" in str(each.message) for each in of_known)
    more = [
        row | {"history": [dict(visit, events=["drug:new", *visit["events"]]) for visit in row["history"]]}
        for row in rows
    ]
    visits = [visit for row in more for visit in row["history"]]
    total = sum(len(visit["events"]) for visit in visits)
    sentence = (
        f"of {total:,} procedures, drugs and labs of past visits the model has no token for {len(visits):,}: rank"
    )
    with pytest.warns(UserWarning, match=sentence):
        of_more, _ = scored(ranker, more)
    np.testing.assert_allclose(of_more, scores, rtol=1e-4, atol=1e-4)


def test_every_baseline_that_reads_histories_finds_what_events_tell(task, tmp_path):
    names = ("linear", "ease", "gbdt", "wide")
    recalls = {}
    for asked in ("true", "false"):
        command = ["rank/run_baselines.py", "--task", task.path, "--output", tmp_path / asked, "--events", asked]
        result = run_ready([*command, "--only", *names], cwd=ROOT, env=os.environ)
        assert result.returncode == 0, result.stderr[-2000:]
        for name in names:
            scores = read_predictions(tmp_path / asked / name).scores
            recalls[name, asked] = float(recall_at_k(scores, task.targets("test"), 5))
    for name in names:
        assert recalls[name, "true"] > recalls[name, "false"] + 0.05, (name, recalls)
    refused = run_ready([*command[:-1], "true", "--only", "ease"], cwd=ROOT, env=os.environ)
    assert "differs in events" in refused.stderr


@pytest.mark.parametrize(
    ("network", "config"),
    [(retain, NeuralBaselineConfig), (transformer, TransformerBaselineConfig)],
)
def test_the_networks_read_events(task, network, config):
    settings = config(epochs=15, min_steps=0)
    found = [network(each, settings, seed=0).test for each in (task, without_events(task))]
    recalls = [float(recall_at_k(scores, task.targets("test"), 5)) for scores in found]
    assert recalls[0] > recalls[1] + 0.03


def test_rows_of_the_task_hold_events_of_the_past_alone(task):
    for each in every_row(task):
        told = {event for old in each["history"][:-1] for event in old["events"]} - {"drug:water"}
        codes = {code for old in each["history"][1:] for code in old["codes"]}
        assert {event.removeprefix("drug:for-") for event in told} <= codes
