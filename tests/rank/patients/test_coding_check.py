"""`--rules`: marks on predicted codes, sets that are mended, and a checkpoint that keeps its task's rules."""

import json

import numpy as np
import polars as pl
import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from mera.evaluation.coding_rules import CodingRules
from mera.language_models.code_tokens import EOV, add_code_tokens, marker_id, token_ids
from mera.language_models.models import ModelConfig, load_base_model
from mera.system.errors import UserError
from rank.candidate_head import read_candidates_only
from rank.config import PromptConfig
from rank.decision import DecisionRule
from rank.patients.coding_check import check_sets
from rank.predict import Ranker
from rank.task_prediction.predict_task import rank_patient, rank_task
from rank.task_prediction.ranked_files import print_ranked, write_ranked

CODES = ["E10.9", "E11.9", "E11.22", "N18.3", "O80"]
RULES = CodingRules.of(
    [
        ("excludes1", "E11", "type 1 diabetes mellitus (E10.-)", ["E11.9", "E11.22"], ["E10.9"]),
        ("use_additional", "E11.22", "code to identify stage", ["E11.22"], ["N18.3"]),
        ("female_only", "O00-O9A", "pregnancy", ["O80"], []),
    ],
    CODES,
)
EXCLUDED = "excludes1 at E11: type 1 diabetes mellitus (E10.-)"
STAGE = "use_additional at E11.22: code to identify stage"
PREGNANCY = "female_only at O00-O9A: pregnancy"
MEN = [{"age": 40, "sex": "M", "history": [], "text": None}, {"age": None, "sex": None, "history": [], "text": None}]
SCORES = np.array([[0.5, 2.0, 1.0, -1.0, 3.0], [2.0, 1.0, -1.0, -1.0, 3.0]])


def test_check_marks_and_leaves_the_sets():
    checked = check_sets(MEN, SCORES, SCORES > 0, RULES, "check")
    np.testing.assert_array_equal(checked.predicted, SCORES > 0)
    assert checked.marks[0] == {0: [EXCLUDED], 1: [EXCLUDED], 2: [EXCLUDED, STAGE], 4: [PREGNANCY]}
    assert checked.marks[1] == {0: [EXCLUDED], 1: [EXCLUDED]}  # whose sex is unknown


def test_apply_mends_and_says_why_a_code_went():
    checked = check_sets(MEN, SCORES, SCORES > 0, RULES, "apply")
    assert checked.predicted.tolist() == [[False, True, True, False, False], [True, False, False, False, True]]
    assert checked.marks[0] == {0: [EXCLUDED], 2: [STAGE], 4: [PREGNANCY]}
    assert checked.marks[1] == {1: [EXCLUDED]}


def test_none_asks_for_no_rules():
    assert check_sets(MEN, SCORES, SCORES > 0, None, "none").marks == [{}, {}]
    with pytest.raises(UserError, match="--rules check: the checkpoint holds no coding rules"):
        check_sets(MEN, SCORES, SCORES > 0, None, "check")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("rules") / "task")


@pytest.fixture(scope="module")
def ranker(task):
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400), task.definitions)
    tokens = add_code_tokens(model, tokenizer, dict(zip(task.codes, task.definitions, strict=True)))
    read_candidates_only(model, token_ids(tokenizer, task.codes), marker_id(tokenizer, EOV))
    rule = DecisionRule(eov_share=1.0, offset=-100.0, slope=1.0, intercept=0.0)  # everything is predicted
    first, *others = task.codes
    rules = pl.DataFrame(
        [("excludes1", first, f"all others than {first}", [first], others)],
        schema=["kind", "node", "text", "subjects", "objects"],
        orient="row",
    )
    recurrence = np.zeros((len(task.codes), 3), dtype=np.float32)
    return Ranker(
        model.eval(), tokenizer, task.codes, tokens.definitions, PromptConfig(), rule, recurrence, rules=rules
    )


def test_a_patients_codes_are_marked_only_when_asked(ranker, tmp_path, capsys):
    arguments = {"top": 50, "age": 60, "sex": "F", "text": None}
    plain = rank_patient(ranker, "", None, [], **arguments)
    assert "rules" not in plain.as_dict()["codes"][0]
    assert all(code.predicted for code in plain.codes)
    applied = rank_patient(ranker, "", None, [], **arguments, rules="apply")
    ranking = [code.code for code in plain.codes]
    best = ranking[0]
    first = ranker.candidates[0]
    left = [first] if best == first else [code for code in ranking if code != first]
    assert [code.code for code in applied.codes if code.predicted] == left
    for code in applied.codes:
        assert bool(code.rules) != code.predicted
    print_ranked(applied)
    assert "excludes1" in capsys.readouterr().out
    write_ranked(tmp_path / "ranked.json", [applied])
    record = json.loads((tmp_path / "ranked.json").read_text())["examples"][0]["codes"]
    assert [code["rules"] for code in record] == [list(code.rules) for code in applied.codes]


def test_a_tasks_patients_in_a_table(ranker, task, tmp_path):
    examples, _ = rank_task(ranker, str(task.path), "test", [], 5, 64, rules="check")
    write_ranked(tmp_path / "ranked.parquet", examples)
    table = pl.read_parquet(tmp_path / "ranked.parquet")
    assert table.schema["rules"] == pl.List(pl.String)
    assert table["predicted"].all()
    assert table["rules"].list.len().min() == 1


def test_a_checkpoint_keeps_its_rules(ranker, tmp_path):
    ranker.save_settings(tmp_path)
    assert pl.read_parquet(tmp_path / "rules.parquet").equals(ranker.rule_table)
