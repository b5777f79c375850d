"""How much of the ontology a model knows, by exact match.

code -> definition and code -> group are generated greedily; definition -> code and synonym -> code are one forward
pass whose first output token must be the code's, among the candidates. Where several codes share a definition, each of
them is a right answer.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data.task import Task
from memorize.config import QuestionConfig
from memorize.questions import (
    Question,
    code_questions,
    definition_questions,
    encode,
    group_questions,
    held_out_synonyms,
    synonym_questions,
)
from mera.code_tokens import token_ids


def measure_recall(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    config: QuestionConfig,
    batch_size: int = 64,
    both_ways_only: bool = False,
) -> dict[str, float]:
    """Share of exact answers (0 to 1) per kind of question, over all candidate codes.

    Keys: `code_to_definition`, `definition_to_code`, and unless `both_ways_only`: `code_to_<level>` for each level
    asked about and `held_out_synonym_to_code` where there are synonyms.
    """
    kinds = {"code_to_definition": definition_questions(task), "definition_to_code": code_questions(task)}
    if not both_ways_only:
        kinds |= {f"code_to_{level}": group_questions(task, level) for level in config.levels}
        kinds["held_out_synonym_to_code"] = synonym_questions(held_out_synonyms(task, config))
    answers = _right_codes(task)
    was_training = model.training
    model.eval()
    found = {}
    for kind, questions in kinds.items():
        if not questions:
            continue
        if kind in ("definition_to_code", "held_out_synonym_to_code"):
            given = _answer_with_codes(model, tokenizer, questions, task.codes, batch_size, kind)
            right = [code in answers[question.code] for code, question in zip(given, questions, strict=True)]
        else:
            texts = _answer_with_text(model, tokenizer, questions, batch_size, kind)
            right = [
                text.strip() == question.completion.strip() for text, question in zip(texts, questions, strict=True)
            ]
        found[kind] = sum(right) / len(right)
    model.train(was_training)
    return found


def report_recall(before: dict[str, float], after: dict[str, float]) -> None:
    """Print the table of exact match before and after training."""
    table = Table("exact match", "before", "after", title="What the model knows")
    for kind, share in after.items():
        table.add_row(kind.replace("_", " "), f"{before[kind]:.1%}", f"{share:.1%}")
    Console().print(table)


def _right_codes(task: Task) -> dict[str, set[str]]:
    by_definition = defaultdict(set)
    for code, definition in zip(task.codes, task.definitions, strict=True):
        by_definition[definition].add(code)
    return {code: by_definition[definition] for code, definition in zip(task.codes, task.definitions, strict=True)}


@torch.inference_mode()
def _answer_with_codes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    codes: list[str],
    batch_size: int,
    label: str,
) -> list[str]:
    candidates = token_ids(tokenizer, codes).to(model.device)
    given = [""] * len(questions)
    for indices, inputs in _batches(model, tokenizer, questions, batch_size, label):
        logits = model(**inputs, logits_to_keep=1).logits[:, -1]
        for index, best in zip(indices, logits[:, candidates].argmax(dim=-1).tolist(), strict=True):
            given[index] = codes[best]
    return given


@torch.inference_mode()
def _answer_with_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    batch_size: int,
    label: str,
) -> list[str]:
    longest = max(len(encode(question, tokenizer)[1]) for question in questions)
    given = [""] * len(questions)
    for indices, inputs in _batches(model, tokenizer, questions, batch_size, label):
        generated = model.generate(
            **inputs,
            max_new_tokens=longest,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        new = generated[:, inputs["input_ids"].shape[1] :]
        for index, text in zip(indices, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            given[index] = text
    return given


def _batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    batch_size: int,
    label: str,
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """Prompts of similar length together, padded on the left so that the answer follows each at once."""
    prompts = [encode(question, tokenizer)[0] for question in questions]
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    starts = range(0, len(order), batch_size)
    for start in tqdm(starts, desc=f"measuring {label}", leave=False, disable=len(starts) < 3):
        indices = order[start : start + batch_size]
        width = len(prompts[indices[0]])
        padded = [[tokenizer.pad_token_id] * (width - len(prompts[index])) + prompts[index] for index in indices]
        mask = [[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in indices]
        yield (
            indices,
            {
                "input_ids": torch.tensor(padded, device=model.device),
                "attention_mask": torch.tensor(mask, device=model.device),
            },
        )
