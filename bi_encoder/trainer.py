"""The Hugging Face Trainer with the contrastive loss, and validation by ranking every candidate."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import torch
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from bi_encoder.config import BiEncoderConfig, EvidenceConfig, ObjectiveConfig, training_widths
from bi_encoder.evidence.supervision import EvidenceScores, SpanTargets, span_loss
from bi_encoder.inputs.batches import pad, to_device
from bi_encoder.inputs.label_views import LabelViews
from bi_encoder.inputs.steps import StepCollator, TrainingExample, true_pairs
from bi_encoder.loss import matryoshka_info_nce, multi_positive_info_nce, sigmoid_loss
from bi_encoder.model import BiEncoder
from bi_encoder.negatives import HardNegatives, index_mistakes
from bi_encoder.network.gather import gather_distinct, num_processes, own_share, sum_over_processes
from bi_encoder.scoring.similarities import best_of_codes
from bi_encoder.validation import Validation
from data.task import Task
from mera.runs.run_directory import RunDirectory
from mera.training.engine import shares_out_parameters
from mera.training.settings import training_arguments
from mera.training.stage_trainer import StageTrainer


class MethodsForFSDP(TrainerCallback):
    """FSDP2 collects the weights when `forward` is called, and for the methods that are named to it: those by which a
    model that is training is validated. Elsewhere this does nothing."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **arguments: Any
    ) -> None:
        for name in ("embed", "similarities"):
            register_fsdp_forward_method(arguments["model"], name)


class RefreshMistakes(TrainerCallback):
    """Searches the index for its mistakes, with the weights of then: before the first epoch of a process, resumed or
    not, and at the beginning of each epoch that `every` divides."""

    def __init__(self, hard_negatives: HardNegatives, every: int, search: Callable[[], list[list[int]]]):
        """`search` returns the mistakes of each training example, see `index_mistakes`."""
        self.hard_negatives, self.every, self.search = hard_negatives, every, search

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if not self.hard_negatives.mistakes or round(state.epoch or 0) % self.every == 0:
            self.hard_negatives.mistakes = self.search()


class BiEncoderTrainer(StageTrainer):
    """Trains a `BiEncoder` at `widths`; `measure(model)` returns the validation metrics, which choose the epoch."""

    phase = "bi-encoder"
    objective: ObjectiveConfig

    def __init__(
        self,
        *,
        objective: ObjectiveConfig,
        widths: Sequence[int],
        width_weights: Sequence[float],
        views: LabelViews,
        hard_negatives: HardNegatives,
        evidence: EvidenceConfig,
        definition_weight: float,
        measure: Callable[[BiEncoder], dict[str, float]],
        rotation_learning_rate: float | None = None,
        whole_copy: BiEncoder | None = None,
        **arguments: Any,
    ):
        """`definition_weight`: see `SelectionConfig`. `rotation_learning_rate`: of the model's linear map; None: that
        of the rest. `whole_copy`: a copy of the model that the engine does not touch, see `gather_model`."""
        super().__init__(**arguments)
        self.objective = objective
        self.widths, self.width_weights = list(widths), list(width_weights)
        self.views = views
        self.hard_negatives = hard_negatives
        self.evidence, self.definition_weight = evidence, definition_weight
        self.measure = measure
        self.rotation_learning_rate = rotation_learning_rate
        self.whole_copy = whole_copy
        # The loss below is normalised by the rows of the whole step, so the trainer must not divide it again.
        self.loss_is_scaled_for_ga = True
        self.add_callback(MethodsForFSDP())

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The contrastive loss of a `StepBatch`, weighted and averaged over the widths, on prefixes of the states.

        The candidates of all processes are candidates of each: they share out the encoding, then gather the embeddings
        with their gradients. So W processes with B rows each train as one with W x B. Accumulated batches train as one
        large batch only where all codes are candidates, because each batch draws its own.
        """
        views = gather_distinct(inputs["views"])
        own_ids = [self.views.token_ids[view] for view in own_share(views).tolist()]
        keys = to_device(pad(self.bi_encoder.tokenizer, own_ids), views.device)
        owners = self.views.owner.to(views.device)[views]
        spans = None
        if "spans" in inputs:
            fragment_tokens = self.evidence.fragment_tokens if self.evidence.fragment_weight else 0
            spans = SpanTargets(inputs["spans"], owners, fragment_tokens, self.evidence.phrase_weight > 0)
        scores = model(inputs["queries"], keys, self.widths, len(views), spans)
        similarities, first_pass = scores.similarities, scores.first_pass
        positive = true_pairs(inputs["targets"], owners)

        loss = self._contrastive(similarities, positive, owners)
        if first_pass and self.objective.first_pass_weight:
            loss = loss + self.objective.first_pass_weight * self._contrastive(first_pass, positive, owners)
        if self.objective.sigmoid_weight:
            pairs = self._of_codes(similarities[-1], positive, owners)
            loss = loss + self.objective.sigmoid_weight * sigmoid_loss(*pairs, self.objective.temperature)
        if scores.evidence is not None:
            loss = loss + self._evidence_loss(scores.evidence, owners)
        assert not isinstance(num_items_in_batch, int), "step_items returns a tensor"
        num_rows = positive.any(dim=1).sum()
        step_rows = sum_over_processes(num_rows) if num_items_in_batch is None else num_items_in_batch
        loss = loss * num_rows * num_processes() / step_rows.clamp(min=1)
        return (loss, similarities) if return_outputs else loss

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """The Trainer's, with the map of `encoder.rotation` in a group of its own where it has its own learning rate.
        Called by the Trainer, with the model as an engine has wrapped it."""
        if self.optimizer is not None:
            return self.optimizer
        optimizer = super().create_optimizer(model)
        if self.rotation_learning_rate is not None:
            rotation = self.bi_encoder.rotation
            assert rotation is not None, "a learning rate of its own for a map that the model has not"
            give_own_group(optimizer, rotation.linear.weight, self.rotation_learning_rate)
        return optimizer

    def step_items(self, batches: list[dict[str, Any]], device: torch.device) -> Tensor:
        """Rows with a true code of the whole optimiser step: all accumulated batches, all processes."""
        num_rows = sum(int((batch["targets"] >= 0).any(dim=1).sum()) for batch in batches)
        return sum_over_processes(torch.tensor(num_rows, device=device))

    def _contrastive(self, similarities: list[Tensor], positive: Tensor, owners: Tensor) -> Tensor:
        pairs = [self._of_codes(of_width, positive, owners) for of_width in similarities]
        scores = [of_width for of_width, _ in pairs]
        return matryoshka_info_nce(scores, pairs[0][1], self.objective.temperature, self.width_weights)

    def _of_codes(self, scores: Tensor, positive: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
        """scores and positive (B, V) of the views, or with `views_together` (B, C) of their codes."""
        if not self.objective.views_together:
            return scores, positive
        columns = owners.unique()
        # The step's views are ascending and the views of a task begin with the definitions, so these come first.
        place = torch.searchsorted(columns, owners)
        best = best_of_codes(scores, place).lerp(scores[:, : len(columns)], self.definition_weight)
        return best, positive[:, : len(columns)]

    def _evidence_loss(self, evidence: EvidenceScores, owners: Tensor) -> Tensor:
        loss = self.evidence.attention_weight * span_loss(evidence.log_mass, evidence.is_pair)
        pieces = (
            (self.evidence.phrase_weight, evidence.phrases, evidence.phrase_positive),
            (self.evidence.fragment_weight, evidence.fragments, evidence.fragment_positive),
        )
        for weight, scores, positive in pieces:
            if scores is not None and positive is not None:
                of_codes = self._of_codes(scores, positive, owners)
                loss = loss + weight * multi_positive_info_nce(*of_codes, self.objective.temperature)
        return loss

    def evaluate(self, *_: object, metric_key_prefix: str = "eval", **__: object) -> dict[str, float]:
        """The metrics of `measure`, logged and shown to the callbacks as `Trainer.evaluate` does; each process measures
        the whole validation split, so nothing is gathered."""
        measured = self.measure(self.bi_encoder)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def example_lengths(self) -> list[int]:
        assert isinstance(self.train_dataset, datasets.Dataset)
        return list(self.train_dataset["length"])

    def blank(self, example: TrainingExample) -> TrainingExample:
        blank: TrainingExample = {**example, "targets": []}
        if "spans" in blank:
            blank["spans"] = []
        return blank

    def gather_model(self) -> None:
        """After training, where the engine keeps the parameters in pieces: put the whole model into the first process.

        Every process must call it; from then on the first one can score and save alone.
        """
        if self.whole_copy is None:
            return
        weights = self.accelerator.get_state_dict(self.model_wrapped)
        if self.is_world_process_zero():
            self.whole_copy.load_state_dict(weights)
            self.model = self.whole_copy.to(self.args.device)

    @property
    def bi_encoder(self) -> BiEncoder:
        """The model, without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.model)


def build_trainer(
    model: BiEncoder,
    task: Task,
    examples: datasets.Dataset,
    validation: Validation,
    config: BiEncoderConfig,
    run: RunDirectory,
) -> BiEncoderTrainer:
    """The trainer of a run: length-grouped batches, an evaluation and a checkpoint each epoch, the best epoch kept.

    `examples`: rows of `TrainingExample`.
    """
    encoder, objective = config.encoder, config.objective
    max_spans = objective.max_spans if "spans" in objective.view_kinds else 0
    views = LabelViews.of_task(task, model.tokenizer, encoder.max_key_tokens, objective.max_terms, max_spans)
    hard_negatives = HardNegatives.of_task(task, objective.hard_negatives, objective.hard_negatives_per_row)
    collator = StepCollator(
        tokenizer=model.tokenizer,
        views=views,
        hard_negatives=hard_negatives,
        objective=objective,
        window_overlap=encoder.window_overlap,
        max_query_tokens=encoder.max_query_tokens,
    )
    widths, width_weights = training_widths(config, model.hidden_size)
    arguments = training_arguments(
        config.training,
        run,
        eval_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model=config.selection.keep_best_by,
        greater_is_better=True,
        remove_unused_columns=False,
    )
    trainer = BiEncoderTrainer(
        objective=objective,
        widths=widths,
        width_weights=width_weights,
        views=views,
        hard_negatives=hard_negatives,
        evidence=config.evidence,
        definition_weight=config.selection.definition_weight,
        measure=validation.measure,
        rotation_learning_rate=encoder.rotation_learning_rate,
        whole_copy=copy.deepcopy(model) if shares_out_parameters() else None,
        min_steps=config.training.min_steps,
        compiles=config.training.compile,
        kept_activations=config.training.kept_activations,
        offloads_activations=config.encoder.activation_offloading,
        model=model,
        args=TrainingArguments(**arguments),
        data_collator=collator,
        train_dataset=examples,
        eval_dataset=validation.windows,  # the trainer wants one; `evaluate` ranks with `measure` instead
    )
    if hard_negatives.num_mistakes:
        per_example = hard_negatives.mistakes_per_example

        def search() -> list[list[int]]:
            return index_mistakes(trainer.bi_encoder, task, examples, config, per_example)

        trainer.add_callback(RefreshMistakes(hard_negatives, objective.refresh_mistakes_every, search))
    return trainer


def give_own_group(optimizer: torch.optim.Optimizer, parameter: Tensor, learning_rate: float) -> None:
    """Move `parameter` out of its group of `optimizer`, into one that differs in the learning rate alone."""
    group = next(group for group in optimizer.param_groups if any(one is parameter for one in group["params"]))
    group["params"] = [one for one in group["params"] if one is not parameter]
    optimizer.add_param_group({**group, "params": [parameter], "lr": learning_rate})
