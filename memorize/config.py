"""What stage one can be told: `memorize/train.py --help` prints these lines."""

from mera.code_tokens import Initialisation
from mera.config import config_class
from mera.models import ModelConfig
from mera.training import TrainingConfig


@config_class
class QuestionConfig:
    phrasings: int = 2
    """wordings per kind of question, 1 to 3"""
    levels: tuple[str, ...] = ("chapter", "block")
    """ontology levels asked about (code -> name of its group)"""
    synonyms: bool = True
    """ask synonym -> code where the ontology has synonyms"""
    held_out_synonyms: float = 0.1
    """share of the synonyms never trained on, to tell knowing from reciting"""

    def __post_init__(self) -> None:
        if not 1 <= self.phrasings <= 3:
            raise ValueError("questions.phrasings must be 1, 2 or 3")
        if not 0 <= self.held_out_synonyms < 1:
            raise ValueError("questions.held_out_synonyms must be in [0, 1)")


@config_class
class MemorizeConfig:
    task: str
    """prepared task whose candidate codes are learnt"""
    output: str
    """run directory to write, for example runs/memorize"""
    model: ModelConfig
    questions: QuestionConfig = QuestionConfig()
    training: TrainingConfig = TrainingConfig()
    initialisation: Initialisation = "definition"
    """new code tokens start as the mean of their definition's tokens (definition) or as the library does (library)"""
    stop_at: float | None = None
    """end training at the first epoch with this exact match both ways, between 0 and 1; unset: train all epochs"""
    evaluate_every: int = 1
    """epochs between the measurements that `stop_at` looks at"""
    evaluation_batch_size: int = 64
    """questions asked at once when measuring"""
