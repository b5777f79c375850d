"""The retrieval baseline: a ModernBERT bi-encoder with Matryoshka embeddings and label-aware attention."""
