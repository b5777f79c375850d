"""How a model answers questions: greedy text, the first token among the candidates, or its own words checked in one
pass. All are batched; every process of a distributed run answers all questions (ZeRO-3 gathers in every forward)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor
from transformers import (
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from memorize.encoding import QuestionEncoder
from memorize.questions import Question
from mera.language_models.code_tokens import token_ids
from mera.system.terminal import progress_bar


@contextmanager
def answering(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode and without gradients, afterwards as it was."""
    was_training = model.training
    model.eval()
    with torch.no_grad():  # not inference_mode: training could not use what ZeRO-3 gathers in it
        yield
    model.train(was_training)


def answer_with_text(
    model: PreTrainedModel,
    encoder: QuestionEncoder,
    questions: Sequence[Question],
    batch_size: int,
    label: str,
    one_line: bool = False,
    never: Sequence[int] = (),
) -> list[str]:
    """Greedy answers, without spaces around them. A batch ends when each answer has its end token or is longer than the
    longest right one; with `one_line` an answer ends at its first line break, too. Tokens in `never` are not generated.
    """
    tokenizer = encoder.tokenizer
    longest = max(len(encoder.completion(question)) for question in questions)
    answers = [""] * len(questions)
    generator = cast("GenerationMixin", model)  # what every causal language model is; PEFT's wrapper hands it through
    with answering(model):
        for indices, inputs in _prompt_batches(model, encoder, questions, batch_size, label):
            width = inputs["input_ids"].shape[1]
            stop = StoppingCriteriaList([_LineEnded(tokenizer, width)] if one_line else [])
            generated = generator.generate(
                **inputs,
                max_new_tokens=longest,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=encoder.end_id,
                pad_token_id=tokenizer.pad_token_id,
                stopping_criteria=stop,
                suppress_tokens=list(never) or None,
            )
            texts = tokenizer.batch_decode(generated[:, width:], skip_special_tokens=True)
            for index, text in zip(indices, texts, strict=True):
                answers[index] = (text.lstrip().split("\n")[0] if one_line else text).strip()
    return answers


def answer_with_codes(
    model: PreTrainedModel,
    encoder: QuestionEncoder,
    questions: Sequence[Question],
    codes: Sequence[str],
    right: Sequence[set[str]],
    batch_size: int,
    label: str,
) -> tuple[list[str], list[int]]:
    """For each question the code whose token is the likeliest first one, and the place (from 0) of the best of its
    `right` codes among all candidates: one forward pass, no generation."""
    candidates = token_ids(encoder.tokenizer, codes).to(model.device)
    column = {code: index for index, code in enumerate(codes)}
    best, place = [""] * len(questions), [0] * len(questions)
    with answering(model):
        for indices, inputs in _prompt_batches(model, encoder, questions, batch_size, label):
            scores_NC = model(**inputs, logits_to_keep=1).logits[:, -1, candidates].float()
            order_NC = scores_NC.argsort(dim=-1, descending=True, stable=True)
            place_NC = order_NC.argsort(dim=-1).cpu()
            for row, index in enumerate(indices):
                best[index] = codes[order_NC[row, 0]]
                place[index] = min(int(place_NC[row, column[code]]) for code in right[index])
    return best, place


def recites(
    model: PreTrainedModel, encoder: QuestionEncoder, questions: Sequence[Question], batch_size: int
) -> list[bool]:
    """Whether greedy generation would give each question's completion, token by token.

    One pass over prompt and completion: generation follows the completion exactly while every one of its tokens is the
    likeliest after those before it. Many times faster than generating, so training is watched with it.
    """
    recited = [False] * len(questions)
    rows = [(encoder.prompt(question), encoder.completion(question)) for question in questions]
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index][0]) - len(rows[index][1]))
    with answering(model):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            inputs = _padded(model, encoder, [rows[index][0] + rows[index][1] for index in indices])
            answer = max(len(rows[index][1]) for index in indices)
            likeliest = model(**inputs, logits_to_keep=answer + 1).logits.argmax(dim=-1)[:, :-1]
            for row, index in enumerate(indices):
                completion = rows[index][1]
                recited[index] = likeliest[row, -len(completion) :].tolist() == completion
    return recited


class _LineEnded(StoppingCriteria):
    """Stops a row once there is a line break behind its first word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt_width: int):
        self.tokenizer, self.prompt_width = tokenizer, prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :])
        return torch.tensor(["\n" in text.lstrip() for text in texts], device=input_ids.device)


def _prompt_batches(
    model: PreTrainedModel, encoder: QuestionEncoder, questions: Sequence[Question], batch_size: int, label: str
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Prompts of similar length together, padded on the left so that the answer follows each at once."""
    prompts = [encoder.prompt(question) for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    starts = range(0, len(order), batch_size)
    for start in progress_bar(starts, f"measuring {label}", "batch", at_least=3):
        indices = order[start : start + batch_size]
        yield indices, _padded(model, encoder, [prompts[index] for index in indices])


def _padded(model: PreTrainedModel, encoder: QuestionEncoder, rows: list[list[int]]) -> dict[str, Tensor]:
    width = max(map(len, rows))
    pad = encoder.tokenizer.pad_token_id
    return {
        "input_ids": torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=model.device),
        "attention_mask": torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device
        ),
    }
