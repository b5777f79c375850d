"""Stage one of an encoder-decoder: the question in the encoder, the answer in the decoder."""

import json
import math
import os
import runpy
import signal
import sys
import time

import numpy as np
import pytest
import torch
from ready_python import begin_ready
from small_model import OWN_HEAD, SMALL_T5
from tiny_task import make_tiny_task
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from memorize.answering import EncoderDecoderReading
from memorize.code_sets.code_set import task_codes
from memorize.config import MemorizeConfig, QuestionConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.forgetting import perplexity, replayed_text, with_replay
from memorize.measurement import load_memorized, what_to_ask
from memorize.questions import QuestionBook, tokenizer_texts
from memorize.recall import BOTH_WAYS, all_questions, ask, both_ways, shares
from memorize.trainer import build_trainer
from mera.config import load_config
from mera.language_models.code_tokens import add_code_tokens
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.runs.run_directory import RunDirectory

LARGER = SMALL_T5 | {"d_model": 64, "d_ff": 128, "num_heads": 4}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("text_to_text") / "task", patients=20)


def arguments(task, output, **options):
    settings = {
        "task": str(task.path),
        "output": str(output),
        "model__architecture": json.dumps(LARGER),
        "model__tokenizer_size": 400,
        "questions__phrasings": 1,
        "questions__levels": "[]",
        "questions__mixture__synonym_to_code": 0,
        "training__epochs": 200,
        "training__batch_size": 10,
        "training__schedule": "constant_with_warmup",
        "training__learning_rate": 0.004,
        "evaluate_every": 5,
        "stop_at": 1.0,
    } | options
    pairs = ((f"--{key.replace('__', '.')}", str(value)) for key, value in settings.items() if value is not None)
    return [word for pair in pairs for word in pair]


def memorize(monkeypatch, task, output, **options):
    """Run memorize/train.py in this process and return what recall.json holds."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("MERA_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["memorize/train.py", *arguments(task, output, **options)])
    runpy.run_path(str(ROOT / "memorize" / "train.py"), run_name="__main__")
    return json.loads((output / "recall.json").read_text())


def recall_of(model, checkpoint):
    code_set, questions = load_memorized(checkpoint)
    encoder = QuestionEncoder.of(model, AutoTokenizer.from_pretrained(checkpoint), questions)
    book = QuestionBook(code_set, questions)
    return shares(ask(model, encoder, book, all_questions(book), batch_size=7))


@pytest.mark.parametrize(
    ("architecture", "options", "least"),
    [
        ({}, {"training__epochs": 400}, 0.99),
        (OWN_HEAD | {"initializer_factor": 0.3}, {"model__gradient_checkpointing": True}, 0.99),
        ({}, {"model__lora__rank": 8, "training__epochs": 40}, 0.05),
    ],
    ids=["tied", "own head", "lora"],
)
def test_a_t5_knows_the_codes_both_ways_and_plain_transformers_opens_it(
    task, tmp_path, monkeypatch, architecture, options, least
):
    options = {"model__architecture": json.dumps(LARGER | architecture), **options}
    recall = memorize(monkeypatch, task, tmp_path / "run", num_codes=24, **options)
    assert recall["codes"] == 24
    assert max(recall["before"][kind] for kind in BOTH_WAYS) < 0.3
    assert min(recall["after"][kind] for kind in BOTH_WAYS) >= least
    checkpoint = tmp_path / "run" / "checkpoint"
    plain = AutoModelForSeq2SeqLM.from_pretrained(checkpoint)
    assert recall_of(plain, checkpoint) == recall["after"]
    assert (plain.lm_head.weight is plain.shared.weight) == (not architecture)
    code_set, _ = what_to_ask(checkpoint, None)
    assert code_set.codes == load_memorized(checkpoint)[0].codes
    assert recall["training"]["loss_tokens_per_epoch"] > 4 * len(code_set.codes)  # code and end, words and end


def test_a_killed_run_resumes_to_the_same_weights(task, tmp_path, monkeypatch):
    options = {"training__epochs": 30, "num_codes": 8, "stop_at": None, "training__batch_size": 5}
    whole = memorize(monkeypatch, task, tmp_path / "whole", **options)
    killed = begin_ready(
        ["memorize/train.py", *arguments(task, tmp_path / "cut", **options)], tmp_path / "log", cwd=ROOT
    )
    deadline = time.monotonic() + 240
    while not list((tmp_path / ".cut.partial").glob("trainer/checkpoint-*/trainer_state.json")):
        assert killed.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "cut").exists()
    resumed = memorize(monkeypatch, task, tmp_path / "cut", **options)
    assert resumed["after"] == whole["after"]
    first, second = (
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path / name / "checkpoint").state_dict() for name in ("whole", "cut")
    )
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())


@pytest.fixture(scope="module")
def parts(task):
    """(model, encoder, book) of an untrained T5, whose output layer says different things."""
    torch.manual_seed(0)
    codes = task_codes(task)
    config = ModelConfig(architecture=SMALL_T5, tokenizer_size=400)
    model, tokenizer = load_base_model(config, tokenizer_texts(codes))
    add_code_tokens(model, tokenizer, codes.meanings())
    return model.eval(), QuestionEncoder.of(model, tokenizer, QuestionConfig()), QuestionBook(codes, QuestionConfig())


def test_a_question_is_two_texts(parts):
    _, encoder, book = parts
    tokenizer, question = encoder.tokenizer, book.definitions()[0]
    (row,) = tokenized([question], encoder, 64)
    assert tokenizer.decode(row["input_ids"]) == f"{question.prompt}</s>"
    assert tokenizer.decode(row["labels"]) == f"{question.completion.strip()}</s>"
    longest = max(len(row["input_ids"]), len(row["labels"]))
    assert len(tokenized([question], encoder, longest)) == 1
    with pytest.raises(ValueError, match=f"has {longest} tokens, the model takes {longest - 1}"):
        tokenized([question], encoder, longest - 1)


@torch.no_grad()
def test_a_batch_reads_as_each_question_alone(parts):
    model, encoder, book = parts
    questions = [*book.definitions(), *book.codes()]
    prompts = [encoder.prompt(question) for question in questions]
    completions = [encoder.completion(question) for question in questions]
    assert len(set(map(len, prompts))) > 5
    reading = EncoderDecoderReading(model, encoder.tokenizer.pad_token_id)
    together = reading.first_logits(reading.inputs(prompts))
    likeliest = reading.likeliest(prompts, completions)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        start = [model.config.decoder_start_token_id]
        for known, token in enumerate(likeliest[row]):
            ids = torch.tensor([start + completion[:known]])
            logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=ids).logits[0, -1]
            assert int(logits.argmax()) == token
            if not known:
                torch.testing.assert_close(together[row], logits, rtol=1e-4, atol=1e-5)


def test_what_is_recited_is_what_is_generated(task, tmp_path, monkeypatch):
    options = {"training__epochs": 8, "stop_at": None, "training__learning_rate": 0.003}
    memorize(monkeypatch, task, tmp_path / "run", **options)
    checkpoint = tmp_path / "run" / "checkpoint"
    model = AutoModelForSeq2SeqLM.from_pretrained(checkpoint)
    book = QuestionBook(*load_memorized(checkpoint))
    encoder = QuestionEncoder.of(model, AutoTokenizer.from_pretrained(checkpoint), book.config)
    watched, measured = both_ways(model, encoder, book), recall_of(model, checkpoint)
    assert watched == {kind: measured[kind] for kind in BOTH_WAYS}
    assert 0 < sum(measured[kind] for kind in BOTH_WAYS) < 2


def trainer_of(task, folder, **settings):
    settings = {"task": "t", "output": str(folder), "model.architecture": SMALL_T5, "model.max_length": 64} | settings
    config = load_config(MemorizeConfig, None, settings)
    torch.manual_seed(0)
    codes = task_codes(task)
    model, tokenizer = load_base_model(config.model, tokenizer_texts(codes))
    add_code_tokens(model, tokenizer, codes.meanings())
    book, encoder = QuestionBook(codes, config.questions), QuestionEncoder.of(model, tokenizer, config.questions)
    examples = tokenized(book.training(), encoder, 64)
    return build_trainer(model, tokenizer, examples, book, encoder, config, RunDirectory(config.output))


def test_the_loss_is_the_mean_over_the_answers_tokens_of_a_step(task, tmp_path):
    trainer = trainer_of(task, tmp_path / "run")
    model, rows = trainer.model.eval(), [trainer.train_dataset[number] for number in (0, 7, 40, 90)]
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([[model.config.decoder_start_token_id, *row["labels"][:-1]]])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]]), decoder_input_ids=ids).logits[0]
        log_probs = logits.log_softmax(-1)
        total -= sum(float(log_probs[place, token]) for place, token in enumerate(row["labels"]))
        count += len(row["labels"])
    batches = [trainer.data_collator([*rows[:3], trainer.blank(rows[0])]), trainer.data_collator(rows[3:])]
    items = trainer.step_items(batches, torch.device("cpu"))
    assert float(items) == count
    split = sum(trainer.compute_loss(model, batch, num_items_in_batch=items).item() for batch in batches)
    assert split == pytest.approx(total / count, rel=1e-5)
    assert trainer.compute_loss(model, trainer.data_collator(rows)).item() == pytest.approx(total / count, rel=1e-5)
    lengths = [len(row["input_ids"]) + len(row["labels"]) for row in trainer.train_dataset]
    assert trainer.example_lengths() == lengths


def test_questions_are_not_packed(task, tmp_path):
    with pytest.raises(ValueError, match="packing: always is for causal models"):
        trainer_of(task, tmp_path / "run", packing="always")


def test_an_adapter_is_not_saved_apart(task, tmp_path):
    with pytest.raises(ValueError, match="save_adapter is for causal models"):
        trainer_of(task, tmp_path / "run", **{"save_adapter": True, "model.lora.rank": 2})


@torch.no_grad()
def test_general_text_is_its_second_half_after_the_first(task, parts):
    model, encoder, book = parts
    tokenizer = encoder.tokenizer
    examples = tokenized(book.definitions(), encoder, 64)
    mixed = with_replay(examples, 0.5, replayed_text(None), tokenizer, 64, book.code_set.codes)
    assert len(mixed) == 2 * len(examples)
    pieces = list(mixed)[len(examples) :]
    assert all(row["input_ids"][-1] == tokenizer.eos_token_id for row in pieces)
    assert {len(row["labels"]) - len(row["input_ids"]) for row in pieces} <= {0, -1}
    assert tokenizer.decode(pieces[0]["input_ids"][:-1] + pieces[0]["labels"]) in " ".join(replayed_text(None))
    texts, total, count = ["The market opens.", "A good knife needs little attention."], 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        half = len(ids) // 2
        for place in range(half, len(ids)):
            read = torch.tensor([[*ids[:half], tokenizer.eos_token_id]])
            written = torch.tensor([[model.config.decoder_start_token_id, *ids[half:place]]])
            probabilities = model(input_ids=read, decoder_input_ids=written).logits[0, -1].softmax(-1)
            total -= math.log(probabilities[ids[place]])
            count += 1
    assert perplexity(model, tokenizer, texts, 128) == pytest.approx(np.exp(total / count), rel=1e-4)
