"""How a patient is written for the language model."""

import itertools

import pytest
from small_model import ARCHITECTURE
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from mera.language_models.code_tokens import add_code_tokens
from mera.language_models.models import ModelConfig, load_base_model
from rank.config import PromptConfig
from rank.prompt import PromptBuilder, plain_code_sentences, reading_sentences
from rank.start import require_positions

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


def builder(tokenizer, **settings):
    return PromptBuilder(tokenizer, PromptConfig(**settings), DEFINITIONS)


def written(tokenizer, example, **settings):
    return tokenizer.decode(builder(tokenizer, **settings).build(example).ids)


def test_visits_are_written_oldest_first_and_repeats_once(tokenizer):
    assert written(tokenizer, row()) == "<s>67 F<visit>120<428.0><401.9><visit>14<584.9><next>"


def test_every_code_is_one_token(tokenizer):
    ids = builder(tokenizer).build(row()).ids
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
    prompt = builder(tokenizer, max_text_tokens=3).build(
        row(text="Acute kidney failure, acute kidney failure", history=[])
    )
    assert prompt.lost_text_tokens > 0
    assert tokenizer.decode(prompt.ids).startswith("<s>67 FAcute")


def test_oldest_visits_are_lost_first_and_counted(tokenizer):
    short = builder(tokenizer, max_tokens=12, days=False, demographics=False)
    prompts = [short.build(row(history=VISITS * 4))]
    assert len(prompts[0].ids) <= 12
    assert tokenizer.decode(prompts[0].ids).endswith("<visit><584.9><next>")
    assert reading_sentences(prompts, "train", 0) == [
        "train: 4 oldest visits and the ends of 0 notes did not fit into the prompt"
    ]


def test_a_code_without_a_token_is_kept_as_text_and_counted(tokenizer):
    example = row(history=[{"codes": ["999.9", "428.0"], "days_before": 3}])
    assert written(tokenizer, example) == "<s>67 F<visit>3<999.9><428.0><next>"
    assert written(tokenizer, example, history="definitions").endswith("<visit>3999.9;Congestive heart failure;<next>")
    prompts = [builder(tokenizer).build(patient) for patient in (example, row())]
    assert reading_sentences(prompts, "test", 0) == []
    assert plain_code_sentences(prompts, "test") == [
        "test: 1 codes of the histories have no token, as they are no candidates: read as plain text"
    ]


def test_of_a_visit_that_does_not_fit_the_first_codes_are_read(tokenizer):
    """Not nothing at all, and not what is older in its place."""
    history = [{"codes": ["428.0"], "days_before": None}, {"codes": ["584.9", "401.9", "428.0"], "days_before": None}]
    short = builder(tokenizer, max_tokens=5, demographics=False).build(row(history=history))
    assert tokenizer.decode(short.ids) == "<s><visit><584.9><401.9><next>"
    assert (short.lost_visits, short.lost_codes) == (1, 1)
    assert reading_sentences([short], "train", 0) == [
        "train: 1 oldest visits and the ends of 0 notes did not fit into the prompt",
        "train: 1 codes of newest visits did not fit into the prompt, which is shorter than one visit "
        "(prompt.max_tokens)",
    ]


def test_a_note_is_no_longer_than_the_prompt(tokenizer):
    prompt = builder(tokenizer, max_tokens=20).build(row(text="heart failure " * 50))
    assert len(prompt.ids) <= 20
    assert prompt.lost_text_tokens > 0
    for wrong in ({"max_text_tokens": -1}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match="max_tokens must be 1 or more"):
            PromptConfig(**wrong)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("codes", "<visit>14<584.9><next>"),
        ("codes+definitions", "<visit>14<584.9> Acute kidney failure<next>"),
        ("definitions", "<visit>14Acute kidney failure;<next>"),
    ],
)
def test_a_history_is_written_as_codes_or_as_words(tokenizer, form, expected):
    text = written(tokenizer, row(), history=form)
    assert text.startswith("<s>67 F<visit>120")
    assert text.endswith(expected)


@pytest.mark.parametrize("form", ["codes", "codes+definitions", "definitions"])
def test_the_places_of_codes_in_a_prompt(tokenizer, form):
    prompt = builder(tokenizer, history=form).build(row(text="Acute kidney failure"))
    found = [
        [tokenizer.decode(prompt.ids[start:end]) for start, end in itertools.pairwise(places)]
        for places in prompt.visits
    ]
    words = {
        "codes": "<{0}>",
        "codes+definitions": "<{0}> {1}",
        "definitions": "{1};",
    }[form]
    assert found == [
        [words.format(code, DEFINITIONS[code]) for code in codes] for codes in (["428.0", "401.9"], ["584.9"])
    ]


def test_lost_visits_have_no_place(tokenizer):
    short = builder(tokenizer, max_tokens=12, days=False, demographics=False).build(row(history=VISITS * 4))
    assert short.lost_visits == 4
    assert len(short.visits) == 4
    assert short.visits[-1][-1] == len(short.ids) - 1


def test_prompts_longer_than_the_positions_of_a_model_are_refused():
    """GPT-2 has a vector for each of 1,024 places; a Mistral turns by any number of them."""
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=64))
    with pytest.raises(
        ValueError, match=r"may have 70 tokens \(prompt.max_tokens 60 and 10 behind it\), and the model"
    ):
        require_positions(gpt2, PromptConfig(max_tokens=60), 10)
    require_positions(gpt2, PromptConfig(max_tokens=54), 10)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    mistral = MistralForCausalLM(
        MistralConfig(vocab_size=50, max_position_embeddings=64, num_key_value_heads=1, **sizes)
    )
    require_positions(mistral, PromptConfig(max_tokens=600), 10)
