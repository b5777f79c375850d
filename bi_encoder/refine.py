"""Training the last linear map alone, behind an encoder that is done.

What a step of the whole model costs is encoding: so it sees few candidates, and steps are few. Here texts and
codes are encoded once, and a map of their embeddings takes hundreds of steps in seconds, each against every code. It
starts as the rotation to the principal directions (see rotation.py). Dropout of whole dimensions before it keeps it
from fitting the few training texts, and what the space must say more than once, narrow prefixes say too. Only for mean
pooling, where the mean of mapped tokens is the mapped mean.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize
from torch.optim.lr_scheduler import LinearLR

from bi_encoder.config import RefineConfig
from bi_encoder.first_pass import principal_directions
from bi_encoder.loss import matryoshka_info_nce
from bi_encoder.predict import embed_codes, embed_windows
from bi_encoder.similarities import prefix_similarities
from bi_encoder.trainer import BiEncoderTrainer


def refine(trainer: BiEncoderTrainer) -> None:
    """Refine the model of a finished training on its training split. One process is enough, the one that saves."""
    config, task, model = trainer.bi_encoder_config, trainer.task, trainer.bi_encoder
    encoder, batch_size = config.encoder, config.selection.batch_size
    queries = embed_windows(model, trainer.query_windows("train"), encoder.window_overlap, batch_size)
    keys = embed_codes(model, task, encoder.max_key_tokens, batch_size)
    positive = torch.from_numpy(task.targets("train")).to(keys.device)
    objective = (config.objective.temperature, trainer.widths, trainer.width_weights)
    model.append_map(refined_map(queries, keys, positive, *objective, config.refine, config.training.seed))


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
    bool, first at all `widths`. It leaves torch's generator as it was."""
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
