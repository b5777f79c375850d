"""`mera predict` of baselines on notes and of fusions: the run's own scores again, evidence of the parts, refusals."""

import json
import re
import shutil

import numpy as np
import pytest
from fused_parts import write_part
from note_baselines import make_note_baselines
from ready_python import run_ready
from small_note_run import make_note_run
from tiny_task import make_tiny_task

from bi_encoder.inputs.texts import query_text
from bi_encoder.search.note_prediction.answers import NoteAnswers
from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from bi_encoder.search.note_prediction.scorers.open_scorer import open_scorer
from data.cohorts.notes.plain_text import plain_text
from mera.commands.fusion.fuse import fuse_runs
from mera.commands.predict import BI_ENCODER, FUSION, NOTES_BASELINE, PROGRAMS, checkpoint_kind, predict_command
from mera.commands.serve.run import engine_sources
from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.system.errors import UserError

NOTE = "Patient has congestive heart failure. Denies fever or chills. AKI."
BASELINES = {
    "bm25": "BM25",
    "dictionary": "dictionary",
    "words-and-letters": "words and letters",
    "phrase-trees": "phrase trees",
}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=80)


@pytest.fixture(scope="module")
def runs(task, tmp_path_factory):
    """Three baselines, a bi-encoder, the baselines fused by trees, and these with the bi-encoder by a sum."""
    return make_note_baselines(task, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", [*BASELINES, "trees"])
def test_it_scores_the_test_split_as_the_run_did(runs, task, name):
    rows, of_run = list(task.splits["test"]), read_predictions(runs / name)
    ranker = NoteRanker.load(runs / name)
    np.testing.assert_array_equal(ranker.score(rows, batch_size=3), of_run.scores)
    for codes, predicted in zip(ranker.ranked(rows, of_run.scores), of_run.predicted, strict=True):
        assert {code.code for code in codes if code.predicted} == {
            code for code, is_predicted in zip(task.codes, predicted, strict=True) if is_predicted
        }
    called = BASELINES.get(name, f"fusion of {', '.join(BASELINES.values())}")
    assert ranker.scorer.called == called


def test_a_fusion_with_a_bi_encoder_reads_a_note_once(runs, task, monkeypatch):
    ranker, rows = NoteRanker.load(runs / "all"), list(task.splits["test"])
    np.testing.assert_allclose(ranker.score(rows), read_predictions(runs / "all").scores, rtol=1e-4, atol=1e-3)
    model, texts = ranker.scorer.parts[1].model, []
    read = model._read
    monkeypatch.setattr(model, "_read", lambda batch: (texts.append(batch["input_ids"]), read(batch))[1])
    together = ranker.rank_rows(rows[:3], 5)
    assert len(texts) == 3
    for codes, row in zip(together, rows, strict=False):
        alone = ranker.ranked([row], ranker.score([row]), 5)[0]
        assert [(code.code, code.evidence) for code in codes] == [(code.code, code.evidence) for code in alone]


def test_the_first_part_that_can_say_gives_the_evidence(runs):
    (whole, trees, laa) = (NoteRanker.load(runs / name).scorer for name in ("all", "trees", "laa"))
    ranker = NoteRanker.load(runs / "laa")
    query = query_text(ranker.row(text=NOTE, age=67, sex="F"), ranker.texts)
    columns = np.arange(8)
    of_trees, of_laa = trees.evidence(query, columns), laa.evidence(query, columns)
    assert whole.evidence(query, columns) == [first or second for first, second in zip(of_trees, of_laa, strict=True)]
    assert all(
        0 <= span.start < span.end <= len(NOTE) and NOTE[span.start : span.end].strip()
        for spans in of_trees
        for span in spans
    )
    each = [part.evidence(query, columns) for part in trees.parts]
    assert of_trees == [next(filter(None, of_code), []) for of_code in zip(*each, strict=True)]
    _, of_dictionary, *_ = each
    assert any(of_dictionary)


def test_what_nobody_sees_changes_nothing_but_the_places(runs):
    """The same note with soft hyphens and a letter of two characters."""
    ranker = NoteRanker.load(runs / "trees")
    hidden = "Ü " + NOTE
    stored = "U\u0308 " + "\u00ad".join(NOTE)
    for code, other in zip(ranker.rank(text=hidden, top=8), ranker.rank(text=stored, top=8), strict=True):
        assert (code.code, code.score) == (other.code, other.score)
        words = [hidden[span.start : span.end] for span in code.evidence]
        assert [plain_text(stored[span.start : span.end]).text for span in other.evidence] == words


def test_the_run_keeps_the_evidence_of_its_parts(runs):
    names = ("dictionary", "phrase-trees", "trees", "laa", "all")
    kept = {name: read_predictions(runs / name).records.get("evidence") for name in names}
    for row, of_codes in kept["trees"].items():
        first, second = kept["dictionary"].get(row, {}), kept["phrase-trees"].get(row, {})
        assert of_codes == {code: first.get(code, second.get(code)) for code in {**first, **second}}
    for row, of_codes in kept["all"].items():
        first, second = kept["trees"].get(row, {}), kept["laa"].get(row, {})
        assert of_codes == {code: first.get(code, second.get(code)) for code in {**first, **second}}
    assert sum(map(len, kept["all"].values())) > sum(map(len, kept["dictionary"].values()))


def test_the_commands_know_a_run_by_its_files(runs):
    kinds = {"laa": BI_ENCODER, "bm25": NOTES_BASELINE, "trees": FUSION}
    for name, kind in kinds.items():
        assert checkpoint_kind(str(runs / name)) == kind
        assert predict_command([str(runs / name), "--text", "AKI"])[1].endswith(PROGRAMS["notes"])
        assert engine_sources(runs / name, None) == {"notes": runs / name}
    answers = NoteAnswers(NoteRanker.load(runs / "trees"))
    reply = answers.note({"text": NOTE, "age": 67, "sex": "F", "top": 4})
    assert answers.about()["model"] == "fusion of BM25, dictionary, words and letters, phrase trees"
    assert [code["code"] for code in reply["codes"]] == [
        code.code for code in answers.ranker.rank(text=NOTE, age=67, sex="F", top=4)
    ]


def test_the_page_says_how_to_ask_from_python(runs, capsys):
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert block.count('"mine/runs/fused"') == 1
    exec(block.replace('"mine/runs/fused"', repr(str(runs / "trees"))), {})
    text = "Flash pulmonary edema, history of CHF."
    expected = [code.code for code in NoteRanker.load(runs / "trees").rank(text=text, top=5)]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == expected


def test_the_command_ranks_a_note_by_a_fusion(runs):
    shown = run_ready(["-m", "mera.cli", "predict", runs / "trees", "--text", NOTE, "--top", "3", "--json"], cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    expected = NoteRanker.load(runs / "trees").rank(text=NOTE, top=3)
    assert [(code["code"], code["score"]) for code in json.loads(shown.stdout)["codes"]] == [
        (code.code, code.score) for code in expected
    ]


def test_what_cannot_rank_a_note_is_one_sentence(runs, task, tmp_path):
    with pytest.raises(UserError, match="trained on notes, and there is none: give one with --text or --file"):
        NoteRanker.load(runs / "trees").rank([["I10"]])
    other = make_tiny_task(tmp_path / "other", kind="coding", outside=["I10"])
    with pytest.raises(UserError, match=r"bm25 has \d+ candidate codes, the task has \d+ or other ones"):
        NoteRanker.load(runs / "bm25", other)
    shutil.copytree(runs / "dictionary", tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / "fitted")
    with pytest.raises(UserError, match="old keeps its predictions and no model that can rank others"):
        predict_command([str(tmp_path / "old"), "--text", "AKI"])

    without = [write_part(task, tmp_path / name, 1.0, 1.0, seed) for seed, name in enumerate(("one", "two"))]
    fused = fuse_runs(without, tmp_path / "fused")
    refused = run_ready(["-m", "mera.cli", "predict", fused, "--text", "AKI"], cwd=ROOT)
    assert refused.returncode == 1
    assert f"{without[0]} holds no model that reads notes" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_the_runs_own_names_are_compared_whatever_the_task_says(task, tmp_path):
    """As where training took phrases from a translation (`evidence.translation`), which the task does not have."""
    run = make_note_run(task, tmp_path / "run", **{"selection.code_vectors": "best", "selection.spans_per_code": 2})
    bare = tmp_path / "bare"
    shutil.copytree(run / "checkpoint", bare)
    unmarked = make_tiny_task(tmp_path / "unmarked", kind="coding", patients=80, marked=False)
    rows, expected = list(task.splits["test"]), read_predictions(run).scores
    np.testing.assert_allclose(NoteRanker.load(run, unmarked).score(rows), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(NoteRanker.load(bare, task).score(rows), expected, rtol=1e-4, atol=1e-3)
    with pytest.raises(UserError, match=r"by up to 2 phrases that annotators marked .*, and .* has none marked"):
        open_scorer(bare, unmarked)
