"""A user's text as tokens: nothing in it is one of the toolkit's tokens, nor one that the model gives a meaning of its
own, whatever the text says.

A note may hold `<next>`, `<visit>`, `</s>` or `<120>`. Read by the tokenizer as it is, these would become the markers
of a prompt, the end of the text or a code. Here they are the characters that they are.
"""

import copy
from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from mera.language_models.code_tokens import MARKERS, code_token
from mera.system.errors import UserError


class PlainText:
    """Encodes text with a copy of the fast tokenizer in which the markers, the codes' tokens and the special tokens
    (`</s>`, `<|im_end|>`) match nothing. Other added tokens, such as runs of spaces, belong to ordinary text and stay:
    text without any of those strings has the same ids as before.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, codes: Iterable[str]):
        """`codes`: whose tokens are left out, where they have one; the tokenizer itself stays as it is. Raises
        UserError where the tokenizer is not a fast one."""
        if not tokenizer.is_fast:
            raise UserError(
                f"the tokenizer of the base model ({type(tokenizer).__name__}) is not a fast one: it cannot tell a "
                f"note that says <next> from the marker; choose a base model with a tokenizer.json"
            )
        added = tokenizer.get_added_vocab()
        self._encoder = copy.deepcopy(tokenizer.backend_tokenizer)
        self._encoder.no_truncation()
        self._encoder.no_padding()
        # A token that is there already keeps its id, and counts as special from now on: only such tokens are skipped.
        self._encoder.add_special_tokens([token for token in (*map(code_token, codes), *MARKERS) if token in added])
        self._encoder.encode_special_tokens = True

    def ids(self, text: str) -> list[int]:
        return self._encoder.encode(text, add_special_tokens=False).ids


def require_plain(tokenizer: PreTrainedTokenizerBase, codes: Iterable[str], texts: Sequence[str]) -> None:
    """Raise UserError where one of `texts` says a token. For stage one: its questions hold codes and words in one
    text, in which the tokenizer could not tell such a word from the token."""
    read = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    plain = PlainText(tokenizer, codes)
    saying = sum(ids != plain.ids(text) for ids, text in zip(read, texts, strict=True))
    if saying:
        raise UserError(
            f"{saying} of the codes' definitions, synonyms and groups' names hold a word that the model reads as a "
            f"token of its own, such as <next>, </s> or a code in angle brackets; write them without the brackets"
        )
