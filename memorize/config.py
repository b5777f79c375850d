"""What stage one can be told: `memorize/train.py --help` prints these lines."""

from dataclasses import fields
from typing import Literal

from data.codes.book.store import AUTO, NONE
from mera.config import config_class
from mera.language_models.code_tokens import Initialisation
from mera.language_models.models import ModelConfig
from mera.system.errors import UserError
from mera.training.settings import TrainingConfig

MAX_PHRASINGS = 4
"""Wordings of each kind that can be trained on; one more is only ever measured (`memorize/questions.py`)."""


@config_class
class MixtureConfig:
    """How often each kind of question is asked in an epoch: 1 asks each once in every wording, 0.25 a quarter of them
    (drawn once: the others are never asked), 2 each twice, 0 none."""

    code_to_definition: float = 1.0
    """weight of code -> definition"""
    definition_to_code: float = 1.0
    """weight of definition -> code"""
    code_to_group: float = 1.0
    """weight of code -> name of its group, at each of questions.levels"""
    synonym_to_code: float = 1.0
    """weight of synonym -> code, where the ontology has synonyms"""
    term_to_code: float = 1.0
    """weight of term -> code, where there is a code book; 0: its terms are measured, not trained on"""
    code_to_excluded: float = 0.0
    """weight of code -> a code that may not stand with it (excludes1); 0: neither trained on nor measured"""
    code_to_first: float = 0.0
    """weight of code -> a code that must stand before it (code first); 0: neither trained on nor measured"""

    @property
    def asks_about_notes(self) -> bool:
        return bool(self.code_to_excluded or self.code_to_first)

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise UserError(f"questions.mixture.{field.name} must not be negative, got {getattr(self, field.name)}")
        if self.code_to_definition + self.definition_to_code == 0:
            raise UserError("questions.mixture asks neither for definitions nor for codes: nothing would be learnt")


@config_class
class QuestionConfig:
    phrasings: int = 2
    """wordings per kind of question, 1 to 4; a further one is never trained on, only measured"""
    levels: tuple[str, ...] = ("chapter", "block")
    """ontology levels asked about (code -> name of its group)"""
    held_out_synonyms: float = 0.1
    """share of the synonyms, and of a code book's terms, never trained on, to tell knowing from reciting"""
    terms_per_code: int = 10
    """of a code book at most so many terms of a code are trained on, drawn once and as different as they are"""
    mixture: MixtureConfig = MixtureConfig()
    atomic_tokens: bool = True
    """one new token per code; false: codes stay text, spelt in the model's old tokens (ablation)"""
    chat: Literal["auto", "always", "never"] = "auto"
    """ask through the tokenizer's chat template: where it has one (auto), always, or never"""

    def __post_init__(self) -> None:
        if not 1 <= self.phrasings <= MAX_PHRASINGS:
            raise UserError(f"questions.phrasings must be between 1 and {MAX_PHRASINGS}, got {self.phrasings}")
        if not 0 <= self.held_out_synonyms < 1:
            raise UserError(f"questions.held_out_synonyms must be in [0, 1), got {self.held_out_synonyms}")
        if self.terms_per_code < 1:
            raise UserError(
                f"questions.terms_per_code must be at least 1, got {self.terms_per_code}; to train without terms set "
                f"questions.mixture.term_to_code to 0"
            )


@config_class
class MemorizeConfig:
    output: str
    """run directory to write, for example runs/memorize"""
    model: ModelConfig
    task: str | None = None
    """prepared task whose candidate codes are learnt"""
    ontology: Literal["icd9cm", "icd10cm", "icd10who"] | None = None
    """instead of a task: every leaf code of this ontology"""
    book: str = "auto"
    """code book whose terms name the codes: of a task its own, of an ontology the user's (auto), none, or a folder with
    one (with ontology)"""
    num_codes: int | None = None
    """only so many of the codes, spread evenly; unset: all"""
    questions: QuestionConfig = QuestionConfig()
    training: TrainingConfig = TrainingConfig()
    initialisation: Initialisation = "definition"
    """new code tokens start as the mean of their definition's tokens (definition) or as the library does (library)"""
    attention: str | None = None
    """attention kernel as Hugging Face names it (sdpa, flash_attention_2, ...); unset: the library's choice"""
    packing: Literal["auto", "always", "never"] = "auto"
    """a batch's questions in one row without padding, for causal models; auto: where the attention kernel keeps them
    apart (flash attention), else batches of equal length"""
    replay: float = 0.0
    """share of the training examples that is general text, against forgetting"""
    replay_text: str | None = None
    """UTF-8 text file for `replay`, a part of which is held out and measured; unset: the built-in text"""
    stop_at: float | None = None
    """end training at the first epoch with this exact match both ways, between 0 and 1; unset: train all epochs"""
    evaluate_every: int = 1
    """epochs between the measurements that `stop_at` looks at and that curve.csv holds"""
    evaluation_batch_size: int = 64
    """questions asked at once when measuring"""
    measure_pretrained: bool = True
    """before training, also ask a pretrained base model in plain text with a few worked examples, codes as text"""
    save_adapter: bool = False
    """with LoRA on a causal model: write the adapter, too (adapter/), beside the merged checkpoint"""

    def __post_init__(self) -> None:
        if (self.task is None) == (self.ontology is None):
            raise UserError(
                "set either task (a prepared task) or ontology (icd9cm, icd10cm, icd10who): what is to be memorized"
            )
        if self.task is not None and self.book not in (AUTO, NONE):
            raise UserError(
                f"book is {self.book}, but a task has the terms it was prepared with (mera prepare --book): use auto "
                f"or none, or set ontology instead of task"
            )
        if self.num_codes is not None and self.num_codes < 1:
            raise UserError(f"num_codes must be at least 1, got {self.num_codes}")
        if not 0 <= self.replay < 1:
            raise UserError(f"replay is a share of the training examples, in [0, 1), got {self.replay}")
        if self.replay_text is not None and not self.replay:
            raise UserError("replay_text is set but replay is 0: set replay to the share of general text, such as 0.1")
        if self.stop_at is not None and not 0 < self.stop_at <= 1:
            raise UserError(f"stop_at must be in (0, 1], got {self.stop_at}")
        if self.save_adapter and not self.model.lora.rank:
            raise UserError("save_adapter needs LoRA: set model.lora.rank")
        if self.evaluate_every < 1 or self.evaluation_batch_size < 1:
            raise UserError("evaluate_every and evaluation_batch_size must be at least 1")
