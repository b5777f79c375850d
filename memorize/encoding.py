"""Questions as tokens: plain or through a chat model's template, the prompt apart from the completion."""

from collections.abc import Iterable

import datasets
from transformers import PreTrainedTokenizerBase

from memorize.config import QuestionConfig
from memorize.questions import Question
from mera.system.errors import UserError

_PROBE = "definition"


class QuestionEncoder:
    """Turns questions into token ids. `end_id` is the token that ends an answer: eos, or what ends the assistant's
    turn in the chat template.

    Raises ValueError where `config.chat` is `always` and the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: QuestionConfig):
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if config.chat == "always" and not has_template:
            raise UserError("questions.chat is always, but the base model's tokenizer has no chat template: use auto")
        self.tokenizer = tokenizer
        self.chat = has_template and config.chat != "never"
        self.end_id = self._end_of_turn() if self.chat else tokenizer.eos_token_id

    def prompt(self, question: Question) -> list[int]:
        """Token ids up to where the answer begins."""
        if self.chat:
            return self._ids(self._rendered(question.prompt))
        start = [self.tokenizer.bos_token_id] if self.tokenizer.bos_token_id is not None else []
        return start + self._ids(question.prompt)

    def completion(self, question: Question) -> list[int]:
        """Token ids of the answer, `end_id` last."""
        return [*self._ids(question.completion.strip() if self.chat else question.completion), self.end_id]

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
    """`input_ids` and `completion_mask` as TRL reads them; prompt and completion are encoded apart, so that no token
    spans the two. Raises ValueError on a question longer than `max_length` tokens.
    """
    rows: dict[str, list[list[int]]] = {"input_ids": [], "completion_mask": []}
    for question in questions:
        prompt, completion = encoder.prompt(question), encoder.completion(question)
        if len(prompt) + len(completion) > max_length:
            raise UserError(
                f"the question on {question.code} has {len(prompt) + len(completion)} tokens, the model takes "
                f"{max_length}: raise model.max_length, or choose a base model with a longer context"
            )
        rows["input_ids"].append(prompt + completion)
        rows["completion_mask"].append([0] * len(prompt) + [1] * len(completion))
    return datasets.Dataset.from_dict(rows)
