"""The configuration of an adaptation: one YAML file plus dotted overrides."""

from mera.config import config_class
from mera.system.errors import UserError
from mera.training.settings import TrainingConfig


@config_class
class AdaptationConfig:
    notes: str
    """file of notes without codes: JSONL (also .gz), CSV or Parquet. Never the notes that are evaluated on"""
    output: str
    """run directory to write; must not exist. Its `encoder` is for `encoder.pretrained` of bi_encoder/train.py"""
    pretrained: str
    """Hugging Face name, local directory, or `package:NAME/FOLDER` inside an installed package"""
    column: str = "text"
    """field or column that holds the note"""
    max_tokens: int = 256
    """a note is cut into pieces of so many tokens"""
    mask_probability: float = 0.15
    """share of the tokens that are to be guessed"""
    held_out: float = 0.05
    """share of the notes that are not trained on, for accuracy and perplexity before and after"""
    training: TrainingConfig = TrainingConfig()

    def __post_init__(self) -> None:
        if not 0 < self.mask_probability < 1 or not 0 < self.held_out < 1:
            raise UserError("mask_probability and held_out must be in (0, 1)")
        if self.max_tokens < 8:
            raise UserError(f"max_tokens must be at least 8, got {self.max_tokens}")
