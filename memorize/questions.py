"""The questions of stage one: code -> definition, definition -> code, code -> group, synonym -> code."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import datasets
from transformers import PreTrainedTokenizerBase

from data.task import Task
from memorize.config import QuestionConfig
from mera.code_tokens import code_token

Kind = Literal["code_to_definition", "definition_to_code", "code_to_group", "synonym_to_code"]

PHRASINGS: dict[str, tuple[str, ...]] = {
    "code_to_definition": ("{code} means:", "What does {code} stand for? Answer:", "Definition of {code}:"),
    "definition_to_code": ("{text} is coded as:", "Which code stands for {text}? Answer:", "Code for {text}:"),
    "code_to_group": (
        "The {level} of {code} is:",
        "Which {level} holds {code}? Answer:",
        "{code}, {level}:",
    ),
}
PHRASINGS["synonym_to_code"] = PHRASINGS["definition_to_code"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A prompt and its one completion; `code` is what it is about, `level` is set for code -> group."""

    kind: Kind
    code: str
    prompt: str
    completion: str
    level: str | None = None


def build_questions(task: Task, config: QuestionConfig) -> list[Question]:
    """Every question that is trained on, each kind in `config.phrasings` wordings."""
    questions = []
    for phrasing in range(config.phrasings):
        questions += definition_questions(task, phrasing) + code_questions(task, phrasing)
        for level in config.levels:
            questions += group_questions(task, level, phrasing)
        if config.synonyms:
            questions += synonym_questions(trained_synonyms(task, config), phrasing)
    return questions


def definition_questions(task: Task, phrasing: int = 0) -> list[Question]:
    """code -> definition, for every candidate."""
    return [
        _question("code_to_definition", code, " " + definition, phrasing)
        for code, definition in zip(task.codes, task.definitions, strict=True)
    ]


def code_questions(task: Task, phrasing: int = 0) -> list[Question]:
    """definition -> code, for every candidate."""
    return [
        _question("definition_to_code", code, code_token(code), phrasing, text=definition)
        for code, definition in zip(task.codes, task.definitions, strict=True)
    ]


def group_questions(task: Task, level: str, phrasing: int = 0) -> list[Question]:
    """code -> name of its group at `level`; codes that are their own group there are not asked about."""
    groups, names = task.groups(level), task.group_names[level]
    return [
        _question("code_to_group", code, " " + names[group], phrasing, level=level)
        for code, group in zip(task.codes, groups, strict=True)
        if group != code and group in names
    ]


def synonym_questions(synonyms: Iterable[tuple[str, str]], phrasing: int = 0) -> list[Question]:
    """synonym -> code, for (code, synonym) pairs."""
    return [_question("synonym_to_code", code, code_token(code), phrasing, text=synonym) for code, synonym in synonyms]


def trained_synonyms(task: Task, config: QuestionConfig) -> list[tuple[str, str]]:
    """(code, synonym) pairs that are trained on: those that are not held out."""
    held_out = set(held_out_synonyms(task, config))
    return [pair for pair in _synonym_pairs(task) if pair not in held_out]


def held_out_synonyms(task: Task, config: QuestionConfig) -> list[tuple[str, str]]:
    """(code, synonym) pairs never trained on: always the same draw for a candidate set."""
    pairs = _synonym_pairs(task)
    return random.Random(0).sample(pairs, round(len(pairs) * config.held_out_synonyms))


def _synonym_pairs(task: Task) -> list[tuple[str, str]]:
    return [(code, synonym) for code, synonyms in zip(task.codes, task.synonyms, strict=True) for synonym in synonyms]


def tokenized(questions: Iterable[Question], tokenizer: PreTrainedTokenizerBase, max_length: int) -> datasets.Dataset:
    """`input_ids` and `completion_mask` as TRL reads them; prompt and completion are encoded apart, so that no token
    spans the two. Raises ValueError on a question longer than `max_length` tokens.
    """
    rows = []
    for question in questions:
        prompt, completion = encode(question, tokenizer)
        if len(prompt) + len(completion) > max_length:
            raise ValueError(
                f"the question on {question.code} has {len(prompt) + len(completion)} tokens, the model takes "
                f"{max_length}: raise model.max_length"
            )
        rows.append({"input_ids": prompt + completion, "completion_mask": [0] * len(prompt) + [1] * len(completion)})
    return datasets.Dataset.from_list(rows)


def encode(question: Question, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Token ids of the prompt (with bos) and of the completion (with eos)."""
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    prompt = start + tokenizer(question.prompt, add_special_tokens=False)["input_ids"]
    completion = tokenizer(question.completion, add_special_tokens=False)["input_ids"]
    return prompt, [*completion, tokenizer.eos_token_id]


def tokenizer_texts(task: Task) -> list[str]:
    """The ontology's own text, on which a small model's tokenizer is trained."""
    names = [name for groups in task.group_names.values() for name in groups.values()]
    wordings = [wording for wordings in PHRASINGS.values() for wording in wordings]
    synonyms = [synonym for synonyms in task.synonyms for synonym in synonyms]
    return [*task.definitions, *synonyms, *names, *wordings, *(str(number) for number in range(1000))]


def _question(
    kind: Kind, code: str, completion: str, phrasing: int, level: str | None = None, text: str = ""
) -> Question:
    prompt = PHRASINGS[kind][phrasing].format(code=code_token(code), level=level, text=text)
    return Question(kind=kind, code=code, prompt=prompt, completion=completion, level=level)
