"""What stage one makes a model forget: perplexity on general text before and after, and replay of such text.

The built-in text (`general_text.txt`, written for this project) is split by paragraph: every second one is measured and
never trained on, the others are what `replay` mixes in where the user names no file.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path

import datasets
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memorize.answering import answering
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
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    length = min(max_length, CHUNK_TOKENS) - len(start)
    pieces = [start + piece for piece in _pieces(paragraphs, PlainText(tokenizer, codes), length)]
    chosen = list(islice(cycle(pieces), number))
    masks = [[0] * len(start) + [1] * (len(piece) - len(start)) for piece in chosen]
    return datasets.concatenate_datasets(
        [examples, datasets.Dataset.from_dict({"input_ids": chosen, "completion_mask": masks})]
    )


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    paragraphs: Sequence[str],
    max_length: int,
    codes: Iterable[str] = (),
) -> float:
    """exp of the mean negative log-probability of a token of `paragraphs` given those before it in its paragraph;
    `codes` are characters there, as in `with_replay`."""
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    total, tokens = 0.0, 0
    with answering(model):
        for piece in _pieces(paragraphs, PlainText(tokenizer, codes), min(max_length, CHUNK_TOKENS) - len(start)):
            ids = torch.tensor([start + piece], device=model.device)
            logits = model(input_ids=ids).logits[0, :-1].float()
            total += cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            tokens += ids.shape[1] - 1
    return math.exp(total / tokens) if total / tokens < 700 else math.inf


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
