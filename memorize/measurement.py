"""Everything stage one measures, as recall.json and a checkpoint's memorized.json hold it."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import pydantic
import torch
from transformers import PreTrainedModel

from data.task import load_task
from memorize.breakdown import Breakdown, breakdown
from memorize.code_sets.code_set import CodeSet, task_codes
from memorize.code_sets.name_split import NameCounts
from memorize.config import QuestionConfig
from memorize.encoding import QuestionEncoder
from memorize.forgetting import perplexity
from memorize.questions import QuestionBook, with_worked_examples
from memorize.recall import Answers, all_questions, ask, shares
from mera.language_models.code_tokens import CodeTokens, token_ids
from mera.runs.run_directory import write_json
from mera.system.errors import UserError

FILE_NAME = "memorized.json"


class BeforeAndAfter(TypedDict):
    """A number before training and after it."""

    before: float
    after: float


class TrainingFigures(TypedDict):
    """What training took."""

    steps: int
    epochs: float
    seconds: float | None
    """without the measurements; None where nothing was measured"""
    loss_tokens_per_epoch: int
    """tokens that carry loss"""
    loss_tokens_per_second: float | None


class BeforeTraining(TypedDict):
    """What a model knew before it was trained: shares by kind of question, perplexity of general text."""

    pretrained_as_text: dict[str, float] | None
    shares: dict[str, float]
    perplexity: float


class RecallRecord(Breakdown):
    """recall.json: shares (kind -> 0 to 1) before and after, and where the trained model is right and wrong."""

    codes: int
    edition: str
    pretrained_as_text: dict[str, float] | None
    before: dict[str, float]
    after: dict[str, float]
    perplexity: BeforeAndAfter
    training: NotRequired[TrainingFigures]
    names: NotRequired[NameCounts]
    """with a code book"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What a model knows of the codes (`answers`) and of general text (`perplexity`)."""

    answers: dict[str, Answers]
    perplexity: float

    def shares(self) -> dict[str, float]:
        return shares(self.answers)


def measure(
    model: PreTrainedModel,
    encoder: QuestionEncoder,
    book: QuestionBook,
    text: list[str],
    context_length: int,
    batch_size: int = 64,
) -> Measurement:
    """Every kind of question, and the perplexity of the paragraphs in `text`."""
    return Measurement(
        answers=ask(model, encoder, book, all_questions(book), batch_size),
        perplexity=perplexity(model, encoder.tokenizer, text, context_length, book.code_set.codes),
    )


def measure_before(
    kept: Path,
    model: PreTrainedModel,
    encoder: QuestionEncoder,
    book: QuestionBook,
    text: list[str],
    context_length: int,
    batch_size: int,
    as_text: bool,
) -> BeforeTraining:
    """What the model knows before it is trained; `as_text`: as it came, too (`pretrained_recall`).

    The file `kept` has it for the run that goes on after an interruption: asking a large model may take longer than
    training it. Every process must call this; where the first one finds the file, none measures.
    """
    found: list[BeforeTraining | None] = [None]
    is_distributed = torch.distributed.is_initialized()
    is_first = not is_distributed or torch.distributed.get_rank() == 0
    if is_first and kept.is_file():
        found = [json.loads(kept.read_text(encoding="utf-8"))]
    if is_distributed:
        torch.distributed.broadcast_object_list(found)
    if found[0] is not None:
        return found[0]
    pretrained = pretrained_recall(model, encoder, book, batch_size) if as_text else None
    measured = measure(model, encoder, book, text, context_length, batch_size)
    before = BeforeTraining(pretrained_as_text=pretrained, shares=measured.shares(), perplexity=measured.perplexity)
    if is_first:
        kept.parent.mkdir(exist_ok=True)
        write_json(kept, before)
    return before


def pretrained_recall(
    model: PreTrainedModel, encoder: QuestionEncoder, book: QuestionBook, batch_size: int
) -> dict[str, float]:
    """Exact match both ways of a base model as it came: codes as text, in plain text after a few worked examples.

    `model` may already have code tokens: their rows are never generated, and no prompt holds one.
    """
    config = replace(book.config, atomic_tokens=False, chat="never")
    as_text = QuestionBook(book.code_set, config)
    asked = {"code_to_definition": as_text.definitions(), "definition_to_code": as_text.codes()}
    asked = {kind: with_worked_examples(questions) for kind, questions in asked.items()}
    rows = model.get_input_embeddings().num_embeddings
    assert isinstance(rows, int)
    new = range(_first_new_row(encoder, book), rows) if book.config.atomic_tokens else ()
    plain = QuestionEncoder(encoder.tokenizer, config, encoder.text_to_text)
    return shares(ask(model, plain, as_text, asked, batch_size, one_line=True, never=new))


def recall_record(book: QuestionBook, before: BeforeTraining, after: Measurement) -> RecallRecord:
    """What recall.json says of the codes and of general text."""
    code_set = book.code_set
    record: RecallRecord = {
        "codes": len(code_set.codes),
        "edition": code_set.edition,
        "pretrained_as_text": before["pretrained_as_text"],
        "before": before["shares"],
        "after": after.shares(),
        "perplexity": {"before": before["perplexity"], "after": after.perplexity},
        **breakdown(after.answers, code_set),
    }
    if code_set.terms is not None:
        record["names"] = book.names.counts(train_terms=book.config.mixture.term_to_code > 0)
    return record


def save_memorized(checkpoint: str | Path, code_set: CodeSet, config: QuestionConfig) -> None:
    """Write what `mera recall` needs to ask the same questions again: the codes and how they are asked about."""
    write_json(Path(checkpoint) / FILE_NAME, {"codes": code_set.record(), "questions": asdict(config)})


def load_memorized(checkpoint: str | Path) -> tuple[CodeSet, QuestionConfig] | None:
    """What `save_memorized` wrote; None where `checkpoint` has no such file."""
    path = Path(checkpoint) / FILE_NAME
    if not path.is_file():
        return None
    memorized = json.loads(path.read_text(encoding="utf-8"))
    questions = pydantic.TypeAdapter(QuestionConfig).validate_python(memorized["questions"])
    return CodeSet(**memorized["codes"]), questions


def what_to_ask(checkpoint: Path, task: Path | None) -> tuple[CodeSet, QuestionConfig]:
    """The codes and the wording: those the checkpoint was trained with, or the candidates of `task`.

    A checkpoint that was trained without a code book is measured without one. Raises UserError where the checkpoint
    does not say and no task is given, has no token for a candidate, or was trained with another book.
    """
    if not checkpoint.is_dir():
        raise FileNotFoundError(f"no checkpoint at {checkpoint}")
    memorized = load_memorized(checkpoint)
    questions = QuestionConfig() if memorized is None else memorized[1]
    if questions.atomic_tokens:
        code_tokens = CodeTokens.load(checkpoint)
    if task is None:
        if memorized is None:
            raise UserError(f"{checkpoint} does not say what it memorized (memorize/train.py notes it): pass --task")
        return memorized
    loaded = load_task(task)
    code_set = task_codes(loaded, with_terms=memorized is None or memorized[0].book is not None)
    if memorized is not None and code_set.book != memorized[0].book:
        raise UserError(
            f"{checkpoint} was trained with another code book than {task} was prepared with: what it was never trained "
            f"on cannot be told; measure it without --task, or prepare the task with the same book"
        )
    if questions.mixture.asks_about_notes:
        code_set = code_set.with_notes(loaded.rules)
    if questions.atomic_tokens:
        code_tokens.require(code_set.codes, checkpoint)
    return code_set, questions


def _first_new_row(encoder: QuestionEncoder, book: QuestionBook) -> int:
    return int(token_ids(encoder.tokenizer, book.code_set.codes).min())
