"""Questions as tokens: plain or through a chat model's template, the prompt apart from the completion.

A causal model reads prompt and completion as one text. An encoder-decoder reads the prompt, ended by eos, in its
encoder, and the completion is the text that its decoder writes.
"""

from collections.abc import Iterable, Sequence

import datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memorize.config import QuestionConfig
from memorize.questions import Question
from mera.language_models.encoder_decoder import is_encoder_decoder
from mera.system.errors import UserError

_PROBE = "definition"


class QuestionEncoder:
    """Turns questions into token ids. `end_id` is the token that ends an answer: eos, or what ends the assistant's
    turn in the chat template. `text_to_text`: for an encoder-decoder, which has no chat template.

    Raises UserError where `config.chat` is `always` and the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: QuestionConfig, text_to_text: bool = False):
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if config.chat == "always" and not has_template:
            raise UserError("questions.chat is always, but the base model's tokenizer has no chat template: use auto")
        self.tokenizer, self.text_to_text = tokenizer, text_to_text
        self.chat = has_template and config.chat != "never"
        self.end_id = self._end_of_turn() if self.chat else tokenizer.eos_token_id

    @classmethod
    def of(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: QuestionConfig
    ) -> "QuestionEncoder":
        """For the kind of language model that `model` is."""
        return cls(tokenizer, config, is_encoder_decoder(model))

    def prompt(self, question: Question) -> list[int]:
        """Token ids up to where the answer begins."""
        if self.text_to_text:
            return [*self._ids(question.prompt), self.end_id]
        if self.chat:
            return self._ids(self._rendered(question.prompt))
        start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        return start + self._ids(question.prompt)

    def completion(self, question: Question) -> list[int]:
        """Token ids of the answer, `end_id` last."""
        begins_anew = self.chat or self.text_to_text
        return [*self._ids(question.completion.strip() if begins_anew else question.completion), self.end_id]

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _rendered(self, user: str, assistant: str | None = None) -> str:
        messages = [{"role": "user", "content": user}]
        if assistant is not None:
            messages.append({"role": "assistant", "content": assistant})
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=assistant is None)
        assert isinstance(text, str), "of one conversation and without tokenizing, a template gives one text"
        return text

    def _end_of_turn(self) -> int:
        """The first token behind an assistant's words; eos where the template ends with them."""
        behind = self._ids(self._rendered("code", _PROBE).rpartition(_PROBE)[2].lstrip())
        return behind[0] if behind else self.tokenizer.eos_token_id


def tokenized(questions: Iterable[Question], encoder: QuestionEncoder, max_length: int) -> datasets.Dataset:
    """The columns of `as_examples`; prompt and completion are encoded apart, so that no token spans the two. Raises
    UserError on a question longer than `max_length` tokens.
    """
    pairs = []
    for question in questions:
        prompt, completion = encoder.prompt(question), encoder.completion(question)
        length = max(len(prompt), len(completion)) if encoder.text_to_text else len(prompt) + len(completion)
        if length > max_length:
            raise UserError(
                f"the question on {question.code} has {length} tokens, the model takes "
                f"{max_length}: raise model.max_length, or choose a base model with a longer context"
            )
        pairs.append((prompt, completion))
    return as_examples(pairs, encoder.text_to_text)


def as_examples(pairs: Sequence[tuple[list[int], list[int]]], text_to_text: bool) -> datasets.Dataset:
    """Pairs of a prompt and what is to be written behind it, as training examples: `input_ids` and `completion_mask`,
    as TRL reads them, or, for an encoder-decoder, `input_ids` and `labels`."""
    if text_to_text:
        columns = {"input_ids": [prompt for prompt, _ in pairs], "labels": [written for _, written in pairs]}
    else:
        columns = {
            "input_ids": [prompt + written for prompt, written in pairs],
            "completion_mask": [[0] * len(prompt) + [1] * len(written) for prompt, written in pairs],
        }
    return datasets.Dataset.from_dict(columns)
