"""The questions of stage one: code -> definition, definition -> code, code -> group, synonym or term -> code, and of
the edition's notes code -> what it excludes, code -> what must come first.

Each kind has several wordings. The last is never trained on: a model that answers it knows the code, one that does not
has memorized sentences.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from memorize.code_sets.code_set import CodeSet
from memorize.code_sets.name_split import NameSplit, split_names
from memorize.config import MAX_PHRASINGS, QuestionConfig
from mera.language_models.code_tokens import code_token

Kind = Literal[
    "code_to_definition", "definition_to_code", "code_to_group", "synonym_to_code", "code_to_excluded", "code_to_first"
]
ANSWERED_IN_WORDS: tuple[Kind, ...] = ("code_to_definition", "code_to_group")
"""The other kinds are answered with a code."""

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
    "code_to_excluded": (
        "{code} may not stand with:",
        "Which code may not stand with {code}? Answer:",
        "{code}, never together with:",
        "{code} excludes the code:",
        "Find a code that is excluded. Code: {code}. Result:",
    ),
    "code_to_first": (
        "{code} must stand behind:",
        "Which code must come before {code}? Answer:",
        "{code}, code first:",
        "Before {code} stands the code:",
        "Find the code that comes first. Code: {code}. Result:",
    ),
}
HELD_OUT_PHRASING = MAX_PHRASINGS
SHOTS = 3
ANSWERS_TRAINED = 3
"""Of the right answers to a question on an edition's notes, so many are trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A prompt and its one completion; `code` is what it is about, `level` is set for code -> group."""

    kind: Kind
    code: str
    prompt: str
    completion: str
    level: str | None = None
    right_codes: frozenset[str] = frozenset()
    """codes that are right answers; empty: those with the definition of `code`"""


class QuestionBook:
    """Every question on a code set, worded as a configuration says. Completions begin with a space where text
    follows text, so that they are tokenized as in running text."""

    def __init__(self, code_set: CodeSet, config: QuestionConfig):
        self.code_set, self.config = code_set, config

    @cached_property
    def names(self) -> NameSplit:
        """Which synonyms and terms are trained on, and which are held out."""
        return split_names(self.code_set, self.config.held_out_synonyms, self.config.terms_per_code)

    def training(self) -> list[Question]:
        """What is trained on: every kind in its wordings, as often as the mixture says."""
        wordings, mixture = range(self.config.phrasings), self.config.mixture
        levels, names = self.config.levels, self.names
        return [
            *_as_often([q for p in wordings for q in self.definitions(p)], mixture.code_to_definition),
            *_as_often([q for p in wordings for q in self.codes(p)], mixture.definition_to_code),
            *_as_often([q for p in wordings for level in levels for q in self.groups(level, p)], mixture.code_to_group),
            *_as_often(
                [q for p in wordings for q in self.synonyms(names.trained_synonyms, p)], mixture.synonym_to_code
            ),
            *_as_often([q for p in wordings for q in self.synonyms(names.trained_terms, p)], mixture.term_to_code),
            *_as_often([q for p in wordings for q in self.excluded(p, ANSWERS_TRAINED)], mixture.code_to_excluded),
            *_as_often([q for p in wordings for q in self.first(p, ANSWERS_TRAINED)], mixture.code_to_first),
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

    def synonyms(self, names: Iterable[tuple[str, str]], phrasing: int = 0) -> list[Question]:
        """synonym or term -> code, for (code, name) pairs; right is every code with that name."""
        questions = self._to_code("synonym_to_code", names, phrasing)
        if self.code_set.terms is None:
            return questions
        called, right = self._codes_called, self._right_codes
        return [
            replace(question, right_codes=frozenset(called[name.casefold()] | right[code]))
            for question, (code, name) in zip(questions, names, strict=True)
        ]

    def excluded(self, phrasing: int = 0, answers: int = 1) -> list[Question]:
        """code -> a code that may not stand with it, so many times with different answers; each of them is right."""
        return self._of_notes("code_to_excluded", self.code_set.excluded, phrasing, answers)

    def first(self, phrasing: int = 0, answers: int = 1) -> list[Question]:
        """code -> a code one of which must stand before it, as `excluded`."""
        return self._of_notes("code_to_first", self.code_set.first, phrasing, answers)

    def words_of_book(self) -> list[str]:
        """What is trained on beyond `tokenizer_texts`: the terms, and the wordings of questions on notes."""
        mixture = self.config.mixture
        asked: list[Kind] = ["code_to_excluded"] if mixture.code_to_excluded else []
        asked += ["code_to_first"] if mixture.code_to_first else []
        wordings = [wording for kind in asked for wording in PHRASINGS[kind][:HELD_OUT_PHRASING]]
        return [*(term for _, term in self.names.trained_terms if mixture.term_to_code), *wordings]

    @cached_property
    def _codes_called(self) -> dict[str, set[str]]:
        return self.code_set.codes_called()

    @cached_property
    def _right_codes(self) -> dict[str, set[str]]:
        return self.code_set.right_codes()

    def _of_notes(self, kind: Kind, named: list[list[str]] | None, phrasing: int, answers: int) -> list[Question]:
        rng = random.Random(0)
        rows = [(code, right) for code, right in zip(self.code_set.codes, named or [], strict=False) if right]
        return [
            replace(
                self._question(kind, code, self._spelt(answer, completion=True), phrasing), right_codes=frozenset(right)
            )
            for code, right in rows
            for answer in rng.sample(right, min(answers, len(right)))
        ]

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
    """The ontology's own text, on which a small model's tokenizer is trained; a code book adds
    `QuestionBook.words_of_book`."""
    kinds: tuple[Kind, ...] = ("code_to_definition", "definition_to_code", "code_to_group", "synonym_to_code")
    wordings = [wording for kind in kinds for wording in PHRASINGS[kind][:HELD_OUT_PHRASING]]
    return [*code_set.texts(), *wordings, *(str(number) for number in range(1000))]


def _as_often(questions: list[Question], weight: float) -> list[Question]:
    """`weight` times as many: whole copies, and a draw without replacement for the rest."""
    whole = int(weight)
    rest = random.Random(0).sample(questions, round((weight - whole) * len(questions)))
    return questions * whole + rest
