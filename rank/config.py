"""What stage two can be told: `rank/train.py --help` prints these lines."""

from typing import Literal, get_args

from mera.config import config_class
from mera.language_models.code_tokens import Initialisation
from mera.language_models.models import ModelConfig
from mera.system.errors import UserError
from mera.training.settings import TrainingConfig
from rank.attention import Kernel

ThresholdForm = Literal["atlop", "probability"]
RareRecurrence = Literal["fitted", "none"]
EovOffset = Literal["fitted", "none"]
HistoryForm = Literal["codes", "codes+definitions", "definitions"]
Decoding = Literal["rank", "autoregressive"]
Baseline = Literal["popularity", "own-history", "linear", "retain", "transformer", "oracle"]
NeuralLoss = Literal["softmax", "bce"]


@config_class
class PromptConfig:
    history: HistoryForm = "codes"
    """how a code of the history is written: its token (codes), its definition in words, or both"""
    demographics: bool = True
    """write age and sex before the visits"""
    days: bool = True
    """write the days before the target visit, where the task has dates"""
    max_text_tokens: int = 512
    """tokens of a note that are read, from its beginning"""
    past_note_tokens: int = 0
    """tokens of the notes of past visits that are read in all, newest note first, each from its beginning, where
    max_tokens leaves room beside the visits' codes; 0: none. Needs a task prepared with --past-notes"""
    max_tokens: int = 768
    """longest prompt; the oldest visits are dropped first"""

    def __post_init__(self) -> None:
        if self.past_note_tokens < 0:
            raise UserError(f"prompt.past_note_tokens must be 0 or more, got {self.past_note_tokens}")


@config_class
class LossConfig:
    levels: tuple[str, ...] = ("all", "chapter", "block", "category")
    """ontology levels of the hierarchical InfoNCE"""
    level_weights: tuple[float, ...] | None = None
    """one weight per level; unset: equal"""
    temperature: float | tuple[float, ...] = 1.0
    """InfoNCE temperature: one number, or one per level"""
    threshold_weight: float = 0.2
    """weight of the EOV threshold loss; 0 trains without EOV"""
    threshold_form: ThresholdForm = "atlop"
    """how EOV is trained. atlop: above all negatives together, below each positive (the plain form); probability: at
    the score of a code that is a target with threshold_probability (rank/loss.py)"""
    threshold_probability: float = 0.2
    """with threshold_form probability: codes that are more probable than this are to be above EOV; half of the micro F1
    that can be reached is a good choice"""
    known: Literal["negative", "ignore"] = "negative"
    """target codes already given in a partial output: trained down (negative) or left out (ignore)"""

    def __post_init__(self) -> None:
        per_level = {"level_weights": self.level_weights}
        if not isinstance(self.temperature, float):
            per_level["temperature"] = self.temperature
        for name, numbers in per_level.items():
            if numbers is not None and len(numbers) != len(self.levels):
                raise UserError(f"loss.{name} needs {len(self.levels)} numbers, one per level, got {len(numbers)}")
        temperatures = [self.temperature] if isinstance(self.temperature, float) else self.temperature
        if not self.levels or min(temperatures) <= 0 or self.threshold_weight < 0:
            raise UserError("loss needs at least one level, a positive temperature and a threshold_weight >= 0")
        if not 0 < self.threshold_probability < 1:
            raise UserError("loss.threshold_probability must be above 0 and below 1")
        if self.level_weights is not None and (min(self.level_weights) < 0 or not sum(self.level_weights)):
            raise UserError("loss.level_weights cannot be negative, and one of them must be above 0")


@config_class
class VerificationConfig:
    num_candidates: int = 64
    """best codes of the first pass that are read behind each note; the others rank below them"""
    train_candidates: int = 0
    """of these, how many are read in training: all true ones and a random part of the others, drawn anew each epoch; 0:
    all"""
    trained_layers: int = 0
    """last layers of the model that are trained, the ones below and the embeddings stay as they are; 0: all layers"""

    def __post_init__(self) -> None:
        if self.num_candidates < 1 or self.train_candidates < 0 or self.trained_layers < 0:
            raise UserError(
                "verification.num_candidates must be 1 or more, train_candidates and trained_layers 0 or more"
            )


@config_class
class RankConfig:
    task: str
    """prepared task to train and evaluate on"""
    output: str
    """run directory to write, for example runs/rank"""
    model: ModelConfig
    """model.base is usually a checkpoint of stage one"""
    prompt: PromptConfig = PromptConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    candidates: str | None = None
    """finished run of the same task whose best codes are verified, instead of ranking all codes by the first output
    token (rank/verification); it needs scores of the training notes (`mera retrieval-baselines --candidate_folds 5`)"""
    verification: VerificationConfig = VerificationConfig()
    orders: int = 1
    """orders of the targets drawn per example and epoch, all behind one prompt; 0: no partial outputs"""
    max_targets: int = 40
    """targets given in one order; the rest stay positives"""
    prompt_weight: float = 1.0
    """weight in the loss of the first position, where ranking reads, against 1 of each later one"""
    recurrence: bool = True
    """add a trained bonus to the scores of codes seen before (rank/recurrence.py)"""
    rare_recurrence: RareRecurrence = "fitted"
    """fitted: raise rare codes of the last visit further, as much as the ranking on validation wants and micro F1 there
    allows; none: as trained"""
    history_dropout: float = 0.0
    """share of the prompt's codes left out at random in training, against overfitting on few patients"""
    shuffle_codes: bool = False
    """reorder the codes within each visit at random in training: the order of a visit's codes says little"""
    eov_offset: EovOffset = "fitted"
    """fitted: EOV's share in the threshold and a constant on it, chosen for micro F1 on validation (rank/decision.py);
    none: EOV as trained"""
    decoding: Decoding = "rank"
    """how test patients are ranked. rank: all codes by the first output token; autoregressive: codes are written one
    after the other until EOV, for comparison"""
    attention: Kernel = "sdpa"
    """attention kernel in training: sdpa everywhere, flex (FlexAttention) on GPUs; the result is the same"""
    initialisation: Initialisation = "definition"
    """how code tokens start where model.base has none (no stage one)"""
    evaluation_batch_size: int = 64
    """patients scored at once"""
    name: str = "stage two"
    """the model's name in the report"""

    def __post_init__(self) -> None:
        if self.orders < 0 or self.max_targets < 1:
            raise UserError("orders must be 0 or more, max_targets 1 or more")
        if self.prompt_weight <= 0:
            raise UserError("prompt_weight must be above 0")
        if not 0 <= self.history_dropout < 1:
            raise UserError("history_dropout must be in [0, 1)")


@config_class
class RescoreConfig:
    run: str
    """finished run of rank/train.py"""
    task: str
    """prepared task that it was trained on"""
    output: str
    """run directory to write"""
    decoding: Decoding = "rank"
    """rank: all codes by the first output token; autoregressive: codes one after the other until EOV"""
    eov_offset: EovOffset = "fitted"
    """fitted: EOV's share in the threshold and a constant on it, chosen for micro F1 on validation (rank/decision.py);
    none: EOV as trained"""
    evaluation_batch_size: int = 64
    """patients scored at once"""
    name: str = "stage two, rescored"
    """the model's name in the report"""


@config_class
class NeuralBaselineConfig:
    width: int = 128
    """size of embeddings and hidden states"""
    dropout: float = 0.3
    """share of hidden units dropped in training"""
    loss: NeuralLoss = "softmax"
    """softmax: cross-entropy over the target codes; bce: binary cross-entropy of every code"""
    epochs: int = 100
    """most passes over the training examples; training ends when validation says so"""
    patience: int = 2
    """epochs without a better recall@20 on validation before the learning rate is cut, and at last training ends"""
    batch_size: int = 128
    """patients per step"""
    learning_rate: float = 1e-2
    """learning rate of AdamW, before it is cut"""
    weight_decay: float = 0.01
    """AdamW weight decay"""
    max_visits: int = 50
    """latest visits that are read"""

    def __post_init__(self) -> None:
        if min(self.width, self.epochs, self.patience, self.batch_size, self.max_visits) < 1:
            raise UserError("a neural baseline's width, epochs, patience, batch_size and max_visits must be 1 or more")
        if self.learning_rate <= 0 or not 0 <= self.dropout < 1:
            raise UserError("a neural baseline's learning_rate must be above 0, its dropout in [0, 1)")


@config_class
class TransformerBaselineConfig(NeuralBaselineConfig):
    learning_rate: float = 1e-3
    """learning rate of AdamW, before it is cut"""
    layers: int = 2
    """encoder layers"""
    heads: int = 4
    """attention heads"""

    def __post_init__(self) -> None:
        NeuralBaselineConfig.__post_init__(self)
        if self.layers < 1 or self.heads < 1 or self.width % self.heads:
            raise UserError(f"the transformer's width ({self.width}) must be a multiple of its heads ({self.heads})")


@config_class
class BaselinesConfig:
    task: str
    """prepared task"""
    output: str
    """directory that gets one run per baseline: OUTPUT/popularity, OUTPUT/own-history, ..."""
    only: tuple[Baseline, ...] = get_args(Baseline)
    """which to run, for example "[retain, transformer]"; those that a task has no data for are left out"""
    seed: int = 0
    """seed of the neural baselines"""
    retain: NeuralBaselineConfig = NeuralBaselineConfig()
    transformer: TransformerBaselineConfig = TransformerBaselineConfig()
