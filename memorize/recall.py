"""How much of the ontology a model knows, by exact match.

code -> definition and code -> group are generated greedily; the kinds that a code answers are one forward pass whose
first output token must be the code's, among the candidates (codes that are text are generated). Where several codes
share a definition or a term, or may not stand with a code, each of them is a right answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from transformers import PreTrainedModel

from data.inspection.summary import percent
from memorize.answering import answer_with_codes, answer_with_text, recites
from memorize.encoding import QuestionEncoder
from memorize.questions import ANSWERED_IN_WORDS, HELD_OUT_PHRASING, Question, QuestionBook
from mera.system.terminal import plain_console

BOTH_WAYS = ("code_to_definition", "definition_to_code")
HELD_OUT_NAMES = ("held_out_synonym_to_code", "held_out_term_to_code")
"""Inclusion terms, and what a code book adds; measured at 1 and at AT."""
AT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Answers to questions of one kind, in the questions' order."""

    questions: list[Question]
    given: list[str]
    """the text, or the code"""
    right: list[bool]
    right_at_10: list[bool] | None = None
    """whether a right code is among the first ten; None where the answer is generated"""

    def share(self) -> float:
        return sum(self.right) / len(self.right)


def all_questions(book: QuestionBook) -> dict[str, list[Question]]:
    """What is measured, by name; kinds without a question are left out."""
    mixture, names = book.config.mixture, book.names
    kinds = {
        "code_to_definition": book.definitions(),
        "definition_to_code": book.codes(),
        **{f"code_to_{level}": book.groups(level) for level in book.config.levels},
        "held_out_synonym_to_code": book.synonyms(names.held_out_synonyms),
        "held_out_term_to_code": book.synonyms(names.held_out_terms),
        "held_out_phrasing_code_to_definition": book.definitions(HELD_OUT_PHRASING),
        "held_out_phrasing_definition_to_code": book.codes(HELD_OUT_PHRASING),
    }
    if mixture.code_to_excluded:
        kinds |= {
            "code_to_excluded": book.excluded(),
            "held_out_phrasing_code_to_excluded": book.excluded(HELD_OUT_PHRASING),
        }
    if mixture.code_to_first:
        kinds |= {"code_to_first": book.first(), "held_out_phrasing_code_to_first": book.first(HELD_OUT_PHRASING)}
    return {kind: questions for kind, questions in kinds.items() if questions}


def ask(
    model: PreTrainedModel,
    encoder: QuestionEncoder,
    book: QuestionBook,
    questions: dict[str, list[Question]],
    batch_size: int = 64,
    one_line: bool = False,
    never: Sequence[int] = (),
) -> dict[str, Answers]:
    """The model's answers to each kind of `questions`; `one_line` and `never` as in `answer_with_text`."""
    answers = {}
    for kind, asked in questions.items():
        label = kind.replace("_", " ")
        if asked[0].kind in ANSWERED_IN_WORDS:
            texts = answer_with_text(model, encoder, asked, batch_size, label, one_line, never)
            right = [text == question.completion.strip() for text, question in zip(texts, asked, strict=True)]
            answers[kind] = Answers(questions=asked, given=texts, right=right)
            continue
        right_codes = book.code_set.right_codes()
        accepted = [set(question.right_codes) or right_codes[question.code] for question in asked]
        if book.config.atomic_tokens:
            codes = book.code_set.codes
            texts, place = answer_with_codes(model, encoder, asked, codes, accepted, batch_size, label)
            at_10 = [rank < AT for rank in place]
        else:
            texts, at_10 = answer_with_text(model, encoder, asked, batch_size, label, one_line, never), None
        right = [code in codes for code, codes in zip(texts, accepted, strict=True)]
        answers[kind] = Answers(questions=asked, given=texts, right=right, right_at_10=at_10)
    return answers


def shares(answers: dict[str, Answers]) -> dict[str, float]:
    """Share of right answers (0 to 1) per kind; of held-out names also with a right code among the first ten."""
    right = {}
    for kind, answer in answers.items():
        right[kind] = answer.share()
        if kind in HELD_OUT_NAMES and answer.right_at_10 is not None:
            right[f"{kind}_at_{AT}"] = sum(answer.right_at_10) / len(answer.right_at_10)
    return right


def both_ways(
    model: PreTrainedModel, encoder: QuestionEncoder, book: QuestionBook, batch_size: int = 64
) -> dict[str, float]:
    """The shares of BOTH_WAYS without generating (see `recites`): what training is watched with."""
    definitions = book.definitions()
    recited = recites(model, encoder, definitions, batch_size)
    if book.config.atomic_tokens:
        codes = ask(model, encoder, book, {"definition_to_code": book.codes()}, batch_size)["definition_to_code"].right
    else:
        codes = recites(model, encoder, book.codes(), batch_size)
    return {"code_to_definition": sum(recited) / len(recited), "definition_to_code": sum(codes) / len(codes)}


def print_shares(columns: dict[str, dict[str, float] | None], title: str = "What the model knows") -> None:
    """A table with a row per kind and a column for each of `columns` that was measured."""
    measured = {name: of_kind for name, of_kind in columns.items() if of_kind is not None}
    table = Table("exact match", *measured, title=title)
    for kind in dict.fromkeys(kind for of_kind in measured.values() for kind in of_kind):
        table.add_row(kind.replace("_", " "), *(percent(of_kind.get(kind)) for of_kind in measured.values()))
    plain_console().print(table)


def is_known(shares_of_kinds: dict[str, float], share: float, kinds: Sequence[str] = BOTH_WAYS) -> bool:
    """Whether each of `kinds` reaches `share`."""
    return min(shares_of_kinds[kind] for kind in kinds) >= share
