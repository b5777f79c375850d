"""What a model knows: the fast check against generation, ranks, ambiguous definitions, confusions."""

from dataclasses import replace

import pytest
import torch
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from memorize.answering import answer_with_codes, answer_with_text, recites
from memorize.breakdown import breakdown, confusions
from memorize.code_sets.code_set import CodeSet, task_codes
from memorize.config import QuestionConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.measurement import pretrained_recall
from memorize.questions import QuestionBook, tokenizer_texts
from memorize.recall import Answers, all_questions, ask, both_ways, shares
from mera.language_models.code_tokens import add_code_tokens, token_ids
from mera.language_models.models import ModelConfig, load_base_model


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    return task_codes(make_tiny_task(tmp_path_factory.mktemp("recall") / "task")).spread(8)


def trained_model(codes, config, steps):
    """A tiny model trained on the questions, and their encoder."""
    torch.manual_seed(0)
    architecture = ARCHITECTURE | {"hidden_size": 32}
    model, tokenizer = load_base_model(
        ModelConfig(architecture=architecture, tokenizer_size=400), tokenizer_texts(codes)
    )
    if config.atomic_tokens:
        add_code_tokens(model, tokenizer, codes.meanings())
    encoder, book = QuestionEncoder(tokenizer, config), QuestionBook(codes, config)
    rows = tokenized(book.definitions() + book.codes(), encoder, 128)
    width = max(map(len, rows["input_ids"]))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows["input_ids"]])
    mask = torch.tensor([row + [0] * (width - len(row)) for row in rows["completion_mask"]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        model(input_ids=ids, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, encoder, book


@pytest.mark.parametrize("atomic_tokens", [True, False])
@pytest.mark.parametrize("steps", [25, 90])
def test_reciting_is_what_generation_gives(codes, atomic_tokens, steps):
    config = QuestionConfig(atomic_tokens=atomic_tokens)
    model, encoder, book = trained_model(codes, config, steps)
    for questions in (book.definitions(), book.codes() if not atomic_tokens else book.definitions(1)):
        texts = answer_with_text(model, encoder, questions, 3, "x")
        generated = [text == question.completion.strip() for text, question in zip(texts, questions, strict=True)]
        assert recites(model, encoder, questions, 3) == generated
    found = shares(ask(model, encoder, book, all_questions(book), 5))
    watched = both_ways(model, encoder, book, 5)
    assert watched == {kind: found[kind] for kind in watched}
    assert (steps == 90) == (min(watched.values()) > 0.9)
    assert model.training


def test_answers_with_codes_equal_one_forward_per_question(codes):
    model, encoder, book = trained_model(codes, QuestionConfig(), 20)
    questions = book.codes(1)
    right = [{question.code} for question in questions]
    best, place = answer_with_codes(model, encoder, questions, codes.codes, right, 3, "x")
    candidates = token_ids(encoder.tokenizer, codes.codes)
    for question, code, rank in zip(questions, best, place, strict=True):
        with torch.no_grad():
            scores = model(input_ids=torch.tensor([encoder.prompt(question)])).logits[0, -1, candidates]
        assert codes.codes[scores.argmax()] == code
        assert rank == (scores > scores[codes.codes.index(question.code)]).sum()


def test_either_code_of_an_ambiguous_definition_is_right(codes):
    twin = replace(codes, definitions=[codes.definitions[0], codes.definitions[0], *codes.definitions[2:]])
    assert twin.ambiguous() == 2
    model, encoder, book = trained_model(twin, QuestionConfig(), 90)
    answers = ask(model, encoder, book, {"definition_to_code": book.codes()})["definition_to_code"]
    first, second = answers.given[:2]
    assert first == second  # the same prompt has one answer
    assert first in twin.codes[:2]
    assert answers.right[:2] == [True, True]


def test_a_held_out_synonym_counts_at_1_and_at_10():
    answers = Answers(
        questions=[None] * 4, given=[""] * 4, right=[True, False, False, False], right_at_10=[True] * 3 + [False]
    )
    assert shares({"held_out_synonym_to_code": answers}) == {
        "held_out_synonym_to_code": 0.25,
        "held_out_synonym_to_code_at_10": 0.75,
    }


def test_confusions_say_how_far_away_the_wrong_answer_is(tmp_path):
    codes = task_codes(make_tiny_task(tmp_path / "task"))
    asked = {question.code: question for question in QuestionBook(codes, QuestionConfig()).definitions()}
    wrong = [
        ("E11.21", "E11.22", "subcategory"),
        ("I50.9", "I50.22", "category"),
        ("I25.10", "I21.4", "block"),
        ("I10", "I50.9", "chapter"),
        ("I10", "E11.9", "all"),
    ]
    by_code = Answers(
        questions=[asked[code] for code, _, _ in wrong] + [asked["I10"]],
        given=[given for _, given, _ in wrong] + ["I10"],
        right=[False] * 5 + [True],
    )
    expected = {"subcategory": 1, "category": 1, "block": 1, "chapter": 1, "all": 1}
    assert confusions(by_code, codes) == expected
    by_text = replace(
        by_code, given=[*(codes.meanings()[given] for _, given, _ in wrong[:4]), "no such thing", "right anyway"]
    )
    assert confusions(by_text, codes) == {
        "subcategory": 1,
        "category": 1,
        "block": 1,
        "chapter": 1,
        "no code of these": 1,
    }


def test_shares_by_chapter_and_frequency_add_up(codes):
    model, encoder, book = trained_model(codes, QuestionConfig(), 25)
    answers = ask(model, encoder, book, {"code_to_definition": book.definitions(), "definition_to_code": book.codes()})
    counted = replace(codes, train_counts=[0, 0, 5, 5, 50, 50, 500, 500])
    found = breakdown(answers, counted)
    assert [row["group"] for row in found["by_frequency"]] == ["unseen", "1-10", "11-100", "> 100"]
    for rows in (found["by_chapter"], found["by_frequency"]):
        assert sum(row["codes"] for row in rows) == 8
        for kind, answer in answers.items():
            assert sum(row["codes"] * row[kind] for row in rows) / 8 == pytest.approx(answer.share())
    assert "by_frequency" not in breakdown(answers, replace(codes, train_counts=None))


def test_the_pretrained_figure_does_not_depend_on_the_new_tokens(codes):
    config = QuestionConfig(atomic_tokens=False)
    model, encoder, book = trained_model(codes, config, 60)
    before = pretrained_recall(model, encoder, book, 4)
    add_code_tokens(model, encoder.tokenizer, codes.meanings())
    with torch.no_grad():  # new tokens that would win every step if they were allowed to
        head = model.get_output_embeddings().weight
        head[token_ids(encoder.tokenizer, codes.codes)] = 3 * head[encoder.end_id]
    assert pretrained_recall(model, encoder, QuestionBook(codes, QuestionConfig()), 4) == before


def test_an_empty_code_set_is_refused():
    with pytest.raises(ValueError, match="nothing-here holds no codes: there is nothing to memorize"):
        CodeSet(
            name="nothing-here",
            edition="",
            codes=[],
            definitions=[],
            synonyms=[],
            level_groups={},
            group_names={},
        )
