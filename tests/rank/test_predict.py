"""Ranking with a checkpoint: one patient, a task's patients, files, and what a user may get wrong."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from ready_python import run_ready
from small_ranker import build, candidates_of, make_checkpoint, make_ranker
from tiny_task import make_tiny_task
from transformers import AutoModelForCausalLM

from mera.language_models.lora import LoraSettings, add_lora, merged
from mera.root import ROOT
from mera.runs.manifest import RunClock
from mera.runs.other_splits.trained_on import TRAINED_ON, patient_hashes
from mera.runs.run_directory import RunDirectory
from mera.system.private_files import check_output
from rank import outputs
from rank.candidate_head import read_candidates_only
from rank.config import ModelConfig, PromptConfig, RankConfig
from rank.patients.notices import InputNotice
from rank.patients.phenotypes import Phenotype
from rank.predict import Ranker
from rank.prompt import plain_code_sentences
from rank.start import task_to_rank
from rank.task_prediction.predict_task import rank_patient, rank_task
from rank.task_prediction.ranked_files import SUFFIXES, write_ranked

HISTORY = [["I10", "E11.9"], ["I10", "N17.9"]]
HEART_FAILURE = Phenotype.parse("heart_failure=I50")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("predict") / "task")


@pytest.fixture(scope="module")
def ranker(task):
    model, tokenizer, tokens = build(task)
    read_candidates_only(model, *candidates_of(task, tokenizer))
    return make_ranker(task, model, tokenizer, tokens)


@pytest.fixture(scope="module")
def checkpoint(task, tmp_path_factory):
    return make_checkpoint(task, tmp_path_factory.mktemp("predict") / "run" / "checkpoint")


def test_one_forward_pass_per_example(ranker, task, monkeypatch):
    lengths = []
    forward = ranker.model.forward
    monkeypatch.setattr(
        ranker.model, "forward", lambda **inputs: lengths.append(len(inputs["input_ids"])) or forward(**inputs)
    )
    ranker.rank(HISTORY)
    assert lengths == [1]
    ranker.score(list(task.splits["test"]), batch_size=4)
    assert lengths[1:] == [4, 4, 1]


def test_a_loaded_checkpoint_ranks_alike_and_is_a_whole_language_model(ranker, checkpoint, task):
    rows = list(task.splits["test"])
    for found, expected in zip(Ranker.load(checkpoint).score(rows), ranker.score(rows), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert AutoModelForCausalLM.from_pretrained(checkpoint).get_output_embeddings().weight.shape[0] >= 400


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_reading_candidates_only_changes_no_score_and_no_gradient(task, tied, lora):
    results = []
    for restricted in (False, True):
        model, tokenizer, _ = build(task, tied)
        candidate_ids, eov_id = candidates_of(task, tokenizer)
        if lora:
            model = add_lora(model, LoraSettings(rank=2, dropout=0.0))
        if restricted:
            read_candidates_only(model, candidate_ids, eov_id)
        logits = model(input_ids=torch.tensor([[1, 5, 9]])).logits
        read = logits if restricted else logits[..., torch.cat([candidate_ids, torch.tensor([eov_id])])]
        assert read.shape[-1] == len(task.codes) + 1
        read.logsumexp(dim=-1).sum().backward()
        gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
        saved = merged(model).state_dict()
        results.append((read.detach(), gradients, {name: weight.shape for name, weight in saved.items()}))
    (plain, plain_gradients, plain_saved), (read, gradients, saved) = results
    torch.testing.assert_close(read, plain)
    assert any("embed_tokens" in name or "lm_head" in name for name in gradients)
    torch.testing.assert_close(gradients, plain_gradients)
    assert saved == plain_saved


def test_a_code_outside_the_candidates_is_read_as_text_and_counted(ranker, capsys):
    with_unknown = ranker.rank([*HISTORY, ["ZZZ.9", "I10"]])
    assert capsys.readouterr() == ("", "")
    prompts = ranker.prompts([ranker.row([*HISTORY, ["ZZZ.9", "I10"]])])
    assert plain_code_sentences(prompts, "ranking")[0].startswith("ranking: 1 codes of the histories have no token")
    without = ranker.rank([*HISTORY, ["I10"]])
    assert [code.score for code in with_unknown] != [code.score for code in without]
    assert "ZZZ.9" not in {code.code for code in with_unknown}


@pytest.mark.parametrize("form", ["codes", "codes+definitions", "definitions"])
def test_codes_that_training_read_as_text_are_known_and_written_as_there(tmp_path, form):
    """A list of candidates leaves most codes of the histories without a token; a patient from the command line is
    written as the task's own."""
    task = make_tiny_task(tmp_path / "task", outside=["I10", "E11.9", "N17.9"])
    ranker = Ranker.load(make_checkpoint(task, tmp_path / "run", PromptConfig(history=form)))
    assert ranker.written_out.keys() == {"I10", "E11.9", "N17.9"}
    rows = [row for row in task.splits["test"] if any("I10" in visit["codes"] for visit in row["history"])]
    for row in rows:
        visits = [visit["codes"] for visit in row["history"]]
        days = [visit["days_before"] for visit in row["history"]]
        given = ranker.row(visits, days_before=days, age=row["age"], sex=row["sex"])
        assert ranker.unknown_codes_of(given) is None
        assert ranker.prompts([given])[0].ids == ranker.prompts([row])[0].ids
        words = ranker.tokenizer.decode(ranker.prompts([given])[0].ids)
        assert ("hypertension" in words.lower()) == (form != "codes")
    assert rows


def test_repeats_within_a_visit_change_nothing(ranker):
    assert ranker.rank([["I10", "E11.9", "I10"], ["I10", "N17.9", "N17.9"]]) == ranker.rank(HISTORY)


def test_age_sex_and_history_may_each_be_missing(ranker):
    ranked = [
        ranker.rank(HISTORY),
        ranker.rank(HISTORY, age=70),
        ranker.rank(HISTORY, sex="F"),
        ranker.rank([], age=70),
    ]
    assert len({tuple(code.score for code in codes) for codes in ranked}) == 4
    assert not any(code.known for code in ranked[-1])
    for nothing in ([], [[]], [[], []]):
        with pytest.raises(ValueError, match="nothing to rank from"):
            ranker.rank(nothing)


def test_patients_whom_the_model_was_trained_on_are_said_and_no_base_for_others(checkpoint, ranker, task, tmp_path):
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    np.save(tmp_path / "run" / "predictions" / TRAINED_ON, patient_hashes([task.splits["test"]["patient_id"][:2]]))
    base = shutil.copytree(checkpoint, tmp_path / "run" / "checkpoint")
    with pytest.warns(InputNotice, match=r"trained or tuned on [12] of these \d+ patients"):
        rank_task(ranker, str(task.path), "test", [], top=5, batch_size=4, checkpoint=str(base))
    config = RankConfig(task=str(task.path), output=str(tmp_path / "new"), model=ModelConfig(base=str(base)))
    with pytest.raises(ValueError, match=r"model.base .* was trained or tuned on [12] of the patients that this task"):
        task_to_rank(config, None)


def test_a_run_was_trained_on_whom_its_base_was(checkpoint, task, tmp_path):
    (tmp_path / "base" / "predictions").mkdir(parents=True)
    np.save(tmp_path / "base" / "predictions" / TRAINED_ON, patient_hashes([["somebody"]]))
    sizes = (len(task.splits[split]) for split in ("test", "validation"))
    test, validation = (
        outputs.RankedPatients(scores=np.zeros((size, len(task.codes))), thresholds=np.zeros(size), sentences=[])
        for size in sizes
    )
    run, about = RunDirectory(tmp_path / "new"), {"model": {"base": str(tmp_path / "base" / "checkpoint")}}
    said = {"name": "x", "config": about, "seed": 0, "decision": None, "records": {}, "clock": RunClock()}
    outputs.write_ranked(task, test, validation, run, **said)
    known = np.load(run.path("predictions") / TRAINED_ON)
    assert np.isin(patient_hashes([["somebody"]]), known).all()
    assert len(known) > 1


def test_a_task_ranked_as_files(ranker, task, tmp_path):
    examples, measured = rank_task(ranker, str(task.path), "test", [HEART_FAILURE], top=5, batch_size=4)
    rows = list(task.splits["test"])
    assert [example.example_id for example in examples] == [row["example_id"] for row in rows]
    assert measured["heart_failure"]["examples"] == len(rows)
    for suffix in ("json", "parquet"):
        write_ranked(tmp_path / "new" / f"ranked.{suffix}", examples, measured)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    found = json.loads((tmp_path / "new" / "ranked.json").read_text())
    assert found["measured"] == measured
    table = pl.read_parquet(tmp_path / "new" / "ranked.parquet")
    assert table.height == 5 * len(rows)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["ranked.json", "ranked.parquet"]
    for row, example in zip(rows, found["examples"], strict=True):
        ranked = ranker.rank(
            [visit["codes"] for visit in row["history"]],
            days_before=[visit["days_before"] for visit in row["history"]],
            age=row["age"],
            sex=row["sex"],
            top=5,
        )
        assert [code["code"] for code in example["codes"]] == [code.code for code in ranked]
        assert [code["target"] for code in example["codes"]] == [code.code in row["targets"] for code in ranked]
        of_row = table.filter(pl.col("example_id") == row["example_id"])
        assert of_row["place"].to_list() == [1, 2, 3, 4, 5]
        assert of_row["code"].to_list() == [code.code for code in ranked]
        np.testing.assert_allclose(of_row["probability"], [code.probability for code in ranked], rtol=1e-4)
        np.testing.assert_allclose(of_row["phenotype_heart_failure"], example["phenotypes"]["heart_failure"])


def test_a_phenotype_is_as_likely_as_its_codes_say(ranker):
    example = rank_patient(ranker, "i10,E11.9; N17.9", "90;10", [HEART_FAILURE], top=30, age=70, sex="M", text=None)
    probability = {code.code: code.probability for code in example.codes}
    expected = 1 - (1 - probability["I50.9"]) * (1 - probability["I50.22"])
    assert example.phenotypes["heart_failure"] == pytest.approx(expected)
    assert {code.code for code in example.codes if code.known} == {"I10", "E11.9", "N17.9"}


def test_bad_requests(ranker):
    with pytest.raises(ValueError, match=r"days before now are whole numbers of 0 or more, .* got soon"):
        rank_patient(ranker, "I10", "soon", [], top=1, age=None, sex=None, text=None)
    with pytest.raises(ValueError, match="got 3 for 1 visits"):
        rank_patient(ranker, "I10", "1;2;3", [], top=1, age=None, sex=None, text=None)
    with pytest.raises(ValueError, match=r"--output writes .json, .parquet or .csv, got 'x.xlsx'"):
        check_output("x.xlsx", SUFFIXES)
    with pytest.raises(ValueError, match="none of the model's 30 codes begins with 428"):
        rank_patient(ranker, "I10", None, [Phenotype.parse("x=428")], top=1, age=None, sex=None, text=None)


def predict(*arguments):
    return run_ready(["-m", "mera.cli", "predict", *arguments], cwd=ROOT)


def test_the_command_ranks_a_task(checkpoint, task, tmp_path):
    output = tmp_path / "ranked.parquet"
    result = predict(
        checkpoint, "--task", task.path, "--output", output, "--phenotype", "heart_failure=I50", "--top", 3
    )
    assert result.returncode == 0, result.stderr
    assert "9 examples of the split test ranked" in result.stdout
    assert "roc_auc" in result.stdout
    assert pl.read_parquet(output).height == 27


def test_the_command_says_what_is_missing(checkpoint, task):
    result = predict(checkpoint, "--task", task.path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "error: --task needs --output FILE.csv, FILE.parquet or FILE.json" in result.stderr
