"""RETAIN and a plain Transformer encoder."""
