"""What a run of stage one starts from: the codes, a model with a token for each, and the training examples."""

from typing import Any

import datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.codes.book.store import NONE, choose_book
from data.task import load_task
from memorize.code_sets.code_notes import ontology_rules
from memorize.code_sets.code_set import CodeSet, ontology_codes, task_codes
from memorize.config import MemorizeConfig
from memorize.encoding import QuestionEncoder, tokenized
from memorize.forgetting import replayed_text, with_replay
from memorize.questions import QuestionBook, tokenizer_texts
from mera.language_models.code_tokens import CodeTokens, has_code_tokens, stored_or_new_code_tokens
from mera.language_models.lora import add_lora
from mera.language_models.models import load_base_model
from mera.language_models.plain_text import require_plain
from mera.runs.records import task_record
from mera.system.errors import UserError
from mera.training.model_memory import require_memory


def load_codes(config: MemorizeConfig) -> tuple[CodeSet, dict[str, Any]]:
    """The codes to learn, and what the manifest says of where they come from.

    Raises FileNotFoundError where there is no such task, UserError where it has no codes.
    """
    asks_about_notes = config.questions.mixture.asks_about_notes
    if config.ontology is not None:
        book = choose_book(config.book, config.ontology)
        codes = ontology_codes(config.ontology, book).spread(config.num_codes)
        if asks_about_notes:
            codes = codes.with_notes(ontology_rules(config.ontology, codes.codes, book))
        where = {"name": codes.name, "kind": "ontology", "edition": codes.edition, "fingerprint": codes.fingerprint()}
        return codes, where | {"split": None} | _book_record(codes)
    assert config.task is not None, "MemorizeConfig has a task or an ontology"
    task = load_task(config.task)
    codes = task_codes(task, with_terms=config.book != NONE).spread(config.num_codes)
    if asks_about_notes:
        codes = codes.with_notes(task.rules)
    of_task = {key: value for key, value in task_record(task, "train").items() if key != "book"}
    return codes, of_task | _book_record(codes)


def _book_record(codes: CodeSet) -> dict[str, Any]:
    """The code book that a run learns from, which is not always the one its task was prepared with."""
    return {} if codes.book is None else {"book": codes.book}


def model_for_codes(
    config: MemorizeConfig, code_set: CodeSet
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, CodeTokens | None]:
    """The model as it is trained, its tokenizer, and its code tokens (see `give_tokens`).

    LoRA comes last: it wraps the embeddings, which must have the rows of new tokens by then. Raises UserError where
    the attention kernel cannot be had.
    """
    words = QuestionBook(code_set, config.questions).words_of_book()
    require_memory(config.model)
    model, tokenizer = load_base_model(config.model, [*tokenizer_texts(code_set), *words])
    use_attention(model, config.attention)
    code_tokens = give_tokens(model, tokenizer, code_set, config)
    if config.model.lora.rank:
        model = add_lora(model, config.model.lora)
    return model, tokenizer, code_tokens


def use_attention(model: PreTrainedModel, name: str | None) -> None:
    """Switch `model` to the attention kernel `name`; None leaves it. Raises UserError where it cannot be had."""
    if name is None:
        return
    try:
        model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"attention: {name!r} cannot be used here ({reason}); unset it for the default") from None


def give_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, code_set: CodeSet, config: MemorizeConfig
) -> CodeTokens | None:
    """A token for each code, new or, where the base model is a checkpoint of ours, as trained; None where codes stay
    text. Raises UserError where a checkpoint has tokens for other codes, or a definition, a synonym or a group's name
    says one of the tokens."""
    if not config.questions.atomic_tokens:
        return None
    code_tokens = stored_or_new_code_tokens(
        config.model.base, model, tokenizer, code_set.meanings(), config.initialisation
    )
    terms = [term for row in code_set.terms or [] for term in row]
    require_plain(tokenizer, code_set.codes, [*code_set.texts(), *terms])
    return code_tokens


def training_examples(
    book: QuestionBook, encoder: QuestionEncoder, model: PreTrainedModel, config: MemorizeConfig
) -> datasets.Dataset:
    """The questions, and the replayed text, as token ids. Raises UserError on a question longer than the context."""
    length = context_length(model, config)
    examples = tokenized(book.training(), encoder, length)
    if not config.replay:
        return examples
    paragraphs = replayed_text(config.replay_text)
    return with_replay(examples, config.replay, paragraphs, encoder.tokenizer, length, book.code_set.codes)


def context_length(model: PreTrainedModel, config: MemorizeConfig) -> int:
    """The longest input in tokens: `model.max_length`, or less where the base model takes less."""
    own = getattr(model.config, "max_position_embeddings", None)
    return config.model.max_length if own is None else min(own, config.model.max_length)


def asks_pretrained(config: MemorizeConfig) -> bool:
    """Whether the base model is to be asked as text what it knows already: it comes with weights, and without code
    tokens."""
    is_pretrained = config.model.base is not None and not has_code_tokens(config.model.base)
    return config.measure_pretrained and is_pretrained
