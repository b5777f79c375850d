"""The candidates of a training step: batch codes, hard negatives, label views; no true pair is ever a negative."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from tiny_task import make_tiny_task

from bi_encoder.config import ObjectiveConfig
from bi_encoder.inputs.label_views import LabelViews
from bi_encoder.inputs.steps import StepCollator, padded_targets, step_codes, true_pairs
from bi_encoder.loss import multi_positive_info_nce
from bi_encoder.negatives import HardNegatives, sibling_columns, wrong_first_codes
from data.task_folder.book_parts import TERM_SCHEMA


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "tiny", kind="coding", patients=20)


@st.composite
def training_steps(draw):
    """Rows that share codes freely, sibling groups, an index's rankings, and how candidates are drawn."""
    num_codes = draw(st.integers(2, 14))
    codes = st.integers(0, num_codes - 1)
    some_codes = st.lists(codes, min_size=1, max_size=num_codes, unique=True)
    targets = draw(st.lists(some_codes, min_size=1, max_size=6))
    groups = np.array(draw(st.lists(st.integers(0, 3), min_size=num_codes, max_size=num_codes)))
    rankings = [draw(st.permutations(range(num_codes))) for _ in targets]
    synonyms = draw(st.lists(st.integers(0, 3), min_size=num_codes, max_size=num_codes))
    return {
        "num_codes": num_codes,
        "targets": targets,
        "groups": groups,
        "rankings": rankings,
        "synonyms": synonyms,
        "kind": draw(st.sampled_from(["none", "siblings", "mistakes", "both"])),
        "per_row": draw(st.integers(1, 6)),
        "limit": draw(st.integers(1, 20)),
        "views": draw(st.sampled_from(["sampled", "both"])),
        "processes": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 1000)),
    }


def hard_negatives_of(step):
    num_siblings = {"none": 0, "siblings": step["per_row"], "mistakes": 0, "both": (step["per_row"] + 1) // 2}
    siblings = num_siblings[step["kind"]]
    negatives = HardNegatives(
        num_siblings=siblings,
        num_mistakes=0 if step["kind"] in ("none", "siblings") else step["per_row"] - siblings,
        siblings=[np.flatnonzero(step["groups"] == group) for group in step["groups"]],
    )
    negatives.mistakes = wrong_first_codes(step["rankings"], step["targets"], negatives.mistakes_per_example)
    return negatives


def views_of(counts):
    synonyms, owner = [], list(range(len(counts)))
    for column, count in enumerate(counts):
        synonyms.append(list(range(len(owner), len(owner) + count)))
        owner += [column] * count
    names = {"synonyms": synonyms, "terms": [[] for _ in counts]}
    texts = [f"view {view}" for view in range(len(owner))]
    return LabelViews(texts=texts, token_ids=[[view] for view in owner], owner=torch.tensor(owner), names=names)


@settings(max_examples=200, deadline=None)
@given(training_steps())
def test_no_true_pair_of_a_step_is_ever_in_a_denominator(step):
    """Whatever processes and hard negatives bring: the more any true pair scores, the lower the loss of its row, and
    the loss is that of the true codes against the others alone."""
    torch.manual_seed(step["seed"])
    targets, views, negatives = step["targets"], views_of(step["synonyms"]), hard_negatives_of(step)
    drawn = []
    for process in range(step["processes"]):
        rows = range(process, len(targets), step["processes"])
        hard = [negatives.draw(row, targets[row]) for row in rows]
        assert all(not set(found) & set(targets[row]) for found, row in zip(hard, rows, strict=True))
        assert all(len(found) == len(set(found)) <= step["per_row"] for found in hard)
        columns = step_codes([targets[row] for row in rows], hard, step["num_codes"], step["limit"])
        wanted = {code for row in rows for code in targets[row]} | {code for found in hard for code in found}
        assert wanted <= set(columns.tolist())
        assert len(columns) == len(set(columns.tolist())) == max(len(wanted), min(step["limit"], step["num_codes"]))
        drawn.append(views.draw(columns.tolist(), step["views"], 0.5))
    pooled = torch.cat(drawn).unique()
    positive = true_pairs(padded_targets(targets), views.owner[pooled])
    for row, codes in enumerate(targets):
        for view, true in zip(pooled.tolist(), positive[row].tolist(), strict=True):
            assert true == (int(views.owner[view]) in codes)
        assert set(codes) <= {int(views.owner[view]) for view in pooled}

    scores = torch.randn(len(targets), len(pooled), requires_grad=True)
    multi_positive_info_nce(scores, positive, 0.5).backward()
    assert (scores.grad[positive] <= 0).all()
    assert (scores.grad[~positive] >= 0).all()


def test_siblings_are_the_nearest_relatives(task):
    column = task.column
    siblings = sibling_columns(task)
    assert {task.codes[code] for code in siblings[column["E11.21"]]} == {"E11.21", "E11.22"}, "of the subcategory"
    assert {task.codes[code] for code in siblings[column["I50.9"]]} == {"I50.9", "I50.22"}, "of the category"
    assert {task.codes[code] for code in siblings[column["N17.9"]]} == {"N17.9", "N18.30", "N18.6"}, "of the block"
    assert siblings[column["A41.9"]].tolist() == [column["A41.9"]], "no relative at any level"


def test_hard_negatives_are_siblings_and_mistakes_half_and_half(task):
    negatives = HardNegatives.of_task(task, "both", 4)
    assert (negatives.num_siblings, negatives.num_mistakes) == (2, 2)
    targets = [task.column["E11.21"], task.column["I50.9"]]
    related = {task.column["E11.22"], task.column["I50.22"]}
    negatives.mistakes = [[task.column["F32.A"], task.column["K21.9"], task.column["E11.22"]]]
    for seed in range(20):
        torch.manual_seed(seed)
        drawn = negatives.draw(0, targets)
        assert set(drawn[:2]) == related
        assert set(drawn[2:]) == {task.column["F32.A"], task.column["K21.9"]}
    assert negatives.draw(0, targets)[2:] != []
    negatives.mistakes = []
    assert set(negatives.draw(0, targets)) == related, "before the index has been searched"


def test_mistakes_are_the_first_codes_that_are_not_true():
    assert wrong_first_codes([[3, 1, 0, 2], [0, 1, 2, 3]], [[3, 0], [2]], keep=2) == [[1, 2], [0, 1]]


def test_views_are_definitions_and_synonyms(task):
    class Words:
        """Stands in for the tokenizer: a text's token ids are the text."""

        def __call__(self, texts, **_):
            return {"input_ids": texts}

    views = LabelViews.of_task(task, Words(), 48)
    heart, sepsis = task.column["I50.9"], task.column["R65.20"]
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        view = int(views.draw([heart], "sampled", 0.5)[0])
        assert views.owner[view] == heart
        seen.add(views.token_ids[view])
    assert seen == {"Heart failure, unspecified", "congestive heart failure", "cardiac failure"}
    both = views.draw([heart, sepsis], "both", 0.0).tolist()
    assert (both[0], both[2]) == (heart, sepsis)
    assert views.owner[both].tolist() == [heart, heart, sepsis], "a code without a synonym has one view"
    assert views.draw([heart], "sampled", 0.0).tolist() == [heart]


def test_a_step_of_objective_settings_that_make_no_sense_is_refused():
    with pytest.raises(ValueError, match="hard_negatives_per_row and refresh_mistakes_every must be at least 1"):
        ObjectiveConfig(hard_negatives_per_row=0)
    with pytest.raises(ValueError, match="names_per_list must be at least 1"):
        ObjectiveConfig(names_per_list=0)
    with pytest.raises(ValueError, match="first_pass_weight must not be negative, got -1"):
        replace(ObjectiveConfig(), first_pass_weight=-1)


class Words:
    """Stands in for the tokenizer: a text's token ids are its words' numbers in `vocabulary`."""

    pad_token_id = 0

    def __init__(self):
        self.vocabulary = []

    def __call__(self, texts, **_):
        if isinstance(texts, str):
            return {"input_ids": self.number(texts)}
        return {"input_ids": [self.number(text) for text in texts]}

    def number(self, text):
        self.vocabulary += [word for word in text.split() if word not in self.vocabulary]
        return [self.vocabulary.index(word) for word in text.split()]

    def text(self, ids):
        return " ".join(self.vocabulary[number] for number in ids)


def with_terms(task, terms):
    rows = [{"code": code, "term": term, "language": "en", "kind": "index"} for code, term in terms]
    return replace(task, terms=pl.DataFrame(rows, schema=TERM_SCHEMA))


def test_terms_of_a_code_book_are_views_and_do_not_crowd_out_the_synonyms(task):
    many = [("I50.9", f"term {number}") for number in range(50)]
    views = LabelViews.of_task(with_terms(task, [*many, ("E11.22", "diabetic kidneys")]), Words(), 48)
    heart, kidney = task.column["I50.9"], task.column["E11.22"]
    torch.manual_seed(0)
    kinds = ("synonyms", "terms")
    drawn = [views.texts[int(views.draw([heart], "sampled", 0.5, kinds)[0])] for _ in range(600)]
    assert drawn.count("Heart failure, unspecified") == pytest.approx(300, abs=60)
    synonyms = drawn.count("congestive heart failure") + drawn.count("cardiac failure")
    assert synonyms == pytest.approx(150, abs=50)
    assert [views.texts[view] for view in views.draw([kidney], "both", 0.0, kinds)][1:] == ["diabetic kidneys"]
    assert views.draw([kidney], "both", 0.0).tolist() == [kidney], "terms are no views unless it is said"
    few = LabelViews.of_task(with_terms(task, [("I50.9", "long term"), ("I50.9", "short")]), Words(), 48, max_terms=1)
    assert [few.texts[view] for view in few.names["terms"][heart]] == ["short"]


def test_name_lists_are_rows_whose_true_codes_are_those_they_name_by_other_names_than_the_steps(task):
    tokenizer = Words()
    views = LabelViews.of_task(task, tokenizer, 48)
    step = StepCollator(
        tokenizer=tokenizer,
        views=views,
        hard_negatives=HardNegatives.of_task(task, "none", 4),
        objective=ObjectiveConfig(name_lists=3, names_per_list=4, candidates_per_step=12, synonym_probability=0.5),
        window_overlap=0,
        max_query_tokens=64,
    )
    example = {"row": 0, "windows": [[0, 1, 2]], "length": 3, "targets": [task.column["A41.9"]]}
    for seed in range(10):
        torch.manual_seed(seed)
        batch = step([example])
        assert len(batch["targets"]) == len(batch["queries"]["input_ids"]) == 4
        assert batch["queries"]["windows_per_text"].tolist() == [1, 1, 1, 1]
        drawn = set(batch["views"].tolist())
        owners = {int(views.owner[view]) for view in drawn}
        for row in range(1, 4):
            codes = [code for code in batch["targets"][row].tolist() if code >= 0]
            assert len(set(codes)) == 4
            assert set(codes) <= owners
            ids = batch["queries"]["input_ids"][row][batch["queries"]["attention_mask"][row].bool()].tolist()
            named = tokenizer.text(ids).removesuffix(".").split(". ")
            assert len(named) == 4
            for code in codes:
                names = [view for view, owner in enumerate(views.owner.tolist()) if owner == code]
                of_code = [view for view in names if views.texts[view] in named]
                assert of_code, "each code is named"
                assert len(names) == 1 or not set(of_code) & drawn
