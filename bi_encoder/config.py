"""The configuration of a bi-encoder run: one YAML file plus dotted overrides."""

from typing import Any, Literal

from mera.config import config_class
from mera.training import TrainingConfig

Variant = Literal["retrieval", "mean_mrl", "laa_mrl"]


@config_class
class EncoderConfig:
    pretrained: str | None = None
    """Hugging Face name, local directory, or `package:NAME/FOLDER` inside an installed package; unset: build
    `architecture` with random weights and a tokenizer trained on the task's texts"""
    architecture: dict[str, Any] | None = None
    """arguments of the Hugging Face config (model_type, hidden_size, ...), used where `pretrained` is unset"""
    tokenizer_size: int = 4000
    """vocabulary of the tokenizer trained for `architecture`"""
    max_query_tokens: int = 512
    """longest note or history in tokens; longer ones are cut at the end and counted"""
    max_key_tokens: int = 48
    """longest definition in tokens"""
    attention_implementation: str | None = None
    """`sdpa`, `flash_attention_2`, `eager`; unset: what transformers prefers"""
    gradient_checkpointing: bool = False
    """recompute activations in the backward pass: less memory, about a third more time"""

    def __post_init__(self) -> None:
        if (self.pretrained is None) == (self.architecture is None):
            raise ValueError("set either encoder.pretrained or encoder.architecture, not both and not neither")


@config_class
class ObjectiveConfig:
    temperature: float = 0.05
    """scores are cosine similarities divided by this"""
    attention_temperature: float = 0.1
    """where the label attention's temperature starts (`laa_mrl`); it is trained"""
    widths: tuple[int, ...] = (64, 128, 256, 768)
    """Matryoshka prefix widths, clipped to the encoder's hidden size; `retrieval` trains only the largest"""
    candidates_per_step: int = 256
    """codes scored in a training step: those of the batch, then random others"""
    synonym_probability: float = 0.25
    """chance that a training step sees a code by one of its synonyms instead of its definition"""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.attention_temperature <= 0:
            raise ValueError("objective.temperature and objective.attention_temperature must be greater than 0")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"objective.widths must be positive numbers, got {list(self.widths)}")
        if not 0 <= self.synonym_probability <= 1:
            raise ValueError(f"objective.synonym_probability must be in [0, 1], got {self.synonym_probability}")


@config_class
class SelectionConfig:
    keep_best_by: Literal["recall_at_20", "mean_average_precision"] = "mean_average_precision"
    """validation metric that chooses the epoch and the popularity prior; recall at 20 says little where notes are easy
    or candidates few"""
    prior_weights: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
    """weights of log(1 + train count) tried as an addition to the scores; [0] turns the prior off"""
    batch_size: int = 64
    """examples per batch where nothing is trained"""


@config_class
class BiEncoderConfig:
    task: str
    """folder of a prepared task"""
    output: str
    """run directory to write; must not exist"""
    variant: Variant = "laa_mrl"
    """`retrieval` (mean pooling), `mean_mrl` (mean pooling + Matryoshka), `laa_mrl` (label attention + Matryoshka)"""
    encoder: EncoderConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    selection: SelectionConfig = SelectionConfig()


def matryoshka_widths(widths: tuple[int, ...], hidden_size: int) -> list[int]:
    """The distinct widths in ascending order, clipped to `hidden_size`, which is always among them."""
    return sorted({min(width, hidden_size) for width in widths} | {hidden_size})
