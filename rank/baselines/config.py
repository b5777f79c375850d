"""What the baselines can be told: `mera baselines --help` prints these lines."""

from typing import Annotated, Literal

import pydantic

from mera.config import config_class
from mera.system.errors import UserError

Baseline = Literal[
    "popularity",
    "own-history",
    "linear",
    "ease",
    "item-knn",
    "wide",
    "gbdt",
    "retain",
    "transformer",
    "zero-shot",
    "oracle",
]
DEFAULT_BASELINES: tuple[Baseline, ...] = (
    *("popularity", "own-history", "linear", "ease", "item-knn", "gbdt"),
    *("retain", "transformer", "oracle"),
)
"""All but `wide`, a part of stage two, and `zero-shot`, which needs a language model and reads every definition for
every patient."""
NeuralLoss = Literal["softmax", "bce"]
TreeObjective = Literal["binary", "lambdarank"]


def _as_names(value: object) -> object:
    """`gbdt, ease` as a list of names, so that nobody has to type brackets."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


@config_class
class NeuralBaselineConfig:
    width: int = 128
    """size of embeddings and hidden states"""
    dropout: float = 0.3
    """share of hidden units dropped in training"""
    loss: NeuralLoss = "softmax"
    """softmax: cross-entropy over the target codes; bce: binary cross-entropy of every code"""
    epochs: int = 100
    """most passes over the training examples, more where that is fewer than min_steps; validation ends training"""
    min_steps: int = 3000
    """steps that may be taken at least, however few an epoch has"""
    batch_size: int = 128
    """patients per step; halved, down to 16, where an epoch would have fewer than min_epoch_steps"""
    min_epoch_steps: int = 30
    """steps that an epoch should have; 0: the batch size stays"""
    warmup_steps: int = 100
    """steps over which the learning rate rises"""
    evaluate_every: int = 100
    """steps between two looks at validation; of fewer than that an epoch, but at least 10, where epochs are shorter"""
    patience: int = 10
    """after patience x evaluate_every steps without a better recall@20 on validation the learning rate is cut, and at
    last training ends; the best look scores"""
    without_history: bool = True
    """also train on examples without an earlier visit (first visits)"""
    learning_rate: float = 1e-2
    """learning rate of AdamW, before it is cut"""
    weight_decay: float = 0.01
    """AdamW weight decay"""
    max_visits: int = 50
    """latest visits that are read"""

    def __post_init__(self) -> None:
        counts = (self.width, self.epochs, self.patience, self.batch_size, self.max_visits, self.evaluate_every)
        if min(counts) < 1:
            raise UserError(
                "a neural baseline's width, epochs, patience, batch_size, max_visits and evaluate_every must be 1 or "
                "more"
            )
        if min(self.min_steps, self.min_epoch_steps, self.warmup_steps) < 0:
            raise UserError("a neural baseline's min_steps, min_epoch_steps and warmup_steps must be 0 or more")
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
class TreesConfig:
    objectives: tuple[TreeObjective, ...] = ("binary", "lambdarank")
    """what is trained; of several the one that is best on validation scores. binary: log-loss of each pair;
    lambdarank: the order within a patient"""
    rounds: int = 2000
    """most trees; training ends when validation says so"""
    patience: int = 50
    """trees without a better validation before training ends"""
    learning_rate: float = 0.1
    """share of each tree that is added"""
    leaves: int = 31
    """most leaves of a tree"""
    likely: int = 40
    """candidates with the best item-item scores that become training pairs of each example, beside its targets and the
    codes of its history"""
    random: int = 40
    """other candidates that do, drawn evenly and weighed for all of them"""
    last_apart: bool = False
    """item-item scores read the codes of the last visit a second time, with weights of their own"""
    max_pairs: int = 4_000_000
    """most training pairs, of about 200 bytes each while LightGBM trains; beyond, examples are left out at random"""

    def __post_init__(self) -> None:
        if min(self.rounds, self.patience, self.likely, self.max_pairs) < 1 or self.random < 0 or self.leaves < 2:
            raise UserError("gbdt needs rounds, patience, likely and max_pairs of 1 or more, and 2 leaves")
        if not self.objectives or self.learning_rate <= 0:
            raise UserError("gbdt needs an objective and a learning_rate above 0")


@config_class
class ZeroShotConfig:
    model: str | None = None
    """language model that is asked as it is: Hugging Face name, local directory, or `package:NAME`"""
    gguf_file: str | None = None
    """file name of the GGUF inside `model`"""
    max_tokens: int = 512
    """longest history in tokens; the oldest visits are left out first"""
    batch_size: int = 64
    """definitions that are read at once"""

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.batch_size) < 1:
            raise UserError("zero_shot.max_tokens and zero_shot.batch_size must be 1 or more")


@config_class
class BaselinesConfig:
    task: str
    """prepared task"""
    output: str
    """directory that gets one run per baseline: OUTPUT/popularity, OUTPUT/own-history, ..."""
    only: Annotated[tuple[Baseline, ...], pydantic.BeforeValidator(_as_names)] = DEFAULT_BASELINES
    """which to run, for example `--only ease gbdt`; those that a task has no data for are left out. zero-shot, slow,
    needs --zero_shot.model"""
    events: bool = True
    """whether models read the procedures, drugs and labs of a task that has them (`mera prepare --events`)"""
    seed: int = 0
    """seed of the trees and of the neural baselines"""
    gbdt: TreesConfig = TreesConfig()
    retain: NeuralBaselineConfig = NeuralBaselineConfig()
    transformer: TransformerBaselineConfig = TransformerBaselineConfig()
    zero_shot: ZeroShotConfig = ZeroShotConfig()
