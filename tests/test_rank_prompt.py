"""How a patient is written for the language model."""

import pytest
from small_model import ARCHITECTURE

from mera.code_tokens import add_code_tokens
from mera.models import ModelConfig, load_base_model
from rank.config import PromptConfig
from rank.prompt import PromptBuilder, build_prompts

DEFINITIONS = {"428.0": "Congestive heart failure", "401.9": "Essential hypertension", "584.9": "Acute kidney failure"}
VISITS = [{"codes": ["428.0", "401.9", "428.0"], "days_before": 120}, {"codes": ["584.9"], "days_before": 14}]


@pytest.fixture(scope="module")
def tokenizer():
    config = ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400)
    model, tokenizer = load_base_model(config, [*DEFINITIONS.values(), "0 1 2 3 4 5 6 7 8 9 F M"])
    add_code_tokens(model, tokenizer, DEFINITIONS)
    return tokenizer


def row(**changes):
    return {"age": 67, "sex": "F", "history": VISITS, "text": None} | changes


def written(tokenizer, example, **settings):
    return tokenizer.decode(PromptBuilder(tokenizer, PromptConfig(**settings)).build(example).ids)


def test_visits_are_written_oldest_first_and_repeats_once(tokenizer):
    assert written(tokenizer, row()) == "<s>67 F<visit>120<428.0><401.9><visit>14<584.9><next>"


def test_every_code_is_one_token(tokenizer):
    ids = PromptBuilder(tokenizer, PromptConfig()).build(row()).ids
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert [tokens.count(f"<{code}>") for code in DEFINITIONS] == [1, 1, 1]


def test_missing_age_sex_and_days_are_left_out(tokenizer):
    visit = {"codes": ["428.0"], "days_before": None}
    assert written(tokenizer, row(age=None, sex=None, history=[visit])) == "<s><visit><428.0><next>"
    assert written(tokenizer, row(age=None, history=[visit]), days=False) == "<s>F<visit><428.0><next>"
    assert written(tokenizer, row(), demographics=False, days=False) == ("<s><visit><428.0><401.9><visit><584.9><next>")


def test_an_empty_history_is_a_prompt(tokenizer):
    assert written(tokenizer, row(history=[])) == "<s>67 F<next>"


def test_a_note_is_read_from_its_beginning(tokenizer):
    builder = PromptBuilder(tokenizer, PromptConfig(max_text_tokens=3))
    prompt = builder.build(row(text="Acute kidney failure, acute kidney failure", history=[]))
    assert prompt.lost_text_tokens > 0
    assert tokenizer.decode(prompt.ids).startswith("<s>67 FAcute")


def test_oldest_visits_are_lost_first_and_counted(tokenizer, capsys):
    builder = PromptBuilder(tokenizer, PromptConfig(max_tokens=12, days=False, demographics=False))
    prompts = build_prompts(builder, [row(history=VISITS * 4)], "train")
    assert len(prompts[0]) <= 12
    assert tokenizer.decode(prompts[0]).endswith("<visit><584.9><next>")
    assert "train: 4 oldest visits and the ends of 0 notes did not fit" in capsys.readouterr().out


def test_a_code_without_a_token_is_kept_as_text(tokenizer):
    text = written(tokenizer, row(history=[{"codes": ["999.9"], "days_before": 3}]))
    assert text == "<s>67 F<visit>3<999.9><next>"
