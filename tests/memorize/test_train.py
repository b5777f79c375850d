"""Stage one from command to checkpoint: what is saved is what was trained, whatever and however it was trained."""

import csv
import json
import os
import runpy
import signal
import sys
import time

import peft
import polars as pl
import pytest
import torch
from ready_python import begin_ready
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.task_folder.book_parts import RULE_SCHEMA, TERM_SCHEMA
from memorize.code_sets.code_set import task_codes
from memorize.config import MemorizeConfig, MixtureConfig, QuestionConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.measurement import load_memorized, what_to_ask
from memorize.questions import QuestionBook, tokenizer_texts
from memorize.recall import BOTH_WAYS, all_questions, ask, shares
from memorize.trainer import build_trainer, flattens
from mera.config import load_config
from mera.language_models.code_tokens import CodeTokens, add_code_tokens, code_token
from mera.language_models.models import ModelConfig, load_base_model
from mera.root import ROOT
from mera.runs.run_directory import RunDirectory

SMALL = ARCHITECTURE | {"hidden_size": 32, "sliding_window": None}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("memorize") / "task", patients=20)


def arguments(prepared, output, **options):
    """Options of memorize/train.py for a run of a second: `model__lora__rank=4` is `--model.lora.rank 4`."""
    settings = {
        "task": str(prepared.path),
        "output": str(output),
        "num_codes": 8,
        "model__architecture": json.dumps(SMALL),
        "model__tokenizer_size": 400,
        "questions__phrasings": 1,
        "questions__levels": "[chapter]",
        "questions__mixture__code_to_group": 0.25,
        "questions__mixture__synonym_to_code": 0,
        "training__epochs": 100,
        "training__batch_size": 20,
        "training__schedule": "constant_with_warmup",
        "training__learning_rate": 0.01,
        "evaluate_every": 20,
    } | options
    return [
        text
        for key, value in settings.items()
        for text in (f"--{key.replace('__', '.')}", str(value))
        if value is not None
    ]


def memorize(monkeypatch, prepared, output, **options):
    """Run memorize/train.py in this process and return what recall.json holds."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # on a GPU it is bf16, and knows a little more or less
    monkeypatch.setattr(sys, "argv", ["memorize/train.py", *arguments(prepared, output, **options)])
    monkeypatch.setenv("MERA_TRACEBACK", "1")
    runpy.run_path(str(ROOT / "memorize" / "train.py"), run_name="__main__")
    return json.loads((output / "recall.json").read_text())


def recall_of(model, checkpoint):
    code_set, questions = load_memorized(checkpoint)
    encoder = QuestionEncoder(AutoTokenizer.from_pretrained(checkpoint), questions)
    book = QuestionBook(code_set, questions)
    return shares(ask(model, encoder, book, all_questions(book)))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("lora", [0, 4])
def test_the_saved_checkpoint_knows_what_the_model_in_memory_knew(task, tmp_path, monkeypatch, tied, lora):
    options = {"save_adapter": True, "model__dtype": "bfloat16"} if lora and not tied else {}
    recall = memorize(
        monkeypatch,
        task,
        tmp_path / "run",
        model__architecture=json.dumps(SMALL | {"tie_word_embeddings": tied}),
        model__lora__rank=lora,
        model__gradient_checkpointing=not tied,
        training__epochs=100 if lora and tied else 60,
        **({"model__base": None, **options}),
    )
    checkpoint = tmp_path / "run" / "checkpoint"
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    learnt = {kind: recall["after"][kind] - recall["before"][kind] for kind in BOTH_WAYS}
    assert max(learnt.values()) > 0.2
    one_question = 1 / 8 if options else 0  # what trained in float32 is saved in bfloat16
    assert recall_of(model, checkpoint) == pytest.approx(recall["after"], abs=one_question)
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert "# A language model that memorized 8 ICD codes" in (checkpoint / "README.md").read_text()
    if not options:
        return
    assert model.dtype == torch.bfloat16
    torch.manual_seed(0)
    config = ModelConfig(architecture=SMALL, tokenizer_size=400, dtype="bfloat16")
    base, _ = load_base_model(config, tokenizer_texts(load_memorized(checkpoint)[0]))
    base.resize_token_embeddings(model.config.vocab_size)
    adapted = peft.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter")
    for found, kept in zip(
        (adapted.get_input_embeddings(), adapted.get_output_embeddings()),
        (model.get_input_embeddings(), model.get_output_embeddings()),
        strict=True,
    ):
        torch.testing.assert_close(found.weight.to(kept.weight.dtype), kept.weight)
    assert recall_of(adapted, checkpoint) == pytest.approx(recall["after"], abs=one_question)


def test_a_killed_run_resumes_to_the_same_recall_and_curve(task, tmp_path, monkeypatch):
    options = {"training__epochs": 60, "evaluate_every": 2}
    whole = memorize(monkeypatch, task, tmp_path / "whole", **options)
    cut = tmp_path / "cut"
    killed = begin_ready(["memorize/train.py", *arguments(task, cut, **options)], tmp_path / "log", cwd=ROOT)
    deadline = time.monotonic() + 240
    while not list((tmp_path / ".cut.partial").glob("trainer/checkpoint-*/trainer_state.json")):
        assert killed.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not cut.exists()
    kept = tmp_path / ".cut.partial" / "trainer" / "before.json"
    before = json.loads(kept.read_text())
    assert (before["shares"], before["perplexity"]) == (whole["before"], whole["perplexity"]["before"])
    kept.write_text(json.dumps(before | {"perplexity": 123.0}))
    resumed = memorize(monkeypatch, task, cut, **options)
    assert resumed["perplexity"]["before"] == 123.0  # read, not measured a second time
    assert resumed["before"] == whole["before"]
    assert (
        resumed["after"]
        == whole["after"]
        == recall_of(AutoModelForCausalLM.from_pretrained(cut / "checkpoint"), cut / "checkpoint")
    )
    first, second = (list(csv.DictReader((run / "curve.csv").open())) for run in (tmp_path / "whole", cut))
    assert [row["step"] for row in first] == [row["step"] for row in second]
    assert [row["code_to_definition"] for row in first] == [row["code_to_definition"] for row in second]


def test_training_stops_where_the_codes_are_known(task, tmp_path, monkeypatch):
    recall = memorize(monkeypatch, task, tmp_path / "run", training__epochs=200, stop_at=0.9, evaluate_every=4)
    rows = list(csv.DictReader((tmp_path / "run" / "curve.csv").open()))
    known = [min(float(row["code_to_definition"]), float(row["definition_to_code"])) >= 0.9 for row in rows]
    assert known == [False] * (len(rows) - 1) + [True]
    assert len(rows) < 50
    assert min(recall["after"][kind] for kind in ("code_to_definition", "definition_to_code")) >= 0.9
    assert recall["training"]["steps"] == int(rows[-1]["step"])
    assert recall["training"]["loss_tokens_per_second"] > 0


def test_codes_as_text_need_no_new_tokens(task, tmp_path, monkeypatch):
    recall = memorize(monkeypatch, task, tmp_path / "run", questions__atomic_tokens=False, training__epochs=120)
    checkpoint = tmp_path / "run" / "checkpoint"
    assert not (checkpoint / "code_tokens.json").exists()
    assert len(AutoTokenizer.from_pretrained(checkpoint)) <= 400
    assert recall["after"]["definition_to_code"] > 0.8
    assert recall_of(AutoModelForCausalLM.from_pretrained(checkpoint), checkpoint) == recall["after"]


def test_a_run_on_an_ontology_replays_text_and_continues(task, tmp_path, monkeypatch):
    options = {"task": None, "ontology": "icd9cm", "num_codes": 6}
    first = memorize(monkeypatch, task, tmp_path / "first", replay=0.2, training__epochs=20, **options)
    assert first["codes"] == 6
    assert "by_frequency" not in first
    assert first["perplexity"]["after"] != first["perplexity"]["before"]
    base = tmp_path / "first" / "checkpoint"
    again = {"model__architecture": None, "model__base": str(base)}
    second = memorize(monkeypatch, task, tmp_path / "second", training__epochs=1, **again, **options)
    assert second["before"] == first["after"]
    assert second["pretrained_as_text"] is None
    with pytest.raises(ValueError, match="has no token for 8 of the task's 8 codes"):
        memorize(monkeypatch, task, tmp_path / "other", **again)  # the task's codes are others
    assert not (tmp_path / "other").exists()


def test_a_run_with_a_book_measures_the_same_with_and_without_its_terms(task, tmp_path, monkeypatch):
    rows = [
        (code, f"{word} {code[0]} sickness", "en", "index") for code in task.codes for word in ("old", "bad", "odd")
    ]
    rules = [("excludes1", "I10", "words", ["I10"], task.codes[1:4])]
    named = make_tiny_task(
        tmp_path / "named",
        patients=20,
        terms=pl.DataFrame(rows, schema=TERM_SCHEMA, orient="row"),
        rules=pl.DataFrame(rules, schema=RULE_SCHEMA, orient="row"),
    )
    options = {"num_codes": None, "training__epochs": 1, "questions__mixture__code_to_excluded": 1}
    recalls = []
    for name, weight in (("with", 2), ("without", 0)):
        options |= {"questions__mixture__term_to_code": weight}
        recalls.append(memorize(monkeypatch, named, tmp_path / name, **options))
        checkpoint = tmp_path / name / "checkpoint"
        names = QuestionBook(*load_memorized(checkpoint)).names
        assert names.counts(train_terms=weight > 0) == recalls[-1]["names"]
        assert recall_of(AutoModelForCausalLM.from_pretrained(checkpoint), checkpoint) == recalls[-1]["after"]
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["task"]["book"]["sources"] == ["a book of a test"]
        card = (checkpoint / "README.md").read_text()
        assert ("the terms of a code book (a book of a test)" in card) == (name == "with")
    with_terms, without = (recall["names"] for recall in recalls)
    assert (with_terms["trained_terms"] > 0, without["trained_terms"]) == (True, 0)
    assert without["terms_left_out"] == with_terms["terms_left_out"] + with_terms["trained_terms"]
    assert with_terms["held_out_terms"] == without["held_out_terms"] > 0
    assert recalls[0]["after"].keys() == recalls[1]["after"].keys()
    for kind in ("held_out_term_to_code", "held_out_term_to_code_at_10", "code_to_excluded"):
        assert kind in recalls[0]["before"]


def test_a_pretrained_base_is_asked_before_it_has_tokens(task, tmp_path, monkeypatch):
    model, tokenizer = load_base_model(ModelConfig(architecture=SMALL, tokenizer_size=400), ["some text"])
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    base = {"model__architecture": None, "model__base": str(tmp_path / "base"), "training__epochs": 1}
    recall = memorize(monkeypatch, task, tmp_path / "run", **base)
    assert recall["pretrained_as_text"] == {"code_to_definition": 0.0, "definition_to_code": 0.0}
    monkeypatch.setattr(sys, "argv", ["x", *arguments(task, tmp_path / "long", **base, model__max_length=12)])
    monkeypatch.delenv("MERA_TRACEBACK")


def test_recall_on_the_command_line(task, tmp_path, monkeypatch, capsys):
    recall = memorize(monkeypatch, task, tmp_path / "run", num_codes=None, training__epochs=3)
    checkpoint = tmp_path / "run" / "checkpoint"
    monkeypatch.setattr(
        sys, "argv", ["mera recall", str(checkpoint), "--task", str(task.path), "--json", str(tmp_path / "found.json")]
    )
    runpy.run_path(str(ROOT / "memorize" / "run_recall.py"), run_name="__main__")
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["recall"] == recall["after"]
    assert found["perplexity"] == pytest.approx(recall["perplexity"]["after"], rel=1e-4)
    for key in ("by_chapter", "by_frequency", "confusions", "ambiguous_codes"):
        assert found[key] == recall[key]
    assert "What the" not in capsys.readouterr().err


def test_recall_refuses_what_it_cannot_measure(task, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        what_to_ask(tmp_path / "none", None)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with pytest.raises(ValueError, match=r"has no code_tokens.json: it is not a checkpoint of memorize/ or rank/"):
        what_to_ask(foreign, None)
    CodeTokens(definitions={"428.0": "Congestive heart failure"}).save(foreign)
    with pytest.raises(ValueError, match=r"does not say what it memorized.*: pass --task"):
        what_to_ask(foreign, None)
    with pytest.raises(ValueError, match=r"has no token for 30 of the task's 30 codes .* belongs to another task"):
        what_to_ask(foreign, task.path)


def test_flattened_batches_keep_the_questions_apart(task):
    """What a batch in one row rests on: positions that start again hide the sequences from each other."""
    torch.manual_seed(0)
    model, tokenizer = load_base_model(ModelConfig(architecture=SMALL, tokenizer_size=400), task.definitions)
    first, second = (tokenizer(text)["input_ids"] for text in task.definitions[:2])
    positions = torch.tensor([[*range(len(first)), *range(len(second))]])
    together = model(input_ids=torch.tensor([first + second]), position_ids=positions, use_cache=False).logits[0]
    apart = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in (first, second)])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_a_flattened_run_learns_the_same(task, tmp_path, monkeypatch):
    padded = memorize(monkeypatch, task, tmp_path / "padded", training__batch_size=64, training__epochs=8)
    flat = memorize(monkeypatch, task, tmp_path / "flat", training__batch_size=64, training__epochs=8, packing="always")
    first, second = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name / "checkpoint").state_dict() for name in ("padded", "flat")
    )
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, rtol=2e-2, atol=2e-3)
    assert padded["before"] == flat["before"]


def test_a_blank_example_carries_no_loss_and_nothing_is_cut(task, tmp_path):
    config = load_config(
        MemorizeConfig,
        None,
        {"task": "t", "output": str(tmp_path / "run"), "model.architecture": SMALL, "model.max_length": 64},
    )
    codes = task_codes(task)
    model, tokenizer = load_base_model(config.model, tokenizer_texts(codes))
    add_code_tokens(model, tokenizer, codes.meanings())
    book, encoder = QuestionBook(codes, config.questions), QuestionEncoder(tokenizer, config.questions)
    examples = tokenized(book.training(), encoder, 64)
    trainer = build_trainer(model, tokenizer, examples, book, encoder, config, RunDirectory(config.output))
    assert trainer.train_dataset["input_ids"] == examples["input_ids"]
    assert trainer.example_lengths() == [len(ids) for ids in examples["input_ids"]]
    batch = trainer.data_collator([trainer.blank(trainer.train_dataset[0])])
    assert (batch["labels"] == -100).all()
    assert trainer.args.gradient_checkpointing is False


def test_only_flash_attention_flattens_by_itself(task):
    class Model:
        class config:
            _attn_implementation = "sdpa"

    class Config:
        packing = "auto"

    assert not flattens(Model, Config)
    Model.config._attn_implementation = "flash_attention_2"
    assert flattens(Model, Config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ontology": "icd9cm"}, "set either task (a prepared task) or ontology"),
        ({"task": None}, "set either task (a prepared task) or ontology"),
        ({"num_codes": 0}, "num_codes must be at least 1, got 0"),
        ({"save_adapter": True}, "save_adapter needs LoRA"),
        ({"model__max_length": 8}, "tokens, the model takes 8: raise model.max_length"),
        ({"attention": "no_such_kernel"}, "'no_such_kernel' cannot be used here"),
    ],
)
def test_bad_input_is_one_sentence(task, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, "argv", ["memorize/train.py", *arguments(task, tmp_path / "run", **options)])
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(str(ROOT / "memorize" / "train.py"), run_name="__main__")
    assert raised.value.code != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_markers_and_codes_of_a_checkpoint_are_single_tokens(task, tmp_path, monkeypatch):
    memorize(monkeypatch, task, tmp_path / "run", training__epochs=1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "checkpoint")
    codes = load_memorized(tmp_path / "run" / "checkpoint")[0].codes
    for token in (*map(code_token, codes), "<EOV>", "<visit>", "<next>"):
        assert tokenizer.convert_ids_to_tokens(tokenizer(f"a{token} b")["input_ids"]).count(token) == 1
    assert load_memorized(tmp_path / "run" / "checkpoint")[1] == QuestionConfig(
        phrasings=1, levels=("chapter",), mixture=MixtureConfig(code_to_group=0.25, synonym_to_code=0)
    )
