"""The questions of stage one."""

import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from memorize.config import QuestionConfig
from memorize.questions import (
    build_questions,
    encode,
    group_questions,
    held_out_synonyms,
    tokenized,
    tokenizer_texts,
    trained_synonyms,
)
from mera.code_tokens import add_code_tokens, code_token
from mera.models import ModelConfig, load_base_model


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("questions") / "task")


@pytest.fixture(scope="module")
def tokenizer(task):
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE), tokenizer_texts(task))
    add_code_tokens(model, tokenizer, dict(zip(task.codes, task.definitions, strict=True)))
    return tokenizer


def test_every_code_is_asked_both_ways_in_every_wording(task):
    questions = build_questions(task, QuestionConfig(phrasings=2, levels=("chapter",)))
    for kind in ("code_to_definition", "definition_to_code"):
        asked = [question.code for question in questions if question.kind == kind]
        assert sorted(asked) == sorted(task.codes * 2)
    assert len({question.prompt for question in questions}) == len({(q.prompt, q.kind) for q in questions})


def test_held_out_synonyms_are_not_trained_on(task):
    config = QuestionConfig(held_out_synonyms=0.3)
    held_out, trained = set(held_out_synonyms(task, config)), set(trained_synonyms(task, config))
    assert held_out
    assert not held_out & trained
    prompts = {question.prompt for question in build_questions(task, config)}
    assert not any(synonym in prompt for _, synonym in held_out for prompt in prompts if f" {synonym} " in prompt)
    assert held_out == set(held_out_synonyms(task, config))


def test_group_questions_name_the_group(task):
    questions = group_questions(task, "chapter")
    assert {question.code for question in questions} == set(task.codes)
    for question in questions:
        group = task.groups("chapter")[task.codes.index(question.code)]
        assert question.completion == " " + task.group_names["chapter"][group]


def test_a_level_that_does_not_exist_is_refused(task):
    with pytest.raises(ValueError, match="unknown level 'chaptre'; the levels are all, chapter, block"):
        group_questions(task, "chaptre")


def test_only_the_completion_carries_loss_and_ends_with_eos(task, tokenizer):
    questions = build_questions(task, QuestionConfig())
    rows = tokenized(questions, tokenizer, 128)
    for question, row in zip(questions, rows, strict=True):
        completion = [token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask]
        assert completion[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(completion[:-1]) == question.completion
        if question.kind.endswith("to_code"):
            assert tokenizer.convert_ids_to_tokens(completion[:-1]) == [code_token(question.code)]


def test_a_question_longer_than_the_model_is_refused(task, tokenizer):
    questions = build_questions(task, QuestionConfig())
    longest = max(sum(map(len, encode(question, tokenizer))) for question in questions)
    assert len(tokenized(questions, tokenizer, longest)) == len(questions)
    with pytest.raises(ValueError, match=rf"has {longest} tokens, the model takes {longest - 1}: raise"):
        tokenized(questions, tokenizer, longest - 1)


@pytest.mark.parametrize("settings", [{"phrasings": 0}, {"phrasings": 4}, {"held_out_synonyms": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        QuestionConfig(**settings)
