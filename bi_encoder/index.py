"""The codes' embeddings on disk, and exact search in them. C codes, D width, Q queries."""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


class CodeIndex:
    """Embeddings of codes, with the codes and the fingerprint of the model that made them."""

    def __init__(self, embeddings: np.ndarray, codes: list[str], model_fingerprint: str):
        self.embeddings = embeddings
        """(C, D) float32, rows of length 1."""
        self.codes = codes
        self.model_fingerprint = model_fingerprint

    @classmethod
    def build(cls, embeddings: np.ndarray, codes: list[str], model_fingerprint: str = "") -> "CodeIndex":
        """embeddings (C, D), any scale. Raises ValueError where they do not fit the codes or a row is all zeros."""
        if embeddings.ndim != 2 or len(embeddings) != len(codes):
            raise ValueError(f"embeddings have shape {embeddings.shape}, but there are {len(codes)} codes")
        if len(set(codes)) != len(codes):
            raise ValueError("the codes of an index must be distinct")
        return cls(_unit_rows(embeddings.astype(np.float32)), list(codes), model_fingerprint)

    def search(
        self, queries: np.ndarray, k: int, first_pass_dim: int = 64, candidates: int = 1000
    ) -> tuple[list[list[str]], np.ndarray]:
        """The `k` nearest codes of each query, best first: codes, cosine similarities (Q, k) float32.

        queries (Q, D), any scale. The first pass compares prefixes of `first_pass_dim` and keeps `candidates` codes,
        the second compares them at full width; both are exact, and with `candidates >= C` so is the whole.
        """
        if queries.ndim != 2 or queries.shape[1] != self.embeddings.shape[1]:
            raise ValueError(f"queries have shape {queries.shape}, the index is {self.embeddings.shape[1]} wide")
        queries = _unit_rows(queries.astype(np.float32))
        k = min(k, len(self.codes))
        kept = max(k, candidates)
        if kept >= len(self.codes) or first_pass_dim >= queries.shape[1]:
            columns, scores = _top(queries @ self.embeddings.T, k)
        else:
            prefixes = _unit_rows(self.embeddings[:, :first_pass_dim])
            survivors, _ = _top(_unit_rows(queries[:, :first_pass_dim]) @ prefixes.T, kept)
            rescored = np.einsum("qd,qnd->qn", queries, self.embeddings[survivors])
            positions, scores = _top(rescored, k)
            columns = np.take_along_axis(survivors, positions, axis=1)
        return [[self.codes[column] for column in row] for row in columns], scores

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; codes and fingerprint stand in its header."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"codes": json.dumps(self.codes), "model_fingerprint": self.model_fingerprint}
        save_file({"embeddings": self.embeddings}, path, metadata=header)

    @classmethod
    def load(
        cls, path: str | Path, *, model_fingerprint: str | None = None, codes: list[str] | None = None
    ) -> "CodeIndex":
        """Read an index. Give the fingerprint of the model that asks and the task's codes to have them checked.

        Raises FileNotFoundError where there is none, ValueError where it is another model's or holds other codes.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no code index at {path}; bi_encoder/train.py writes one")
        with safe_open(path, framework="np") as file:
            header = file.metadata()
            index = cls(file.get_tensor("embeddings"), json.loads(header["codes"]), header["model_fingerprint"])
        if model_fingerprint is not None:
            index.check_model(model_fingerprint)
        if codes is not None:
            index.check_codes(codes)
        return index

    def check_model(self, model_fingerprint: str) -> None:
        """Raise ValueError unless the index was built by the model with this fingerprint."""
        if model_fingerprint != self.model_fingerprint:
            raise ValueError(
                f"this index was built by model {self.model_fingerprint[:12] or '(unknown)'}, the query comes from "
                f"model {model_fingerprint[:12]}; their vectors cannot be compared, so build the index again"
            )

    def check_codes(self, codes: list[str]) -> None:
        """Raise ValueError unless the index holds exactly these codes in this order."""
        if codes != self.codes:
            different = len(set(codes) ^ set(self.codes))
            raise ValueError(
                f"this index holds {len(self.codes)} codes, the task has {len(codes)} candidates, and {different} are "
                f"in only one of the two (or their order differs); build the index for this task"
            )


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("an embedding is zero or not finite, so it has no direction to compare")
    return rows / lengths


def _top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns (Q, k) and values (Q, k) of each row's largest scores, best first, ties by column."""
    if k < scores.shape[1]:
        columns = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
