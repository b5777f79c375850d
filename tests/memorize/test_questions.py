"""The questions of stage one, and how they become tokens."""

from dataclasses import replace

import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from memorize.code_sets.code_set import ontology_codes, task_codes
from memorize.config import MixtureConfig, QuestionConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.questions import HELD_OUT_PHRASING, PHRASINGS, QuestionBook, tokenizer_texts, with_worked_examples
from memorize.recall import all_questions
from mera.language_models.code_tokens import add_code_tokens, code_token
from mera.language_models.models import ModelConfig, load_base_model

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    return task_codes(make_tiny_task(tmp_path_factory.mktemp("questions") / "task"))


def make_tokenizer(codes):
    model, tokenizer = load_base_model(ModelConfig(architecture=ARCHITECTURE), tokenizer_texts(codes))
    add_code_tokens(model, tokenizer, codes.meanings())
    return tokenizer


@pytest.fixture(scope="module")
def tokenizer(codes):
    return make_tokenizer(codes)


@pytest.fixture(scope="module")
def chat_tokenizer(codes):
    tokenizer = make_tokenizer(codes)
    tokenizer.add_tokens(["<|user|>", "<|assistant|>", "<|end|>"], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def test_every_code_is_asked_both_ways_in_every_wording(codes):
    questions = QuestionBook(codes, QuestionConfig(phrasings=2, levels=("chapter",))).training()
    for kind in ("code_to_definition", "definition_to_code"):
        asked = [question.code for question in questions if question.kind == kind]
        assert sorted(asked) == sorted(codes.codes * 2)
    assert len({question.prompt for question in questions}) == len({(q.prompt, q.kind) for q in questions})


def test_one_wording_is_never_trained_on(codes):
    book = QuestionBook(codes, QuestionConfig(phrasings=4))
    trained = {question.prompt for question in book.training()}
    held_out = [*book.definitions(HELD_OUT_PHRASING), *book.codes(HELD_OUT_PHRASING)]
    assert len(held_out) == 2 * len(codes.codes)
    assert not trained & {question.prompt for question in held_out}
    assert all(len(wordings) == HELD_OUT_PHRASING + 1 for wordings in PHRASINGS.values())
    wordings = " ".join(tokenizer_texts(codes))
    assert PHRASINGS["code_to_definition"][HELD_OUT_PHRASING] not in wordings


def test_the_mixture_says_how_often_each_kind_is_asked(codes):
    def counts(**weights):
        config = QuestionConfig(phrasings=1, levels=("chapter",), mixture=MixtureConfig(**weights))
        kinds = [question.kind for question in QuestionBook(codes, config).training()]
        return {kind: kinds.count(kind) for kind in PHRASINGS}

    once = counts()
    assert counts(code_to_definition=2.5)["code_to_definition"] == 2.5 * len(codes.codes)
    assert counts(code_to_group=0.5)["code_to_group"] == round(0.5 * once["code_to_group"])
    assert counts(synonym_to_code=0) == once | {"synonym_to_code": 0}


def test_held_out_synonyms_are_not_trained_on(codes):
    book = QuestionBook(codes, QuestionConfig(held_out_synonyms=0.3))
    held_out, trained = set(book.names.held_out_synonyms), set(book.names.trained_synonyms)
    assert held_out
    assert not held_out & trained
    prompts = {question.prompt for question in book.training()}
    assert not any(synonym in prompt for _, synonym in held_out for prompt in prompts if f" {synonym} " in prompt)
    assert held_out == set(book.names.held_out_synonyms)


def with_book(codes):
    """`codes` with terms, exclusions and first codes: E11.21 and E10.9 exclude each other, N18.6 wants I10 or E11.22
    before it."""
    place = {code: index for index, code in enumerate(codes.codes)}
    terms, excluded, first = ([[] for _ in codes.codes] for _ in range(3))
    terms[place["I10"]] = ["raised arterial tension", "tension arterial raised", "hypertonia"]
    terms[place["E11.9"]] = ["sugar sickness", "glycosuria of adults", "common name"]
    terms[place["E10.9"]] = ["Common name"]
    excluded[place["E11.21"]], excluded[place["E10.9"]] = ["E10.9"], ["E11.21"]
    first[place["N18.6"]] = ["I10", "E11.22"]
    return replace(codes, terms=terms, excluded=excluded, first=first)


def kinds_of(questions):
    return {kind: sum(question.kind == kind for question in questions) for kind in PHRASINGS}


def test_terms_are_asked_as_often_as_their_own_weight_says(codes):
    def asked(**settings):
        weights = {"synonym_to_code": 0, **settings.pop("mixture", {})}
        config = QuestionConfig(phrasings=2, held_out_synonyms=0, mixture=MixtureConfig(**weights), **settings)
        return kinds_of(QuestionBook(with_book(codes), config).training())["synonym_to_code"]

    assert asked() == 7 * 2
    assert asked(terms_per_code=1) == 3 * 2
    assert asked(mixture={"term_to_code": 2.5}) == 7 * 2 * 2.5
    assert asked(mixture={"term_to_code": 0}) == 0
    assert asked(mixture={"synonym_to_code": 1}) == 2 * (7 + sum(map(len, codes.synonyms)))


def test_every_code_that_is_called_so_is_right(codes):
    book = QuestionBook(with_book(codes), QuestionConfig())
    common, own = book.synonyms([("E11.9", "common name"), ("I10", "hypertonia")])
    assert common.right_codes == {"E11.9", "E10.9"}
    assert own.right_codes == {"I10"}
    assert not QuestionBook(codes, QuestionConfig()).synonyms([("I10", "high blood pressure")])[0].right_codes


def test_questions_on_notes_are_asked_where_the_mixture_says_so(codes):
    plain = QuestionBook(with_book(codes), QuestionConfig(phrasings=1))
    assert not {"code_to_excluded", "code_to_first"} & {question.kind for question in plain.training()}
    assert not any("excluded" in kind or "first" in kind for kind in all_questions(plain))
    mixture = MixtureConfig(code_to_excluded=1, code_to_first=2)
    book = QuestionBook(with_book(codes), QuestionConfig(phrasings=3, mixture=mixture))
    counts = kinds_of(book.training())
    assert (counts["code_to_excluded"], counts["code_to_first"]) == (2 * 3, 2 * 3 * 2)  # both first codes are trained
    (asked,) = book.first()
    assert (asked.code, asked.prompt, asked.right_codes) == ("N18.6", "<N18.6> must stand behind:", {"I10", "E11.22"})
    assert asked.completion in ("<I10>", "<E11.22>")
    measured = all_questions(book)
    assert [question.code for question in measured["code_to_excluded"]] == ["E11.21", "E10.9"]
    trained = {question.prompt for question in book.training()}
    for kind in ("code_to_excluded", "code_to_first"):
        assert not trained & {question.prompt for question in measured[f"held_out_phrasing_{kind}"]}
        assert {question.prompt for question in measured[kind]} <= trained


def test_any_of_three_answers_is_trained_on_and_all_are_right(codes):
    many = [[other for other in codes.codes if other != code] for code in codes.codes]
    mixture = MixtureConfig(code_to_excluded=1)
    book = QuestionBook(replace(codes, excluded=many), QuestionConfig(phrasings=1, mixture=mixture))
    asked = [question for question in book.training() if question.kind == "code_to_excluded"]
    assert len(asked) == len({(question.prompt, question.completion) for question in asked}) == 3 * len(codes.codes)
    assert all(len(question.right_codes) == len(codes.codes) - 1 for question in asked)


def test_the_tokenizer_reads_what_is_trained_and_nothing_that_is_held_out(codes):
    assert QuestionBook(codes, QuestionConfig()).words_of_book() == []
    mixture = MixtureConfig(code_to_first=1)
    book = QuestionBook(with_book(codes), QuestionConfig(held_out_synonyms=0.3, mixture=mixture))
    words = book.words_of_book()
    held_out = {term for _, term in book.names.held_out_terms}
    assert held_out
    assert not held_out & set(words)
    assert {term for _, term in book.names.trained_terms} < set(words)
    assert PHRASINGS["code_to_first"][0] in words
    assert PHRASINGS["code_to_first"][HELD_OUT_PHRASING] not in words
    untrained = QuestionConfig(mixture=MixtureConfig(term_to_code=0))
    assert QuestionBook(with_book(codes), untrained).words_of_book() == []


def test_group_questions_name_the_group(codes):
    questions = QuestionBook(codes, QuestionConfig()).groups("chapter")
    assert {question.code for question in questions} == set(codes.codes)
    for question in questions:
        group = codes.groups("chapter")[codes.codes.index(question.code)]
        assert question.completion == " " + codes.group_names["chapter"][group]


def test_a_level_that_does_not_exist_is_refused(codes):
    with pytest.raises(ValueError, match="unknown level 'chaptre'; the levels are all, chapter, block"):
        QuestionBook(codes, QuestionConfig()).groups("chaptre")


def test_codes_can_stay_text(codes, tokenizer):
    book = QuestionBook(codes, QuestionConfig(atomic_tokens=False))
    assert book.definitions()[0].prompt == f"{codes.codes[0]} means:"
    assert book.codes()[0].completion == f" {codes.codes[0]}"
    tokens = {code_token(code) for code in codes.codes}
    for question in book.training():
        ids = tokenizer(question.prompt + question.completion)["input_ids"]
        assert not tokens & set(tokenizer.convert_ids_to_tokens(ids))


def test_only_the_completion_carries_loss_and_ends_with_eos(codes, tokenizer):
    config = QuestionConfig()
    questions = QuestionBook(codes, config).training()
    rows = tokenized(questions, QuestionEncoder(tokenizer, config), 128)
    for question, row in zip(questions, rows, strict=True):
        completion = [token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask]
        assert completion[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(completion[:-1]) == question.completion
        if question.kind.endswith("to_code"):
            assert tokenizer.convert_ids_to_tokens(completion[:-1]) == [code_token(question.code)]


def test_a_chat_model_is_asked_through_its_template(codes, chat_tokenizer):
    config = QuestionConfig()
    encoder = QuestionEncoder(chat_tokenizer, config)
    book = QuestionBook(codes, config)
    question = book.definitions()[0]
    assert chat_tokenizer.decode(encoder.prompt(question)) == f"<|user|>\n{question.prompt}<|end|>\n<|assistant|>\n"
    assert chat_tokenizer.decode(encoder.completion(question)) == question.completion.strip() + "<|end|>"
    assert encoder.completion(book.codes()[0]) == chat_tokenizer.convert_tokens_to_ids(
        [code_token(codes.codes[0]), "<|end|>"]
    )
    plain = QuestionEncoder(chat_tokenizer, QuestionConfig(chat="never"))
    assert chat_tokenizer.decode(plain.prompt(question)) == chat_tokenizer.bos_token + question.prompt
    assert plain.end_id == chat_tokenizer.eos_token_id


def test_always_chatting_needs_a_template(tokenizer):
    with pytest.raises(ValueError, match="tokenizer has no chat template: use auto"):
        QuestionEncoder(tokenizer, QuestionConfig(chat="always"))
    assert QuestionEncoder(tokenizer, QuestionConfig()).chat is False


def test_worked_examples_show_other_codes(codes):
    for question, asked in zip(
        QuestionBook(codes, QuestionConfig()).codes(),
        with_worked_examples(QuestionBook(codes, QuestionConfig()).codes()),
        strict=True,
    ):
        assert asked.completion == question.completion
        *shown, last = asked.prompt.split("\n")
        assert (len(shown), last) == (3, question.prompt)
        assert not any(line.endswith(question.completion) for line in shown)


def test_a_question_longer_than_the_model_is_refused(codes, tokenizer):
    config = QuestionConfig()
    questions, encoder = QuestionBook(codes, config).training(), QuestionEncoder(tokenizer, config)
    longest = max(len(encoder.prompt(question)) + len(encoder.completion(question)) for question in questions)
    assert len(tokenized(questions, encoder, longest)) == len(questions)
    with pytest.raises(ValueError, match=rf"has {longest} tokens, the model takes {longest - 1}: raise"):
        tokenized(questions, encoder, longest - 1)


@pytest.mark.parametrize(
    "settings", [{"phrasings": 0}, {"phrasings": 5}, {"held_out_synonyms": 1.0}, {"terms_per_code": 0}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=r"must be (between|in|at least)"):
        QuestionConfig(**settings)


def test_an_impossible_mixture_is_refused():
    with pytest.raises(ValueError, match="code_to_group must not be negative, got -1"):
        MixtureConfig(code_to_group=-1)
    with pytest.raises(ValueError, match=r"term_to_code must not be negative, got -0\.5"):
        MixtureConfig(term_to_code=-0.5)
    with pytest.raises(ValueError, match="asks neither for definitions nor for codes"):
        MixtureConfig(code_to_definition=0, definition_to_code=0)


def test_an_ontology_alone_is_a_code_set():
    codes = ontology_codes("icd9cm")
    assert len(codes.codes) == 14567
    assert codes.meanings()["428.0"] == "Congestive heart failure, unspecified"
    assert codes.ambiguous() == 10
    few = codes.spread(50)
    assert len(few.codes) == 50
    assert len(set(few.groups("chapter"))) > 12
    assert few.definitions[7] == codes.meanings()[few.codes[7]]
    assert few.spread(None) is few
