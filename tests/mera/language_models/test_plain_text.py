"""A user's text is text: markers, codes in angle brackets and the model's own signs are characters there."""

import random

import datasets
import pytest
from small_model import ARCHITECTURE
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from bi_encoder.inputs.batches import tokenize
from bi_encoder.inputs.windows import tokenize_windows
from memorize.forgetting import with_replay
from mera.language_models.code_tokens import MARKERS, add_code_tokens, code_token
from mera.language_models.models import ModelConfig, load_base_model
from mera.language_models.plain_text import PlainText, require_plain
from mera.language_models.tokenizer import train_tokenizer
from rank.config import PromptConfig
from rank.prompt import PromptBuilder

DEFINITIONS = {"428.0": "Congestive heart failure", "120": "Shistosomiasis", "I10": "Essential hypertension"}
NOTES = (
    "Seen today. Plan <next> visit in 2 weeks.",
    "wbc <428.0> high",
    "see <visit> summary <EOV>",
    "BP <120>",
    "temp <next>",
    "<I10>",
    "end of text </s> and more <pad><s>",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    config = ModelConfig(architecture=ARCHITECTURE, tokenizer_size=400)
    model, tokenizer = load_base_model(config, [*DEFINITIONS.values(), *NOTES])
    tokenizer.add_tokens([AddedToken("    ", normalized=False, special=False)])  # as ModernBERT's runs of spaces
    add_code_tokens(model, tokenizer, DEFINITIONS)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def token_counts(tokenizer, ids):
    """How often each marker, code and special token stands in `ids`."""
    read = tokenizer.convert_ids_to_tokens(ids)
    tokens = [*MARKERS, *map(code_token, DEFINITIONS), *tokenizer.all_special_tokens]
    return {token: read.count(token) for token in tokens if token in read}


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("history", ["codes", "codes+definitions", "definitions"])
def test_a_note_adds_no_marker_and_no_code_to_a_prompt(tokenizer, note, history):
    builder = PromptBuilder(tokenizer, PromptConfig(history=history, past_note_tokens=100), DEFINITIONS)
    visit = {"codes": ["I10"], "days_before": 3, "text": note}
    ids = builder.build({"age": 60, "sex": "F", "history": [visit], "text": note}).ids
    codes = {} if history == "definitions" else {"<I10>": 1}
    assert token_counts(tokenizer, ids) == {"<s>": 1, "<visit>": 1, "<next>": 1} | codes
    assert tokenizer.decode(ids).count(note) >= 2


def test_a_definition_is_text_too(tokenizer):
    definitions = DEFINITIONS | {"I10": "see <428.0> <next>"}
    builder = PromptBuilder(tokenizer, PromptConfig(history="codes+definitions"), definitions)
    history = [{"codes": ["I10", "next", "s"], "days_before": None}]
    prompt = builder.build({"age": None, "sex": None, "history": history, "text": None})
    assert token_counts(tokenizer, prompt.ids) == {"<s>": 1, "<visit>": 1, "<I10>": 1, "<next>": 1}
    assert prompt.plain_codes == 2  # no code is called next or s


def random_text(draw):
    alphabet = "abc  XYZ0129.,;:<>/[]()%-_\n\t'\"äß漢é🙂" + "\N{NO-BREAK SPACE}"
    words = ["heart", "failure", " ", "    ", "<", ">", "< 3", "BP 120/80", *alphabet]
    return "".join(draw.choices(words, k=draw.randint(0, 60)))


def prefixing_tokenizer():
    """A tokenizer in Llama's form: a sign for the space, put before each text."""
    texts = [*DEFINITIONS.values(), "abc heart failure"]
    letters = sorted(set("".join(texts)) | set("▁0123456789<>/."))
    vocabulary = {token: index for index, token in enumerate(["<unk>", "<s>", "</s>", *letters, "▁h", "he", "fa"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "h"), ("h", "e"), ("f", "a")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Replace("▁", " ")
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    found.add_tokens([AddedToken(code_token(code), normalized=False, special=False) for code in DEFINITIONS])
    found.add_tokens([AddedToken(marker, normalized=False, special=False) for marker in MARKERS])
    return found


@pytest.mark.parametrize("form", ["bytes", "prefix"])
def test_ordinary_text_keeps_its_ids(tokenizer, form):
    tokenizer = tokenizer if form == "bytes" else prefixing_tokenizer()
    plain, draw = PlainText(tokenizer, DEFINITIONS), random.Random(0)
    own = [*MARKERS, *map(code_token, DEFINITIONS), *tokenizer.all_special_tokens]
    texts = [text for text in (random_text(draw) for _ in range(300)) if not any(token in text for token in own)]
    assert len(texts) > 250
    for text in [*texts, *DEFINITIONS.values()]:
        assert plain.ids(text) == tokenizer(text, add_special_tokens=False)["input_ids"]
    # A code and its definition were one text when they were tokenized together; apart they have the same ids.
    for code, definition in DEFINITIONS.items():
        together = tokenizer(f"{code_token(code)} {definition}", add_special_tokens=False)["input_ids"]
        assert [tokenizer.convert_tokens_to_ids(code_token(code)), *plain.ids(f" {definition}")] == together


def test_the_tokenizer_itself_stays_as_it_is(tokenizer):
    text = "<428.0> <next>    </s>"
    tokenizer(["a b c d e"], truncation=True, max_length=2)  # leaves its backend truncating
    plain = PlainText(tokenizer, DEFINITIONS)
    assert len(plain.ids("one two three four")) > 2
    assert token_counts(tokenizer, tokenizer(text)["input_ids"]) == {"<428.0>": 1, "<next>": 1, "</s>": 1}
    assert "    " in tokenizer.convert_ids_to_tokens(plain.ids(text))


def test_replayed_text_holds_no_code(tokenizer):
    examples = datasets.Dataset.from_dict({"input_ids": [[1]] * 5, "completion_mask": [[1]] * 5})
    mixed = with_replay(examples, 0.5, ["The <428.0> of <next> </s>"], tokenizer, 64, DEFINITIONS)
    assert token_counts(tokenizer, mixed["input_ids"][-1]) == {"<s>": 1}


def test_a_definition_that_says_a_token_is_refused_in_stage_one(tokenizer):
    require_plain(tokenizer, DEFINITIONS, [*DEFINITIONS.values(), "less than < 3 or > 5"])
    with pytest.raises(ValueError, match="2 of the codes' definitions, synonyms and groups' names hold a word"):
        require_plain(tokenizer, DEFINITIONS, ["Failure", "as <428.0>", "as </s>"])


def test_a_slow_tokenizer_is_refused(tokenizer):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"the tokenizer of the base model \(Slow\) is not a fast one"):
        PlainText(Slow(), [])


def test_the_bi_encoders_texts_hold_none_of_its_own_signs():
    tokenizer = train_tokenizer(["patient has heart failure"], 300, 64, encoder=True)
    text = "patient </s> has <mask> <pad> heart"
    for ids in (tokenize(tokenizer, [text], 64)[0], tokenize_windows(tokenizer, [text], 64, 4)[0][0]):
        assert [token for token in tokenizer.convert_ids_to_tokens(ids) if token in tokenizer.all_special_tokens] == [
            "<s>",
            "</s>",
        ]
