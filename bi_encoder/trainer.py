"""The Hugging Face Trainer with the contrastive loss, and a validation that ranks every candidate."""

import copy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method
from transformers import TrainerCallback, TrainingArguments

from bi_encoder.batches import pad
from bi_encoder.config import BiEncoderConfig, matryoshka_weights, matryoshka_widths
from bi_encoder.gather import gather_distinct, num_processes, own_share, sum_over_processes
from bi_encoder.label_views import LabelViews
from bi_encoder.loss import matryoshka_info_nce
from bi_encoder.mistakes import RefreshMistakes
from bi_encoder.model import BiEncoder
from bi_encoder.negatives import HardNegatives
from bi_encoder.predict import embed_codes, score_texts
from bi_encoder.start import training_examples
from bi_encoder.steps import StepCollator, true_pairs
from bi_encoder.texts import query_texts
from bi_encoder.windows import Windows, tokenize_windows
from data.task import Task
from mera import metrics
from mera.engine import shares_out_parameters
from mera.run_directory import RunDirectory
from mera.stage_trainer import StageTrainer
from mera.training import training_arguments


class MethodsForFSDP(TrainerCallback):
    """FSDP2 collects the weights when `forward` is called, and for the methods that are named to it: those by which a
    model that is training is validated. Elsewhere this does nothing."""

    def on_train_begin(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        for name in ("embed", "similarities"):
            register_fsdp_forward_method(model, name)


class BiEncoderTrainer(StageTrainer):
    """Trains a `BiEncoder` at `widths` and validates on `task`'s validation split after each epoch."""

    def __init__(
        self,
        *,
        task: Task,
        config: BiEncoderConfig,
        widths: Sequence[int],
        width_weights: Sequence[float],
        views: LabelViews,
        hard_negatives: HardNegatives,
        whole_copy: BiEncoder | None = None,
        **arguments: Any,
    ):
        """`whole_copy`: a copy of the model that the engine does not touch, see `gather_model`."""
        super().__init__(**arguments)
        self.task = task
        self.bi_encoder_config = config
        self.widths, self.width_weights = list(widths), list(width_weights)
        self.views = views
        self.hard_negatives = hard_negatives
        self.whole_copy = whole_copy
        self._windows: dict[str, list[Windows]] = {}
        # The loss below is normalised by the rows of the whole step, so the trainer must not divide it again.
        self.loss_is_scaled_for_ga = True
        self.add_callback(MethodsForFSDP())

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """(Weighted) mean over the widths of the contrastive loss on prefixes of the full-width states.

        The candidates of all processes are candidates of each: they share out the encoding, then gather the embeddings
        with their gradients. So W processes with B rows each train as one with W x B; accumulated batches do where the
        candidates are all codes, since each batch brings its own.
        """
        views = gather_distinct(inputs["views"])
        own_ids = [self.views.token_ids[view] for view in own_share(views).tolist()]
        keys = {name: value.to(views.device) for name, value in pad(self.bi_encoder.tokenizer, own_ids).items()}
        similarities, first_pass = model(inputs["queries"], keys, self.widths, len(views))
        positive = true_pairs(inputs["targets"], self.views.owner.to(views.device)[views])

        objective = self.bi_encoder_config.objective
        loss = self._contrastive(similarities, positive)
        if first_pass and objective.first_pass_weight:
            loss = loss + objective.first_pass_weight * self._contrastive(first_pass, positive)
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
        learning_rate = self.bi_encoder_config.encoder.rotation_learning_rate
        if learning_rate is not None:
            give_own_group(optimizer, self.bi_encoder.rotation.linear.weight, learning_rate)
        return optimizer

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Tensor:
        """Rows with a true code of the whole optimiser step: all accumulated batches, all processes."""
        num_rows = sum(int((batch["targets"] >= 0).any(dim=1).sum()) for batch in batch_samples)
        return sum_over_processes(torch.tensor(num_rows, device=device))

    def _contrastive(self, similarities: list[Tensor], positive: Tensor) -> Tensor:
        temperature = self.bi_encoder_config.objective.temperature
        return matryoshka_info_nce(similarities, positive, temperature, self.width_weights)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Rank every candidate for the whole validation split; each process does all of it, so no gathering."""
        scores = self.score_split("validation", [self.bi_encoder.hidden_size])[self.bi_encoder.hidden_size]
        found = {
            f"{metric_key_prefix}_{name}": value
            for name, value in ranking_metrics(scores, self.task.targets("validation")).items()
        }
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def score_split(self, split: str, widths: Sequence[int], progress: bool = False) -> dict[int, np.ndarray]:
        """Width -> scores (N, C) float32 of all candidates for a split, without the popularity prior."""
        config = self.bi_encoder_config
        batch_size = config.selection.batch_size
        keys = embed_codes(self.bi_encoder, self.task, config.encoder.max_key_tokens, batch_size)
        return score_texts(
            self.bi_encoder,
            self.query_windows(split),
            keys,
            widths=widths,
            temperature=config.objective.temperature,
            overlap=config.encoder.window_overlap,
            rerank=config.selection.rerank_candidates if config.selection.scoring == "rerank" else None,
            batch_size=batch_size,
            progress=f"scoring {split}" if progress and self.is_world_process_zero() else None,
        )

    def query_windows(self, split: str) -> list[Windows]:
        """All windows of a split's examples, kept for the next call."""
        if split not in self._windows:
            texts = [query.text for query in query_texts(self.task, split)]
            encoder = self.bi_encoder_config.encoder
            self._windows[split] = tokenize_windows(
                self.bi_encoder.tokenizer, texts, encoder.max_query_tokens, encoder.window_overlap
            )
        return self._windows[split]

    def example_lengths(self) -> list[int]:
        return list(self.train_dataset["length"])

    def blank(self, example: dict[str, Any]) -> dict[str, Any]:
        return example | {"targets": []}

    def epoch_records(self) -> list[dict[str, float]]:
        """Epoch, step and validation metrics of each evaluation so far."""
        return [dict(entry) for entry in self.state.log_history if "eval_recall_at_20" in entry]

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


def build_trainer(model: BiEncoder, task: Task, config: BiEncoderConfig, run: RunDirectory) -> BiEncoderTrainer:
    """The trainer of a run: length-grouped batches, an evaluation and a checkpoint each epoch, the best epoch kept."""
    encoder, objective = config.encoder, config.objective
    outside = task.outside_sentence("train")
    if outside is not None:
        print(outside, file=sys.stderr)
    tokenizer = model.tokenizer
    views = LabelViews.of_task(task, tokenizer, encoder.max_key_tokens)
    hard_negatives = HardNegatives.of_task(task, objective.hard_negatives, objective.hard_negatives_per_row)
    collator = StepCollator(
        tokenizer=tokenizer,
        views=views,
        hard_negatives=hard_negatives,
        objective=objective,
        window_overlap=encoder.window_overlap,
    )
    widths = matryoshka_widths(objective.widths, model.hidden_size)
    one_width = config.variant == "retrieval"
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
        task=task,
        config=config,
        widths=widths[-1:] if one_width else widths,
        width_weights=[1.0] if one_width else matryoshka_weights(objective, model.hidden_size),
        views=views,
        hard_negatives=hard_negatives,
        whole_copy=copy.deepcopy(model) if shares_out_parameters() else None,
        min_steps=config.training.min_steps,
        model=model,
        args=TrainingArguments(**arguments),
        data_collator=collator,
        train_dataset=training_examples(task, tokenizer, encoder),
        eval_dataset=training_examples(task, tokenizer, encoder, "validation"),
    )
    if hard_negatives.num_mistakes:
        trainer.add_callback(RefreshMistakes(trainer))
    return trainer


def give_own_group(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, learning_rate: float) -> None:
    """Move `parameter` out of its group of `optimizer`, into one that differs in the learning rate alone."""
    group = next(group for group in optimizer.param_groups if any(one is parameter for one in group["params"]))
    group["params"] = [one for one in group["params"] if one is not parameter]
    optimizer.add_param_group({**group, "params": [parameter], "lr": learning_rate})


def ranking_metrics(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """What chooses the epoch, the prior, and what is said of each width. scores (N, C), targets (N, C) bool."""
    return {
        "recall_at_20": metrics.recall_at_k(scores, targets, 20),
        "mean_average_precision": metrics.mean_average_precision(scores, targets),
    }


def choose_prior_weight(
    scores: np.ndarray, targets: np.ndarray, popularity: np.ndarray, weights: Sequence[float], by: str
) -> float:
    """The weight w with the best `by` of scores + w * popularity; the smallest of equals.

    scores (N, C), targets (N, C) bool, popularity (C,).
    """
    qualities = {weight: ranking_metrics(scores + weight * popularity, targets)[by] for weight in sorted(set(weights))}
    return max(qualities, key=qualities.get)
