"""One new token per ICD code, and the markers: how codes stand in a language model's vocabulary.

A code is written `<428.0>`; `<visit>` opens a visit, the scores are read at `<next>`, `<EOV>` ends a visit.
The checkpoint carries `code_tokens.json`, so that stage two, and a user, knows which codes a model has.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mera.system.errors import UserError

VISIT, NEXT, EOV = "<visit>", "<next>", "<EOV>"
MARKERS = {VISIT: "visit", NEXT: "the next diagnoses are", EOV: "end of visit"}
FILE_NAME = "code_tokens.json"
VOCABULARY_MULTIPLE = 64

Initialisation = Literal["definition", "library"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeTokens:
    """The codes a checkpoint has tokens for, with their definitions, in no particular order."""

    definitions: dict[str, str]
    events: dict[str, str] = field(default_factory=dict)
    """Event -> its name, of the procedures, drugs and labs that have a token too, the rarest in training first."""

    def save(self, checkpoint: str | Path) -> None:
        saved = {"definitions": self.definitions} | ({"events": self.events} if self.events else {})
        text = json.dumps(saved, indent=1, ensure_ascii=False)
        (Path(checkpoint) / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(checkpoint: str | Path) -> "CodeTokens":
        """Raises UserError where `checkpoint` was not written by this toolkit."""
        path = Path(checkpoint) / FILE_NAME
        if not path.is_file():
            inside = path.parent / "checkpoint"
            hint = f"; {inside} is one" if (inside / FILE_NAME).is_file() else ""
            raise UserError(f"{checkpoint} has no {FILE_NAME}: it is not a checkpoint of memorize/ or rank/{hint}")
        saved = json.loads(path.read_text(encoding="utf-8"))
        return CodeTokens(definitions=saved["definitions"], events=saved.get("events", {}))

    def require(self, codes: Sequence[str], checkpoint: str | Path) -> None:
        """Raises UserError unless every one of `codes` has a token."""
        missing = [code for code in codes if code not in self.definitions]
        if missing:
            raise UserError(
                f"the checkpoint {checkpoint} has no token for {len(missing)} of the task's {len(codes)} codes "
                f"(for example {missing[0]}): it belongs to another task; run memorize/train.py on this one"
            )


def has_code_tokens(base: str | None) -> bool:
    """Whether `model.base` is a checkpoint that already has code tokens."""
    return base is not None and (Path(base) / FILE_NAME).is_file()


def code_token(code: str) -> str:
    return f"<{code}>"


def token_ids(tokenizer: PreTrainedTokenizerBase, codes: Sequence[str]) -> torch.Tensor:
    """(C,) int64: the token of each code. Raises UserError on a code without one."""
    ids = cast("list[int | None]", tokenizer.convert_tokens_to_ids([code_token(code) for code in codes]))
    for code, token_id in zip(codes, ids, strict=True):
        if token_id is None or token_id == tokenizer.unk_token_id:
            raise UserError(f"the tokenizer has no token for the code {code}")
    return torch.tensor(ids, dtype=torch.long)


def marker_id(tokenizer: PreTrainedTokenizerBase, marker: str) -> int:
    return cast("int", tokenizer.convert_tokens_to_ids(marker))  # one token, one number


def add_code_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    definitions: dict[str, str],
    initialisation: Initialisation = "definition",
) -> CodeTokens:
    """Give every code in `definitions`, and the markers, one new token; the model and the tokenizer change in place.

    With `definition`, a new row of the input and of the output embedding starts as the mean of its definition's token
    rows; with `library` it is what transformers does (a sample around the mean of the old rows). The vocabulary is
    padded to a multiple of 64; rows that the base model has beyond its tokenizer are dropped first, so that a new token
    never takes an old row. Raises UserError on a code without a definition.
    """
    texts = {code_token(code): text for code, text in definitions.items()} | MARKERS
    for token, text in texts.items():
        if not text.strip():
            raise UserError(f"the code {token.strip('<>')} has no definition to learn")
    _add_tokens(model, tokenizer, texts, initialisation)
    return CodeTokens(definitions=dict(definitions))


def add_event_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens,
    names: dict[str, str],
    initialisation: Initialisation = "definition",
) -> CodeTokens:
    """`code_tokens` with the events in `names` (event -> its name) in place of those it had; each that has no token yet
    gets one as a code does, from the words of its name. The model and the tokenizer change in place."""
    added = tokenizer.get_added_vocab()
    new = {code_token(event): name for event, name in names.items() if code_token(event) not in added}
    if new:
        _add_tokens(model, tokenizer, new, initialisation)
    return replace(code_tokens, events=dict(names))


def _add_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: dict[str, str],
    initialisation: Initialisation,
) -> None:
    """One new token for each key of `texts`, which starts from its words (`add_code_tokens`)."""
    definition_ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts.values()]
    if cast("nn.Embedding", model.get_input_embeddings()).num_embeddings > len(tokenizer):
        model.resize_token_embeddings(len(tokenizer))
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in texts])
    model.resize_token_embeddings(
        len(tokenizer), pad_to_multiple_of=VOCABULARY_MULTIPLE, mean_resizing=initialisation == "library"
    )
    if initialisation == "definition":
        new_ids = tokenizer.convert_tokens_to_ids(list(texts))
        layers = [model.get_input_embeddings()]
        if not model.config.tie_word_embeddings:
            layers.append(model.get_output_embeddings())
        matrices = [cast("Tensor", layer.weight) for layer in layers]
        with torch.no_grad():
            for weight in matrices:
                weight[new_ids] = torch.stack([weight[ids].mean(dim=0) for ids in definition_ids])


def stored_or_new_code_tokens(
    base: str | None,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    definitions: dict[str, str],
    initialisation: Initialisation = "definition",
) -> CodeTokens:
    """A token for each code in `definitions`: as trained where `base`, from which model and tokenizer were loaded, is a
    checkpoint that has code tokens; else new ones, as `add_code_tokens` adds them.

    Raises UserError where the checkpoint lacks one of the codes.
    """
    if base is None or not has_code_tokens(base):
        return add_code_tokens(model, tokenizer, definitions, initialisation)
    code_tokens = CodeTokens.load(base)
    code_tokens.require(list(definitions), base)
    return code_tokens
