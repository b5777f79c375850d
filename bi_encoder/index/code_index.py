"""The codes' embeddings on disk, memory-mapped when opened, and exact search in them. C codes, D width, Q queries."""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bi_encoder.index.first_pass import FirstPass, FirstPassKind, unit_rows
from bi_encoder.index.top_k import in_parts, score_columns, top_k, top_k_columns
from mera.system.errors import UserError


class CodeIndex:
    """Embeddings of codes, with the codes, their definitions, and the fingerprint of the model that made them."""

    def __init__(
        self,
        embeddings: np.ndarray,
        codes: list[str],
        model_fingerprint: str,
        definitions: list[str] | None = None,
        code_set: str = "",
    ):
        self.embeddings = embeddings
        """(C, D) float32, rows of length 1."""
        self.codes = codes
        self.model_fingerprint = model_fingerprint
        self.definitions = definitions
        """What the codes were read by, in the same order; None where the index was built without them."""
        self.code_set = code_set
        """What the codes are all of, for example `icd10cm leaves`; empty: the candidates of a task."""
        self._first_passes: dict[tuple[FirstPassKind, int], FirstPass] = {}

    @classmethod
    def build(
        cls,
        embeddings: np.ndarray,
        codes: list[str],
        model_fingerprint: str = "",
        definitions: list[str] | None = None,
        code_set: str = "",
    ) -> "CodeIndex":
        """embeddings (C, D), any scale. Raises ValueError where they do not fit the codes or a row is all zeros."""
        if embeddings.ndim != 2 or len(embeddings) != len(codes):
            raise UserError(f"embeddings have shape {embeddings.shape}, but there are {len(codes)} codes")
        if len(set(codes)) != len(codes):
            raise UserError("the codes of an index must be distinct")
        if definitions is not None and len(definitions) != len(codes):
            raise UserError(f"there are {len(definitions)} definitions for {len(codes)} codes")
        return cls(unit_rows(embeddings.astype(np.float32)), list(codes), model_fingerprint, definitions, code_set)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        first_pass_dim: int = 64,
        candidates: int = 1000,
        first_pass: FirstPassKind = "prefix",
    ) -> tuple[list[list[str]], np.ndarray]:
        """The `k` nearest codes of each query, best first: codes, cosine similarities (Q, k) float32.

        As `search_columns`, with the codes' names.
        """
        columns, scores = self.search_columns(queries, k, first_pass_dim, candidates, first_pass)
        return [[self.codes[column] for column in row] for row in columns.tolist()], scores

    def search_columns(
        self,
        queries: np.ndarray,
        k: int,
        first_pass_dim: int = 64,
        candidates: int = 1000,
        first_pass: FirstPassKind = "prefix",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns (Q, k) int and cosine similarities (Q, k) float32 of each query's nearest codes, best first.

        queries (Q, D), any scale. The first pass compares vectors of `first_pass_dim` numbers (see `FirstPass`) and
        keeps `candidates` codes, the second compares those at full width. With `candidates >= C` or
        `first_pass_dim >= D` there is one exact pass.
        """
        if queries.ndim != 2 or queries.shape[1] != self.embeddings.shape[1]:
            raise UserError(f"queries have shape {queries.shape}, the index is {self.embeddings.shape[1]} wide")
        queries = unit_rows(queries.astype(np.float32))
        k = min(k, len(self.codes))
        num_candidates = max(k, candidates)
        if num_candidates >= len(self.codes) or first_pass_dim >= queries.shape[1]:
            return top_k(queries @ self.embeddings.T, k)
        short = self.first_pass(first_pass, first_pass_dim)

        def funnel(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            survivors = top_k_columns(short.scores(some), num_candidates)
            positions, scores = top_k(score_columns(some, self.embeddings, survivors), k)
            return np.take_along_axis(survivors, positions, axis=1), scores

        columns, scores = in_parts(funnel, queries)
        return columns, scores

    def first_pass(self, kind: FirstPassKind, width: int) -> FirstPass:
        """The short vectors of all codes, made by the first search that wants them."""
        if (kind, width) not in self._first_passes:
            self._first_passes[kind, width] = FirstPass(self.embeddings, width, kind)
        return self._first_passes[kind, width]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, complete or not at all; codes, definitions and fingerprint are in its header."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"codes": json.dumps(self.codes), "model_fingerprint": self.model_fingerprint}
        header["code_set"] = self.code_set
        if self.definitions is not None:
            header["definitions"] = json.dumps(self.definitions)
        beside = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two searches may build it at once
        try:
            save_file({"embeddings": np.ascontiguousarray(self.embeddings)}, beside, metadata=header)
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    @classmethod
    def load(
        cls, path: str | Path, *, model_fingerprint: str | None = None, codes: list[str] | None = None
    ) -> "CodeIndex":
        """Open an index; the embeddings stay on disk until they are read, and processes share them.

        Give the fingerprint of the model that asks and the task's codes to have them checked. Raises FileNotFoundError
        where there is none, ValueError where the file is no index, is another model's, or holds other codes.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no code index at {path}; bi_encoder/train.py writes one")
        try:
            # Through torch, because safetensors copies what it hands to NumPy.
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                embeddings = file.get_tensor("embeddings").numpy()
        except SafetensorError as error:
            raise UserError(f"{path} is no code index, or a damaged one: {error}; build it again") from None
        definitions = json.loads(header["definitions"]) if "definitions" in header else None
        codes_here, code_set = json.loads(header["codes"]), header.get("code_set", "")
        index = cls(embeddings, codes_here, header["model_fingerprint"], definitions, code_set)
        if model_fingerprint is not None:
            index.check_model(model_fingerprint)
        if codes is not None:
            index.check_codes(codes)
        return index

    def check_model(self, model_fingerprint: str) -> None:
        """Raise ValueError unless the index was built by the model with this fingerprint."""
        if model_fingerprint != self.model_fingerprint:
            raise UserError(
                f"this index was built by model {self.model_fingerprint[:12] or '(unknown)'}, the query comes from "
                f"model {model_fingerprint[:12]}; their vectors cannot be compared, so build the index again"
            )

    def check_codes(self, codes: list[str]) -> None:
        """Raise ValueError unless the index holds exactly these codes in this order."""
        if codes != self.codes:
            different = len(set(codes) ^ set(self.codes))
            raise UserError(
                f"this index holds {len(self.codes)} codes, the task has {len(codes)} candidates, and {different} are "
                f"in only one of the two (or their order differs); build the index for this task"
            )
