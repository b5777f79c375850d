"""RETAIN and a plain Transformer encoder, trained on the task alone: no ontology, no language model, no bonus for codes
seen before. What they read, and one short training loop for both."""

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import set_seed

from data.task import Task
from data.task_folder.features import PatientRow
from mera.config import config_dict
from mera.evaluation.metrics import recall_at_k, telling_k
from mera.runs.fitted_contents import Contents
from mera.system.errors import UserError
from mera.system.terminal import progress_bar
from mera.training.amount import fitting_batch_size
from mera.training.steps import EpochSeededLengthSampler, raised_epochs
from rank.baselines.config import NeuralBaselineConfig, NeuralLoss, TransformerBaselineConfig
from rank.baselines.history_columns import HistoryColumns
from rank.baselines.neural.history_tensors import History, HistoryDataset
from rank.baselines.neural.retain import Retain
from rank.baselines.neural.transformer import HistoryTransformer
from rank.baselines.simple import BaselineScores, scored_by

RETAIN, TRANSFORMER = "retain", "transformer"
LEARNING_RATE_CUT, MAX_CUTS = 0.3, 2
LEAST_INTERVAL = 10
"""Steps between two looks at validation, at least."""


class Neural:
    """A network over the codes of a history: RETAIN, or with a configuration of one a Transformer."""

    def __init__(self, columns: HistoryColumns, config: NeuralBaselineConfig):
        self.columns, self.config = columns, config
        self.network: nn.Module = _network(columns, config)

    @property
    def kind(self) -> str:
        return TRANSFORMER if isinstance(self.config, TransformerBaselineConfig) else RETAIN

    def scores(self, rows: Sequence[PatientRow]) -> np.ndarray:
        return self.of(HistoryDataset(rows, self.columns, self.config.max_visits))

    @torch.inference_mode()
    def of(self, data: HistoryDataset) -> np.ndarray:
        """(N, C) float32. After a softmax loss they are log-probabilities, which one threshold can cut in every row;
        a row's logits may all be shifted by any constant."""
        network = self.network.eval()
        device = next(network.parameters()).device
        parts = []
        for batch in DataLoader(data, self.config.batch_size, collate_fn=data.collate):
            scores = network(batch.to(device)).float()
            parts.append((scores.log_softmax(dim=1) if self.config.loss == "softmax" else scores).cpu().numpy())
        return np.concatenate(parts)

    def contents(self) -> Contents:
        weights = {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}
        return Contents(settings={"config": config_dict(self.config)}, arrays=weights)

    @classmethod
    def from_contents(cls, contents: Contents, columns: HistoryColumns) -> "Neural":
        settings = cast("dict[str, int | float | str | bool]", contents.settings["config"])
        # Only a Transformer has layers and heads.
        config = TypeAdapter(TransformerBaselineConfig if "heads" in settings else NeuralBaselineConfig)
        model = cls(columns, config.validate_python(settings))
        model.network.load_state_dict({name: torch.from_numpy(array) for name, array in contents.arrays.items()})
        return model


def retain(task: Task, config: NeuralBaselineConfig, seed: int) -> BaselineScores:
    """Scores of RETAIN, trained on the task's train split."""
    return _train_and_score(task, config, seed)


def transformer(task: Task, config: TransformerBaselineConfig, seed: int) -> BaselineScores:
    """Scores of a Transformer encoder, trained on the task's train split."""
    return _train_and_score(task, config, seed)


def target_loss(scores: Tensor, targets: Tensor, kind: NeuralLoss) -> Tensor:
    """scores (B, C) logits, targets (B, C) bool with one or more in each row -> scalar, the mean over rows.

    softmax: -log softmax(scores), averaged over the row's targets. bce: binary cross-entropy, averaged over codes.
    """
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(scores, targets.float())
    return F.cross_entropy(scores, targets / targets.sum(dim=1, keepdim=True))


def look_interval(evaluate_every: int, epoch_steps: int) -> int:
    """Steps between two looks at validation: `evaluate_every`, or an epoch where that is shorter, at least
    LEAST_INTERVAL: few patients are learnt by heart in a few epochs."""
    return min(evaluate_every, max(LEAST_INTERVAL, epoch_steps))


def _network(columns: HistoryColumns, config: NeuralBaselineConfig) -> nn.Module:
    num_codes = len(columns.candidates)
    if not isinstance(config, TransformerBaselineConfig):
        return Retain(num_codes, config.width, config.dropout, columns.num_read)
    return HistoryTransformer(
        num_codes,
        config.max_visits,
        config.width,
        config.layers,
        config.heads,
        config.dropout,
        columns.num_read,
    )


def _train_and_score(task: Task, config: NeuralBaselineConfig, seed: int) -> BaselineScores:
    """Train as much as the number of examples wants (mera/training/amount.py), and let the look with the best recall@20
    (of few candidates `telling_k`) on validation score.

    Each time `patience` x `evaluate_every` steps have not raised it, training goes on from the best look at a lower
    learning rate; after MAX_CUTS such cuts it ends.
    """
    columns = HistoryColumns.of_task(task)
    set_seed(seed)
    model = Neural(columns, config)
    name, network = model.kind, model.network
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    data = HistoryDataset.of_train(task, columns, config.max_visits, config.without_history)
    if not len(data):
        raise UserError(f"{name}: no training example has a history; set {name}.without_history to true")
    validation = HistoryDataset(list(task.splits["validation"]), columns, config.max_visits)
    batch_size = fitting_batch_size(len(data), config.batch_size, config.min_epoch_steps)
    sampler = EpochSeededLengthSampler(data.lengths(), batch_size, seed)
    loader = DataLoader(data, batch_size, sampler=sampler, collate_fn=data.collate)
    every = look_interval(config.evaluate_every, len(loader))
    most_steps = math.ceil(len(loader) * raised_epochs(config.epochs, len(loader), config.min_steps))
    patience = math.ceil(config.patience * config.evaluate_every / every)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    steps = _training_steps(network, loader, sampler, optimizer, config, name)
    log: list[dict[str, float]] = []
    k = telling_k(len(task.codes))
    best_recall, best_step, best_weights = -1.0, 0, {}
    waited = cuts = done = 0
    while done < most_steps:
        losses = [next(steps) for _ in range(min(every, most_steps - done))]
        done += len(losses)
        scores = model.of(validation)
        recalls = {number: float(recall_at_k(scores, task.targets("validation"), number)) for number in {k, 20}}
        recall = recalls[k]
        place = {"epoch": round(done / len(loader), 3), "step": done}
        log += [
            {**place, "loss": float(np.mean(losses))},
            {**place, **{f"eval_recall_at_{number}": value for number, value in sorted(recalls.items())}},
        ]
        if recall > best_recall:
            best_recall, best_step, best_weights = recall, done, copy.deepcopy(network.state_dict())
            waited = 0
            continue
        waited += 1
        if waited == patience:
            if cuts == MAX_CUTS:
                break
            cuts, waited = cuts + 1, 0
            network.load_state_dict(best_weights)
            for group in optimizer.param_groups:
                group["lr"] *= LEARNING_RATE_CUT
    network.load_state_dict(best_weights)
    chosen = {"step": best_step, "epoch": round(best_step / len(loader), 3), "batch_size": batch_size}
    return scored_by(model, task, chosen, training=log)


def _training_steps(
    network: nn.Module,
    loader: DataLoader[History],
    sampler: EpochSeededLengthSampler,
    optimizer: torch.optim.Optimizer,
    config: NeuralBaselineConfig,
    name: str,
) -> Iterator[float]:
    """The loss of one step after the other, without end. The learning rate rises over the first `warmup_steps` from
    next to nothing; later it is what the optimiser's groups say."""
    device = next(network.parameters()).device
    step = 0
    for epoch in itertools.count(1):
        sampler.set_epoch(epoch)
        for batch in progress_bar(loader, f"{name}, epoch {epoch}", "batch"):
            network.train()
            batch, step = batch.to(device), step + 1
            loss = target_loss(network(batch), batch.targets, config.loss)
            if not loss.isfinite():
                raise UserError(f"{name}, step {step}: the loss is not finite; lower {name}.learning_rate")
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            share = min(1.0, step / (config.warmup_steps + 1))
            rates = [group["lr"] for group in optimizer.param_groups]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share
            optimizer.step()
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            yield loss.item()
