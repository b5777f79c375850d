"""The configuration of a bi-encoder run: one YAML file plus dotted overrides."""

from typing import Any, Literal

from mera.config import config_class
from mera.language_models.lora import LoraSettings
from mera.system.errors import UserError
from mera.training.settings import TrainingConfig

Variant = Literal["retrieval", "mean_mrl", "laa_mrl"]
NameKind = Literal["synonyms", "terms", "spans"]
CodeVectorsKind = Literal["definition", "best", "pooled"]
RankingMeasure = Literal["recall_at_20", "mean_average_precision", "map_and_unseen_recall"]
PriorForm = Literal["log_count", "by_frequency"]


@config_class
class EncoderConfig:
    pretrained: str | None = None
    """Hugging Face name, local directory, or `package:NAME/FOLDER` inside an installed package; unset: build
    `architecture` with random weights and a tokenizer trained on the task's texts"""
    architecture: dict[str, Any] | None = None
    """arguments of the Hugging Face config (model_type, hidden_size, ...), used where `pretrained` is unset"""
    tokenizer_size: int = 4000
    """vocabulary of the tokenizer trained for `architecture`"""
    towers: Literal["shared", "separate"] = "shared"
    """`shared`: one encoder reads texts and codes; `separate`: each has its own, started from the same weights"""
    max_query_tokens: int = 512
    """window of a note or history in tokens; longer ones are read in overlapping windows"""
    window_overlap: int = 32
    """tokens that neighbouring windows share, so that each token has context on both sides"""
    training_windows: int = 1
    """windows of a longer text that are read in training, the rest is cut; scoring reads all of them"""
    max_key_tokens: int = 48
    """longest definition in tokens"""
    tokens_at_once: int = 32768
    """tokens encoded together: where nothing is trained, and in training with cached gradients"""
    attention_implementation: str | None = None
    """`sdpa`, `flash_attention_2`, `eager`; unset: flash attention on a GPU that has it, else what transformers
    prefers, but the layers of ModernBERT that look at few tokens compute those alone"""
    unpadded: bool = True
    """encode batches without their padding where flash attention computes (it is what can skip it)"""
    gradient_checkpointing: bool = False
    """recompute activations in the backward pass: less memory, about a third more time"""
    activation_offloading: bool = False
    """keep what the backward pass needs in the host's memory, on a GPU: with gradient_checkpointing the inputs of the
    layers, else nearly all activations; slower by what the bus cannot hide"""
    frozen_layers: int = 0
    """first layers that do not train, nor do the embeddings below them; their states of a text are computed once and
    kept in memory. 0: everything trains"""
    lora: LoraSettings = LoraSettings()
    rotation: Literal["none", "principal"] = "none"
    """`principal`: before training, turn the space so that the directions in which the definitions differ most come
    first. Scores at full width stay the same, prefixes start with most of what an encoder trained without Matryoshka
    spreads over all numbers"""
    rotation_learning_rate: float | None = None
    """peak learning rate of the map that `rotation` gives the model, which starts as a rotation and is trained; unset:
    training.learning_rate. One matrix behind a trained encoder bears, and needs, far larger steps than the encoder"""

    def __post_init__(self) -> None:
        if self.rotation_learning_rate is not None:
            if self.rotation == "none":
                raise UserError("encoder.rotation_learning_rate is set, but encoder.rotation is none")
            if self.rotation_learning_rate <= 0:
                raise UserError(
                    f"encoder.rotation_learning_rate must be greater than 0, got {self.rotation_learning_rate}"
                )
        if (self.pretrained is None) == (self.architecture is None):
            raise UserError("set either encoder.pretrained or encoder.architecture, not both and not neither")
        if not 0 <= self.window_overlap <= self.max_query_tokens // 2:
            raise UserError(
                f"encoder.window_overlap must be between 0 and half of max_query_tokens, "
                f"{self.max_query_tokens // 2}; got {self.window_overlap}"
            )
        if self.frozen_layers < 0 or (self.frozen_layers and self.lora.rank):
            raise UserError("encoder.frozen_layers must not be negative, and does not go with encoder.lora")
        if self.training_windows < 1 or self.tokens_at_once < 1:
            raise UserError("encoder.training_windows and encoder.tokens_at_once must be at least 1")


@config_class
class ObjectiveConfig:
    temperature: float = 0.05
    """scores are cosine similarities divided by this"""
    attention_temperature: float = 0.1
    """where the label attention's temperature starts (`laa_mrl`); it is trained"""
    widths: tuple[int, ...] = (64, 128, 256, 768)
    """Matryoshka prefix widths, clipped to the encoder's hidden size; `retrieval` trains only the largest"""
    width_weights: tuple[float, ...] | None = None
    """weights of the losses at `widths`, one for each; unset: all count alike"""
    first_pass_weight: float = 0.5
    """weight of the mean-pooled loss in `laa_mrl`, which makes its vectors fit for the index; 0 trains the attention
    alone, and every code has to be scored with it"""
    candidates_per_step: int = 256
    """codes scored in a training step: those of the batch, their hard negatives, then random others"""
    hard_negatives: Literal["none", "siblings", "mistakes", "both"] = "none"
    """`siblings`: codes of the same subcategory, category or block as a true one; `mistakes`: codes that the index
    ranks first and that are not true"""
    hard_negatives_per_row: int = 4
    """hard negatives drawn for each example, half of each kind with `both`; all examples of the step see them"""
    refresh_mistakes_every: int = 1
    """epochs after which the index is built again and searched for its mistakes"""
    label_views: Literal["sampled", "both"] = "sampled"
    """`sampled`: a step sees a code by its definition or by one of its further names; `both`: by both at once"""
    synonym_probability: float = 0.25
    """with `sampled` views, the chance of a further name, for codes that have one"""
    view_kinds: tuple[NameKind, ...] = ("synonyms",)
    """kinds of names that are drawn as views: `synonyms`, the inclusion terms; `terms` of the task's code book;
    `spans`, the phrases that annotators marked for the code in training notes. Each kind is drawn equally often"""
    max_terms: int = 7
    """terms of the code book that training uses of a code, the shortest; in the language of the notes first"""
    max_spans: int = 16
    """annotated phrases that training uses of a code, the most frequent"""
    views_together: bool = False
    """with `both` views: score them as one code, as `selection.code_vectors: best` does; else each on its own"""
    sigmoid_weight: float = 0.0
    """weight of a second loss, binary cross-entropy of every pair of an example and a candidate, which makes scores of
    different examples comparable"""
    name_lists: int = 0
    """rows that a step has beside its examples, each a list of `names_per_list` names of random codes, synonyms and
    terms, and true for those: so codes that no example has are found by their names, too"""
    names_per_list: int = 8
    """codes named in each of the `name_lists`"""
    cached_gradients: bool = False
    """encode a step's texts again in the backward pass, `encoder.tokens_at_once` at a time, so that memory does not
    grow with the batch: the loss and its gradients stay the same, a step takes about a third longer"""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.attention_temperature <= 0:
            raise UserError("objective.temperature and objective.attention_temperature must be greater than 0")
        if not self.widths or min(self.widths) < 1:
            raise UserError(f"objective.widths must be positive numbers, got {list(self.widths)}")
        weights = self.width_weights
        if weights is not None and (len(weights) != len(self.widths) or min(weights) <= 0):
            raise UserError(
                f"objective.width_weights needs {len(self.widths)} positive numbers, one for each of objective.widths; "
                f"got {list(weights)}"
            )
        if not 0 <= self.synonym_probability <= 1:
            raise UserError(f"objective.synonym_probability must be in [0, 1], got {self.synonym_probability}")
        if self.first_pass_weight < 0:
            raise UserError(f"objective.first_pass_weight must not be negative, got {self.first_pass_weight}")
        if self.hard_negatives_per_row < 1 or self.refresh_mistakes_every < 1:
            raise UserError("objective.hard_negatives_per_row and refresh_mistakes_every must be at least 1")
        if self.names_per_list < 1 or self.name_lists < 0 or self.max_terms < 0:
            raise UserError("objective.names_per_list must be at least 1, name_lists and max_terms not negative")
        if self.sigmoid_weight < 0 or self.max_spans < 0:
            raise UserError("objective.sigmoid_weight and objective.max_spans must not be negative")
        if self.views_together and self.label_views != "both":
            raise UserError("objective.views_together needs objective.label_views: both")


@config_class
class EvidenceConfig:
    """Learning from the annotated evidence of a task, with `laa_mrl`; without spans nothing changes."""

    attention_weight: float = 0.0
    """weight of -log(attention on the annotated tokens) of the true codes; 0: off"""
    phrase_weight: float = 0.0
    """weight of the contrastive loss of the annotated phrases, each as it stands in its note; 0: off"""
    fragment_weight: float = 0.0
    """weight of the contrastive loss of a note's fragments, each labelled with the codes whose evidence lies in it; 0:
    off"""
    fragment_tokens: int = 128
    """length of a fragment"""
    translation: str | None = None
    """folder of the same corpus, prepared in the language of its annotators: for notes that are a translation, the
    evidence is carried over to them where its place is beyond doubt"""

    def __post_init__(self) -> None:
        if min(self.attention_weight, self.phrase_weight, self.fragment_weight) < 0 or self.fragment_tokens < 1:
            raise UserError(
                "evidence.attention_weight, phrase_weight and fragment_weight must not be negative, fragment_tokens at "
                "least 1"
            )

    @property
    def is_on(self) -> bool:
        """Whether training reads spans."""
        return bool(self.attention_weight or self.phrase_weight or self.fragment_weight)


@config_class
class RefineConfig:
    steps: int = 0
    """steps that train the last linear map alone, when the rest is done: on embeddings that are computed once, against
    every code, with mean pooling only; takes seconds. 0: none"""
    batch_size: int = 64
    """texts per step"""
    learning_rate: float = 1e-3
    """peak learning rate, which falls to 0"""
    dropout: float = 0.3
    """share of the dimensions of a text that a step leaves out"""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.batch_size < 1 or self.learning_rate <= 0:
            raise UserError("refine.steps must not be negative, refine.batch_size and learning_rate must be positive")
        if not 0 <= self.dropout < 1:
            raise UserError(f"refine.dropout must be in [0, 1), got {self.dropout}")


@config_class
class SelectionConfig:
    keep_best_by: RankingMeasure = "mean_average_precision"
    """validation metric that chooses the epoch; recall at 20 says little where notes are easy or candidates few"""
    prior_by: RankingMeasure | None = None
    """validation metric that chooses the popularity prior; unset: `keep_best_by`. `map_and_unseen_recall` is the mean
    average precision and a tenth of the recall at 20 of codes that training never showed: a prior for the former alone
    pushes them out of the first 20 where that costs nearly nothing"""
    prior_form: PriorForm = "log_count"
    """`log_count`: a weight; `by_frequency`: beside it an offset for each group of codes by their training examples"""
    prior_weights: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
    """weights of log(1 + train count) tried as an addition to the scores; below 0 they favour rare codes; [0] turns the
    prior off"""
    batch_size: int = 64
    """examples per batch where nothing is trained"""
    scoring: Literal["rerank", "full"] = "rerank"
    """`laa_mrl`: score with label attention only the best codes of the mean-pooled first pass, or all codes"""
    rerank_candidates: int = 1000
    """codes of the first pass that label attention scores again"""
    code_vectors: CodeVectorsKind = "definition"
    """what a code is compared by: its `definition`; the `best` of its definition and further names (inclusion terms,
    terms of the task's code book); or those `pooled` into one vector, their mean"""
    views_per_code: int = 8
    """texts of a code that are compared or pooled: its definition and its shortest further names, those in the language
    of the notes first"""
    spans_per_code: int = 0
    """beside them, the phrases that annotators marked for the code in training notes, the most frequent"""
    definition_weight: float = 0.0
    """with `best`, what the definition's own score counts beside the best one's, in [0, 1]: 0 the best alone, which
    favours codes with many names; 1 the definition alone"""
    rerank_views: int = 2
    """with `best`, the vectors of a code that label attention scores again: those that the first pass ranks first"""

    def __post_init__(self) -> None:
        if self.rerank_candidates < 1:
            raise UserError(f"selection.rerank_candidates must be at least 1, got {self.rerank_candidates}")
        if self.spans_per_code < 0:
            raise UserError(f"selection.spans_per_code must not be negative, got {self.spans_per_code}")
        if self.views_per_code < 1 or self.rerank_views < 1:
            raise UserError("selection.views_per_code and selection.rerank_views must be at least 1")
        if not 0 <= self.definition_weight <= 1:
            raise UserError(f"selection.definition_weight must be in [0, 1], got {self.definition_weight}")


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
    evidence: EvidenceConfig = EvidenceConfig()
    training: TrainingConfig = TrainingConfig()
    refine: RefineConfig = RefineConfig()
    selection: SelectionConfig = SelectionConfig()

    def __post_init__(self) -> None:
        if self.variant == "laa_mrl" and not self.objective.first_pass_weight and self.selection.scoring == "rerank":
            raise UserError(
                "objective.first_pass_weight is 0, so there is no first pass to rerank; set selection.scoring to full"
            )
        if self.variant == "laa_mrl" and self.refine.steps:
            raise UserError("refine.steps is for mean pooling; label attention compares more than two vectors")


@config_class
class RescoreConfig:
    run: str
    """finished run of bi_encoder/train.py, with its checkpoint"""
    task: str
    """prepared task that it was trained on"""
    output: str
    """run directory to write: the run's predictions, and its scores of the validation split"""


@config_class
class OutOfFoldConfig:
    run: str
    """finished run of bi_encoder/train.py"""
    task: str
    """prepared task that it was trained on"""
    output: str
    """run directory to write: the run's predictions and validation scores, and scores of the training notes"""
    folds: int = 5
    """parts of the training patients, each scored by a model that was trained on the others"""


def training_widths(config: BiEncoderConfig, hidden_size: int) -> tuple[list[int], list[float]]:
    """The widths at which the loss is computed and their weights: of `retrieval` the hidden size alone."""
    if config.variant == "retrieval":
        return [hidden_size], [1.0]
    return matryoshka_widths(config.objective.widths, hidden_size), matryoshka_weights(config.objective, hidden_size)


def matryoshka_widths(widths: tuple[int, ...], hidden_size: int) -> list[int]:
    """The distinct widths in ascending order, clipped to `hidden_size`, which is always among them."""
    return sorted({min(width, hidden_size) for width in widths} | {hidden_size})


def matryoshka_weights(objective: ObjectiveConfig, hidden_size: int) -> list[float]:
    """The weights of `matryoshka_widths`, mean 1. Of widths clipped to the same the first counts; a hidden size beyond
    all widths has the weight of the largest."""
    pairs = sorted(zip(objective.widths, objective.width_weights or [1.0] * len(objective.widths), strict=True))
    weights: dict[int, float] = {}
    for width, weight in [*pairs, (hidden_size, pairs[-1][1])]:
        weights.setdefault(min(width, hidden_size), weight)
    return [weight * len(weights) / sum(weights.values()) for weight in weights.values()]
