"""Refinement: after training, a linear map (D, D) of the embeddings is trained alone, with the encoder frozen.

A step of the whole model spends its time on encoding, so it compares few candidates, and there are few steps. Here the
training texts and all codes are encoded once; the map then takes hundreds of steps in seconds, and each step compares
with every code. The map starts as the rotation to the codes' principal directions and is appended to
the model (`BiEncoder.append_map`). Each step sets some dimensions of the texts to zero (dropout): this keeps the map
from fitting the few training texts, and spreads what matters over several dimensions, so that narrow prefixes hold it
too. Only for mean pooling: the mean of mapped token states is the map of their mean; with label attention it is not.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize
from torch.optim.lr_scheduler import LinearLR

from bi_encoder.config import BiEncoderConfig, RefineConfig, training_widths
from bi_encoder.index.principal_directions import principal_directions
from bi_encoder.loss import matryoshka_info_nce
from bi_encoder.model import BiEncoder
from bi_encoder.predict import code_vectors_of, embed_windows, split_windows
from bi_encoder.scoring.similarities import prefix_similarities
from data.task import Task


def refine(model: BiEncoder, task: Task, config: BiEncoderConfig) -> None:
    """Refine a trained model on its training split. One process is enough, the one that saves."""
    encoder, batch_size = config.encoder, config.selection.batch_size
    windows = split_windows(task, "train", model.tokenizer, encoder)
    queries = embed_windows(model, windows, encoder.window_overlap, batch_size)
    vectors = code_vectors_of(model, task, config)
    positive = torch.from_numpy(task.targets("train")).to(model.device)[:, vectors.owner]
    objective = (config.objective.temperature, *training_widths(config, model.hidden_size))
    model.append_map(
        refined_map(queries, vectors.embeddings, positive, *objective, config.refine, config.training.seed)
    )


def refined_map(
    queries: Tensor,
    keys: Tensor,
    positive: Tensor,
    temperature: float,
    widths: Sequence[int],
    width_weights: Sequence[float],
    settings: RefineConfig,
    seed: int,
) -> Tensor:
    """(D, D): the map of embeddings, of texts (N, D) as of codes (C, D), that ranks the true codes, positive (N, C)
    bool, first at all `widths`. Several vectors of a code are as several codes. It leaves torch's generator as it was.
    """
    queries, keys = normalize(queries, dim=-1), normalize(keys, dim=-1)
    size = keys.shape[1]
    weight = nn.Parameter(torch.from_numpy(principal_directions(keys.cpu().numpy(), size).T).to(keys.device))
    optimizer = torch.optim.AdamW([weight], lr=settings.learning_rate, weight_decay=0.0)
    schedule = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=settings.steps)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(settings.steps):
            rows = torch.randint(len(queries), (settings.batch_size,)).to(keys.device)
            texts, codes = dropout(queries[rows], settings.dropout) @ weight.T, keys @ weight.T
            similarities = prefix_similarities(texts, codes, widths)
            loss = matryoshka_info_nce(similarities, positive[rows], temperature, width_weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return weight.detach()
