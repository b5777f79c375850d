"""How a model answers questions: greedy text, the first token among the candidates, or its own words checked in one
pass. All are batched; every process of a distributed run answers all questions (ZeRO-3 gathers in every forward).

Where an answer is differs by the kind of model: behind the prompt (`CausalReading`), or in the decoder, from its start
token on, while the encoder reads the prompt (`EncoderDecoderReading`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

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
from mera.language_models.encoder_decoder import decoder_inputs, encoder_inputs, is_encoder_decoder, start_id
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
    reading = _reading(model, tokenizer)
    with answering(model):
        for indices, inputs in _prompt_batches(reading, encoder, questions, batch_size, label):
            width = reading.answer_place(inputs)
            stop = StoppingCriteriaList([_LineEnded(tokenizer, width)] if one_line else [])
            generated = generator.generate(
                **inputs,
                max_new_tokens=longest,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=1.0,
                no_repeat_ngram_size=0,
                num_beams=1,
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
    reading = _reading(model, encoder.tokenizer)
    with answering(model):
        for indices, inputs in _prompt_batches(reading, encoder, questions, batch_size, label):
            scores_NC = reading.first_logits(inputs)[:, candidates].float()
            order_NC = scores_NC.argsort(dim=-1, descending=True, stable=True)
            place_NC = order_NC.argsort(dim=-1).cpu()
            for row, index in enumerate(indices):
                best[index] = codes[int(order_NC[row, 0])]
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
    reading = _reading(model, encoder.tokenizer)
    with answering(model):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            prompts, completions = zip(*(rows[index] for index in indices), strict=True)
            for index, likeliest in zip(indices, reading.likeliest(prompts, completions), strict=True):
                recited[index] = likeliest == rows[index][1]
    return recited


def logits_of_completion(model: PreTrainedModel, prompt: list[int], completion: list[int]) -> tuple[Tensor, Tensor]:
    """The logits (L, V) of each token of `completion` behind `prompt` and those before it, and the tokens (L,); a
    causal model cannot be asked for the first token of all."""
    device = model.device
    if is_encoder_decoder(model):
        answer = torch.tensor([[start_id(model), *completion[:-1]]], device=device)
        prompt_ids = torch.tensor([prompt], device=device)
        logits = model(input_ids=prompt_ids, decoder_input_ids=answer, use_cache=False).logits[0]
        return logits, torch.tensor(completion, device=device)
    ids = torch.tensor([prompt + completion], device=device)
    first = max(len(prompt), 1)
    return model(input_ids=ids).logits[0, first - 1 : -1], ids[0, first:]


class Reading(Protocol):
    """How one kind of model reads prompts, and where its answers are. B prompts, V tokens of the vocabulary."""

    def inputs(self, prompts: Sequence[list[int]]) -> dict[str, Tensor]:
        """Of B prompts, for a forward pass or `generate`."""
        ...

    def answer_place(self, inputs: dict[str, Tensor]) -> int:
        """The column at which answers begin in what `generate` returns."""
        ...

    def first_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, V) of the answers' first tokens."""
        ...

    def likeliest(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> list[list[int]]:
        """For each token of each completion the likeliest one behind the prompt and the completion's earlier tokens."""
        ...


class CausalReading:
    """Rows are padded on the left, so that the answer follows each prompt at once."""

    def __init__(self, model: PreTrainedModel, pad_id: int):
        self.model, self.pad_id = model, pad_id

    def inputs(self, prompts: Sequence[list[int]]) -> dict[str, Tensor]:
        width, pad, device = max(map(len, prompts)), self.pad_id, self.model.device
        return {
            "input_ids": torch.tensor([[pad] * (width - len(row)) + row for row in prompts], device=device),
            "attention_mask": torch.tensor(
                [[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=device
            ),
        }

    def answer_place(self, inputs: dict[str, Tensor]) -> int:
        return inputs["input_ids"].shape[1]

    def first_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.model(**inputs, logits_to_keep=1).logits
        return logits[:, -1]

    def likeliest(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> list[list[int]]:
        rows = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        answer = max(map(len, completions))
        tokens = self.model(**self.inputs(rows), logits_to_keep=answer + 1).logits.argmax(dim=-1)[:, :-1]
        return [row[-len(completion) :].tolist() for row, completion in zip(tokens, completions, strict=True)]


class EncoderDecoderReading:
    """The prompts are the encoder's; the decoder's columns are the answers'."""

    def __init__(self, model: PreTrainedModel, pad_id: int):
        self.model, self.pad_id = model, pad_id

    def inputs(self, prompts: Sequence[list[int]]) -> dict[str, Tensor]:
        inputs = encoder_inputs(prompts, self.pad_id)
        return {name: tensor.to(self.model.device) for name, tensor in inputs.items()}

    def answer_place(self, inputs: dict[str, Tensor]) -> int:
        return 1  # behind the start token

    def first_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        return self._logits(inputs, [[self.pad_id]] * len(inputs["input_ids"]))[:, 0]

    def likeliest(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> list[list[int]]:
        tokens = self._logits(self.inputs(prompts), completions).argmax(dim=-1)
        return [row[: len(completion)].tolist() for row, completion in zip(tokens, completions, strict=True)]

    def _logits(self, inputs: dict[str, Tensor], completions: Sequence[list[int]]) -> Tensor:
        answers = decoder_inputs(completions, start_id(self.model), self.pad_id).to(self.model.device)
        logits: Tensor = self.model(**inputs, decoder_input_ids=answers, use_cache=False).logits
        return logits


def _reading(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Reading:
    kind = EncoderDecoderReading if is_encoder_decoder(model) else CausalReading
    return kind(model, tokenizer.pad_token_id)


class _LineEnded(StoppingCriteria):
    """Stops a row once there is a line break behind its first word."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt_width: int):
        self.tokenizer, self.prompt_width = tokenizer, prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        texts = self.tokenizer.batch_decode(input_ids[:, self.prompt_width :])
        return torch.tensor(["\n" in text.lstrip() for text in texts], device=input_ids.device)


def _prompt_batches(
    reading: Reading, encoder: QuestionEncoder, questions: Sequence[Question], batch_size: int, label: str
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Prompts of similar length together."""
    prompts = [encoder.prompt(question) for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    starts = range(0, len(order), batch_size)
    for start in progress_bar(starts, f"measuring {label}", "batch", at_least=3):
        indices = order[start : start + batch_size]
        yield indices, reading.inputs([prompts[index] for index in indices])
