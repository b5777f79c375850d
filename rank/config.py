"""What stage two can be told: `rank/train.py --help` prints these lines."""

from typing import Literal

from mera.config import Recipe, config_class
from mera.language_models.code_tokens import Initialisation
from mera.language_models.models import ModelConfig
from mera.system.errors import UserError
from mera.training.settings import TrainingConfig
from rank.attention.masks import Kernel
from rank.attention.packing import Packing

ThresholdForm = Literal["atlop", "probability"]
RareRecurrence = Literal["fitted", "none"]
EovOffset = Literal["fitted", "none"]
WideForm = Literal["none", "recurrence", "full"]
HistoryForm = Literal["codes", "codes+definitions", "definitions"]
Decoding = Literal["rank", "autoregressive"]


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
    max_events: int = 32
    """procedures, drugs and labs of a visit that are read at most, the rarest in training first, where the task has
    events and max_tokens leaves room beside the visits' codes; 0: none (`mera prepare --events`)"""
    max_tokens: int = 768
    """longest prompt; the oldest visits are dropped first"""

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.max_text_tokens < 0:
            raise UserError("prompt.max_tokens must be 1 or more, prompt.max_text_tokens 0 or more")
        if self.past_note_tokens < 0:
            raise UserError(f"prompt.past_note_tokens must be 0 or more, got {self.past_note_tokens}")
        if self.max_events < 0:
            raise UserError(f"prompt.max_events must be 0 or more, got {self.max_events}")


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
    untrained: Literal["negative", "ignore"] = "negative"
    """candidates that are no training example's target: trained down (negative), as a code that never was will hardly
    come, or left out of the loss (ignore), for tasks in which such codes do come (`mera prepare --hide-codes`)"""

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
    token (rank/verification), with a causal model; it needs scores of the training notes (`mera retrieval-baselines
    --candidate_folds 5`)"""
    verification: VerificationConfig = VerificationConfig()
    orders: int = 1
    """orders of the targets drawn per example and epoch, all behind one prompt; 0: no partial outputs"""
    max_targets: int = 40
    """targets given in one order, the rest stay positives; decoding autoregressive writes no more codes either"""
    prompt_weight: float = 1.0
    """weight in the loss of the first position, where ranking reads, against 1 of each later one"""
    wide: WideForm = "recurrence"
    """a linear model of the history beside the language model. none: the paper's form; recurrence: a trained bonus for
    codes seen before; full: also for codes linked to those seen, how common a code is, age and sex, fitted before the
    language model trains (rank/wide)"""
    repeated_weight: float = 1.0
    """weight in the ranking loss of the targets that stand in the history, against 1 of new ones: below 1 trains for
    the onset of new diseases"""
    rare_recurrence: RareRecurrence = "fitted"
    """fitted: move rare codes of the last visit up, as far as the ranking on validation wants, without changing which
    codes are predicted (rank/wide/rare_codes.py); none: as trained"""
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
    """attention kernel in training: sdpa everywhere, flex (FlexAttention) for causal models on GPUs; the result is the
    same"""
    packing: Packing = "auto"
    """several patients of a batch in one row, with little padding, for causal models; the result is the same. auto:
    with attention flex, which skips what they do not see of each other"""
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
        if self.repeated_weight <= 0:
            raise UserError("repeated_weight must be above 0")
        if not 0 <= self.history_dropout < 1:
            raise UserError("history_dropout must be in [0, 1)")
        require_batch(self.evaluation_batch_size)

    @property
    def unread_by_verification(self) -> list[str]:
        """The keys that were changed and do nothing with `candidates`."""
        names = (
            *("decoding", "orders", "max_targets", "prompt_weight", "repeated_weight", "rare_recurrence"),
            *("history_dropout", "shuffle_codes", "packing"),
        )
        plain = type(self)(task="", output="", model=self.model)
        changed = [name for name in names if getattr(self, name) != getattr(plain, name)]
        changed += ["wide"] if self.wide == "full" else []
        return changed + [
            f"loss.{name}" for name in ("known", "untrained") if getattr(self.loss, name) != getattr(plain.loss, name)
        ]


@config_class
class RescoreConfig:
    run: str
    """finished run of rank/train.py"""
    task: str
    """prepared task that it was trained on"""
    output: str
    """run directory to write"""
    decoding: Decoding | None = None
    """rank: all codes by the first output token; autoregressive: codes one after the other until EOV; unset: as the
    run, which holds for the next two also"""
    eov_offset: EovOffset | None = None
    """fitted: EOV's share in the threshold and a constant on it, chosen for micro F1 on validation (rank/decision.py);
    none: EOV as trained"""
    rare_recurrence: RareRecurrence | None = None
    """fitted: move rare codes of the last visit up, as far as the ranking on validation wants, without changing which
    codes are predicted (rank/wide/rare_codes.py); none: as trained"""
    evaluation_batch_size: int = 64
    """patients scored at once"""
    name: str = "stage two, rescored"
    """the model's name in the report"""

    def __post_init__(self) -> None:
        require_batch(self.evaluation_batch_size)

    def settings(self, of_run: Recipe) -> Recipe:
        """The settings of a run, `of_run`, with what is asked for here in their place."""
        asked = {key: getattr(self, key) for key in ("decoding", "eov_offset", "rare_recurrence")}
        before = {"decoding": "rank", "eov_offset": "fitted", "rare_recurrence": "fitted"}  # of a run of before
        return before | dict(of_run) | {key: value for key, value in asked.items() if value is not None}


def require_batch(size: int) -> None:
    if size < 1:
        raise UserError(f"evaluation_batch_size must be 1 or more, got {size}")
