"""What stage one makes a model forget: perplexity on general text before and after, and replay of such text.

The built-in text (`general_text.txt`, written for this project) is split by paragraph: every second one is measured and
never trained on, the others are what `replay` mixes in where the user names no file.

A causal model writes all of a piece of text, an encoder-decoder its second half after reading the first: perplexities
of the two kinds cannot be compared.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path

import datasets
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memorize.answering import answering, logits_of_completion
from memorize.encoding import as_examples
from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.language_models.plain_text import PlainText
from mera.system.errors import UserError

BUILT_IN_TEXT = Path(__file__).parent / "general_text.txt"
CHUNK_TOKENS = 256
HOLD_OUT_EVERY = 10
"""Of a user's text, one paragraph in so many is held out and measured."""


def measured_text(replay_text: str | None) -> list[str]:
    """The paragraphs whose perplexity is measured; none of them is ever replayed."""
    if replay_text is None:
        return _paragraphs(BUILT_IN_TEXT)[1::2]
    return _user_paragraphs(replay_text)[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]


def replayed_text(replay_text: str | None) -> list[str]:
    """The paragraphs that `replay` may train on."""
    if replay_text is None:
        return _paragraphs(BUILT_IN_TEXT)[::2]
    paragraphs = _user_paragraphs(replay_text)
    return [text for index, text in enumerate(paragraphs) if (index + 1) % HOLD_OUT_EVERY]


def with_replay(
    examples: datasets.Dataset,
    share: float,
    paragraphs: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    codes: Iterable[str] = (),
) -> datasets.Dataset:
    """`examples` and so many pieces of `paragraphs` that they are `share` of the result; every token of a piece carries
    loss. Pieces are repeated where the text is short. A paragraph that writes one of `codes` as its token is written
    (`<428.0>`) holds characters there, no code."""
    number = round(len(examples) * share / (1 - share))
    if not number:
        return examples
    text_to_text = "labels" in examples.column_names
    pairs = _pairs(paragraphs, tokenizer, max_length, codes, text_to_text)
    return datasets.concatenate_datasets([examples, as_examples(list(islice(cycle(pairs), number)), text_to_text)])


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    paragraphs: Sequence[str],
    max_length: int,
    codes: Iterable[str] = (),
) -> float:
    """exp of the mean negative log-probability of a token of `paragraphs` given those before it in its paragraph;
    `codes` are characters there, as in `with_replay`."""
    total, tokens = 0.0, 0
    with answering(model):
        for prompt, written in _pairs(paragraphs, tokenizer, max_length, codes, is_encoder_decoder(model)):
            logits, targets = logits_of_completion(model, prompt, written)
            total += cross_entropy(logits.float(), targets, reduction="sum").item()
            tokens += len(targets)
    return math.exp(total / tokens) if total / tokens < 700 else math.inf


def _pairs(
    paragraphs: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    codes: Iterable[str],
    text_to_text: bool,
) -> list[tuple[list[int], list[int]]]:
    """Pieces of the text, each as what is read and what is to be written behind it."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    pieces = _pieces(paragraphs, PlainText(tokenizer, codes), min(max_length, CHUNK_TOKENS) - len(start))
    if text_to_text:
        halves = [(piece[: len(piece) // 2], piece[len(piece) // 2 :]) for piece in pieces]
        return [([*first, tokenizer.eos_token_id], second) for first, second in halves]
    return [(start, piece) for piece in pieces]


def _pieces(paragraphs: Sequence[str], plain: PlainText, length: int) -> list[list[int]]:
    """Token ids of the paragraphs, cut after `length`; a piece of one token predicts nothing and is left out."""
    pieces = []
    for text in paragraphs:
        ids = plain.ids(text)
        pieces += [ids[at : at + length] for at in range(0, len(ids), length)]
    return [piece for piece in pieces if len(piece) > 1]


def _user_paragraphs(path: str) -> list[str]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"replay_text not found: {path}")
    try:
        paragraphs = _paragraphs(Path(path))
    except UnicodeDecodeError:
        raise UserError(f"replay_text {path} is not UTF-8 text") from None
    if len(paragraphs) < HOLD_OUT_EVERY:
        raise UserError(
            f"replay_text {path} has {len(paragraphs)} paragraphs (separated by empty lines); it needs at least "
            f"{HOLD_OUT_EVERY}, because one in {HOLD_OUT_EVERY} is held out to measure forgetting"
        )
    return paragraphs


def _paragraphs(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]
