"""The retrieval baseline: a ModernBERT bi-encoder with Matryoshka embeddings and label-aware attention."""

from typing import TYPE_CHECKING

from mera.system.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from bi_encoder.checkpoint import load_bi_encoder
    from bi_encoder.index.code_index import CodeIndex
    from bi_encoder.model import BiEncoder
    from bi_encoder.search.note_prediction.note_ranker import NoteRanker
    from bi_encoder.search.search import CodeSearch

__all__ = ["BiEncoder", "CodeIndex", "CodeSearch", "NoteRanker", "load_bi_encoder"]
__getattr__ = lazy_exports(
    __name__,
    {
        "BiEncoder": "bi_encoder.model",
        "CodeIndex": "bi_encoder.index.code_index",
        "CodeSearch": "bi_encoder.search.search",
        "NoteRanker": "bi_encoder.search.note_prediction.note_ranker",
        "load_bi_encoder": "bi_encoder.checkpoint",
    },
)
