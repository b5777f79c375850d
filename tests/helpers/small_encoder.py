"""A small ModernBERT with random weights, in memory and as the folder that sentence-transformers saves.

from small_encoder import make_encoder, save_plain        (pytest puts this folder on sys.path)
"""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from bi_encoder.config import EncoderConfig
from bi_encoder.network.encoder import load_encoder

SMALL_ARCHITECTURE = {
    "model_type": "modernbert",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "local_attention": 16,
}


def make_encoder(texts: list[str], max_tokens: int = 64) -> Transformer:
    torch.manual_seed(0)
    config = EncoderConfig(architecture=SMALL_ARCHITECTURE, tokenizer_size=400, max_query_tokens=max_tokens)
    return load_encoder(config, texts)


def save_plain(encoder: Transformer, folder: Path, pooling: str = "mean") -> str:
    """As published encoders are: without anything of this project in it."""
    parts = [encoder, Pooling(encoder.get_embedding_dimension(), pooling)]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)
    return str(folder)
