"""The questions of stage one: code -> definition, definition -> code, code -> group, synonym -> code.

Each kind has several wordings. The last is never trained on: a model that answers it knows the code, one that does not
has memorized sentences.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from memorize.code_set import CodeSet
from memorize.config import MAX_PHRASINGS, QuestionConfig
from mera.language_models.code_tokens import code_token

Kind = Literal["code_to_definition", "definition_to_code", "code_to_group", "synonym_to_code"]

_CODE_WORDINGS = (
    "{text} is coded as:",
    "Which code stands for {text}? Answer:",
    "Code for {text}:",
    "The ICD code of {text} is:",
    "Find the code. Diagnosis: {text}. Result:",
)
PHRASINGS: dict[Kind, tuple[str, ...]] = {
    "code_to_definition": (
        "{code} means:",
        "What does {code} stand for? Answer:",
        "Definition of {code}:",
        "The ICD code {code} is:",
        "Explain the code. Code: {code}. Result:",
    ),
    "definition_to_code": _CODE_WORDINGS,
    "code_to_group": (
        "The {level} of {code} is:",
        "Which {level} holds {code}? Answer:",
        "{code}, {level}:",
        "{code} belongs to the {level}:",
        "Name the {level}. Code: {code}. Result:",
    ),
    "synonym_to_code": _CODE_WORDINGS,
}
HELD_OUT_PHRASING = MAX_PHRASINGS
SHOTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A prompt and its one completion; `code` is what it is about, `level` is set for code -> group."""

    kind: Kind
    code: str
    prompt: str
    completion: str
    level: str | None = None


class QuestionBook:
    """Every question on a code set, worded as a configuration says. Completions begin with a space where text
    follows text, so that they are tokenized as in running text."""

    def __init__(self, code_set: CodeSet, config: QuestionConfig):
        self.code_set, self.config = code_set, config

    def training(self) -> list[Question]:
        """What is trained on: every kind in its wordings, as often as the mixture says."""
        wordings, mixture = range(self.config.phrasings), self.config.mixture
        levels, synonyms = self.config.levels, self.trained_synonyms()
        return [
            *_as_often([q for p in wordings for q in self.definitions(p)], mixture.code_to_definition),
            *_as_often([q for p in wordings for q in self.codes(p)], mixture.definition_to_code),
            *_as_often([q for p in wordings for level in levels for q in self.groups(level, p)], mixture.code_to_group),
            *_as_often([q for p in wordings for q in self.synonyms(synonyms, p)], mixture.synonym_to_code),
        ]

    def definitions(self, phrasing: int = 0) -> list[Question]:
        """code -> definition, for every code."""
        return [
            self._question("code_to_definition", code, " " + definition, phrasing)
            for code, definition in self.code_set.meanings().items()
        ]

    def codes(self, phrasing: int = 0) -> list[Question]:
        """definition -> code, for every code."""
        return self._to_code("definition_to_code", self.code_set.meanings().items(), phrasing)

    def groups(self, level: str, phrasing: int = 0) -> list[Question]:
        """code -> name of its group at `level`; codes that are their own group there are not asked about."""
        groups, names = self.code_set.groups(level), self.code_set.group_names[level]
        return [
            self._question("code_to_group", code, " " + names[group], phrasing, level=level)
            for code, group in zip(self.code_set.codes, groups, strict=True)
            if group != code and group in names
        ]

    def synonyms(self, synonyms: Iterable[tuple[str, str]], phrasing: int = 0) -> list[Question]:
        """synonym -> code, for (code, synonym) pairs."""
        return self._to_code("synonym_to_code", synonyms, phrasing)

    def trained_synonyms(self) -> list[tuple[str, str]]:
        """(code, synonym) pairs that are trained on: those that are not held out."""
        held_out = set(self.held_out_synonyms())
        return [pair for pair in self._synonym_pairs() if pair not in held_out]

    def held_out_synonyms(self) -> list[tuple[str, str]]:
        """(code, synonym) pairs never trained on: always the same draw for a code set."""
        pairs = self._synonym_pairs()
        return random.Random(0).sample(pairs, round(len(pairs) * self.config.held_out_synonyms))

    def _synonym_pairs(self) -> list[tuple[str, str]]:
        codes = self.code_set
        return [(code, text) for code, texts in zip(codes.codes, codes.synonyms, strict=True) for text in texts]

    def _to_code(self, kind: Kind, pairs: Iterable[tuple[str, str]], phrasing: int) -> list[Question]:
        return [
            self._question(kind, code, self._spelt(code, completion=True), phrasing, text=text) for code, text in pairs
        ]

    def _question(
        self, kind: Kind, code: str, completion: str, phrasing: int, level: str | None = None, text: str = ""
    ) -> Question:
        prompt = PHRASINGS[kind][phrasing].format(code=self._spelt(code), level=level, text=text)
        return Question(kind=kind, code=code, prompt=prompt, completion=completion, level=level)

    def _spelt(self, code: str, completion: bool = False) -> str:
        if self.config.atomic_tokens:
            return code_token(code)
        return f" {code}" if completion else code


def with_worked_examples(questions: Sequence[Question]) -> list[Question]:
    """Each question behind SHOTS others of its kind with their answers, one a line: how a model is asked that was
    never trained on the wording."""
    worked = []
    for question in questions:
        others = [other for other in questions[:: max(1, len(questions) // (SHOTS + 1))] if other.code != question.code]
        lines = "".join(f"{other.prompt}{other.completion}\n" for other in others[:SHOTS])
        worked.append(replace(question, prompt=lines + question.prompt))
    return worked


def tokenizer_texts(code_set: CodeSet) -> list[str]:
    """The ontology's own text, on which a small model's tokenizer is trained."""
    wordings = [wording for wordings in PHRASINGS.values() for wording in wordings[:HELD_OUT_PHRASING]]
    return [*code_set.texts(), *wordings, *(str(number) for number in range(1000))]


def _as_often(questions: list[Question], weight: float) -> list[Question]:
    """`weight` times as many: whole copies, and a draw without replacement for the rest."""
    whole = int(weight)
    rest = random.Random(0).sample(questions, round((weight - whole) * len(questions)))
    return questions * whole + rest
