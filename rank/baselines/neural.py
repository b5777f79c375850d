"""RETAIN and a plain Transformer encoder, trained on the task alone: no ontology, no language model, no bonus for codes
seen before. What they read, and one short training loop for both."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import set_seed

from data.task import Task
from mera.evaluation.metrics import recall_at_k
from mera.system.errors import UserError
from mera.training.steps import EpochSeededLengthSampler
from rank.baselines.config import NeuralBaselineConfig, NeuralLoss, TransformerBaselineConfig
from rank.baselines.history_tensors import History, HistoryDataset
from rank.baselines.retain import Retain
from rank.baselines.simple import EVALUATED, BaselineScores, history_columns
from rank.baselines.transformer import HistoryTransformer

LEARNING_RATE_CUT, MAX_CUTS = 0.3, 2


def retain(task: Task, config: NeuralBaselineConfig, seed: int) -> BaselineScores:
    """Scores of RETAIN, trained on the task's train split."""
    set_seed(seed)
    model = Retain(len(task.codes), config.width, config.dropout, len(history_columns(task)))
    return _train_and_score(model, task, config, seed, "retain")


def transformer(task: Task, config: TransformerBaselineConfig, seed: int) -> BaselineScores:
    """Scores of a Transformer encoder, trained on the task's train split."""
    set_seed(seed)
    model = HistoryTransformer(
        len(task.codes),
        config.max_visits,
        config.width,
        config.layers,
        config.heads,
        config.dropout,
        len(history_columns(task)),
    )
    return _train_and_score(model, task, config, seed, "transformer")


def target_loss(scores: Tensor, targets: Tensor, kind: NeuralLoss) -> Tensor:
    """scores (B, C) logits, targets (B, C) bool with one or more in each row -> scalar, the mean over rows.

    softmax: -log softmax(scores), averaged over the row's targets. bce: binary cross-entropy, averaged over codes.
    """
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(scores, targets.float())
    return F.cross_entropy(scores, targets / targets.sum(dim=1, keepdim=True))


def _train_and_score(
    model: nn.Module, task: Task, config: NeuralBaselineConfig, seed: int, name: str
) -> BaselineScores:
    """Train, and let the epoch with the best recall@20 on validation score.

    Each time `patience` epochs have not raised it, training goes on from the best epoch at a lower learning rate, which
    suits a hundred patients as well as a hundred thousand; after MAX_CUTS such cuts it ends.
    """
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    data = HistoryDataset(task, "train", config.max_visits)
    validation = HistoryDataset(task, "validation", config.max_visits)
    sampler = EpochSeededLengthSampler(data.lengths(), config.batch_size, seed)
    loader = DataLoader(data, config.batch_size, sampler=sampler, collate_fn=data.collate)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    log: list[dict[str, float]] = []
    best_recall, best_epoch, best_weights = -1.0, 0, {}
    waited = cuts = 0
    for epoch in range(1, config.epochs + 1):
        sampler.set_epoch(epoch)
        loss = _train_epoch(model, loader, optimizer, config, f"{name}, epoch {epoch}")
        recall = float(recall_at_k(_scores(model, validation, config), task.targets("validation"), 20))
        log += [{"epoch": epoch, "loss": loss}, {"epoch": epoch, "eval_recall_at_20": recall}]
        if recall > best_recall:
            best_recall, best_epoch, best_weights = recall, epoch, copy.deepcopy(model.state_dict())
            waited = 0
            continue
        waited += 1
        if waited == config.patience:
            if cuts == MAX_CUTS:
                break
            cuts, waited = cuts + 1, 0
            model.load_state_dict(best_weights)
            for group in optimizer.param_groups:
                group["lr"] *= LEARNING_RATE_CUT
    model.load_state_dict(best_weights)
    scores = {split: _scores(model, HistoryDataset(task, split, config.max_visits), config) for split in EVALUATED}
    return BaselineScores(
        validation=scores["validation"],
        test=scores["test"],
        chosen={"epoch": best_epoch},
        training=log,
    )


def _train_epoch(
    model: nn.Module,
    loader: DataLoader[History],
    optimizer: torch.optim.Optimizer,
    config: NeuralBaselineConfig,
    label: str,
) -> float:
    """The mean loss of the epoch."""
    device = next(model.parameters()).device
    model.train()
    total, num_batches = 0.0, 0
    for batch in tqdm(loader, desc=label, unit="batch", leave=False):
        batch = batch.to(device)
        loss = target_loss(model(batch), batch.targets, config.loss)
        if not loss.isfinite():
            raise UserError(f"{label}: the loss is not finite; lower the learning rate ({config.learning_rate})")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, num_batches = total + loss.item(), num_batches + 1
    return total / num_batches


@torch.inference_mode()
def _scores(model: nn.Module, data: HistoryDataset, config: NeuralBaselineConfig) -> np.ndarray:
    """(N, C) float32. After a softmax loss they are log-probabilities, which one threshold can cut in every row;
    a row's logits may all be shifted by any constant."""
    device = next(model.parameters()).device
    model.eval()
    parts = []
    for batch in DataLoader(data, config.batch_size, collate_fn=data.collate):
        scores = model(batch.to(device)).float()
        parts.append((scores.log_softmax(dim=1) if config.loss == "softmax" else scores).cpu().numpy())
    return np.concatenate(parts)
