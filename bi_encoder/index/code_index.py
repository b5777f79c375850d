"""The codes' embeddings on disk, memory-mapped when opened, and exact search in them.

A code has one vector or several, such as those of its title and of each of its names; its score is that of the best of
them. C codes, V vectors, D width, Q queries.

The file is one safetensors file: `embeddings` (V, D); where codes have several vectors, `owner` (V,), the code of each;
where the index knows them, `texts`, what each vector was made of, as the bytes of a JSON list. Codes, definitions and
fingerprints are in the header. A file of one vector a code, without `owner`, is what earlier versions wrote.
"""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from bi_encoder.index.first_pass import FirstPass, FirstPassKind
from bi_encoder.index.principal_directions import unit_rows
from bi_encoder.index.top_k import in_parts, score_groups, top_k, top_k_columns
from bi_encoder.index.vector_groups import VectorGroups
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
        owner: np.ndarray | None = None,
        texts: list[str] | None = None,
        book: str = "",
    ):
        self.embeddings = embeddings
        """(V, D) float32, rows of length 1."""
        self.codes = codes
        self.model_fingerprint = model_fingerprint
        self.definitions = definitions
        """What the codes are called, in the same order; None where the index was built without definitions."""
        self.code_set = code_set
        """What the codes are all of, for example `icd10cm leaves`; empty: the candidates of a task."""
        self.groups = VectorGroups(np.arange(len(codes)) if owner is None else owner, len(codes))
        self.texts = texts
        """What each vector (V) was made of; None: of the definitions, one vector a code."""
        self.book = book
        """Digest of the code book that the texts come from; empty without one."""
        self._first_passes: dict[tuple[FirstPassKind, int], FirstPass] = {}

    @classmethod
    def build(
        cls,
        embeddings: np.ndarray,
        codes: list[str],
        model_fingerprint: str = "",
        definitions: list[str] | None = None,
        code_set: str = "",
        owner: np.ndarray | None = None,
        texts: list[str] | None = None,
        book: str = "",
    ) -> "CodeIndex":
        """embeddings (V, D), any scale; owner (V,) int, ascending: the code of each, and without it one a code.

        Raises UserError where they do not fit the codes, a code has no vector, or a row is all zeros.
        """
        num_vectors = len(codes) if owner is None else len(owner)
        if embeddings.ndim != 2 or len(embeddings) != num_vectors:
            raise UserError(
                f"embeddings have shape {embeddings.shape}, but there are {num_vectors} to make of the codes"
            )
        if len(set(codes)) != len(codes):
            raise UserError("the codes of an index must be distinct")
        if definitions is not None and len(definitions) != len(codes):
            raise UserError(f"there are {len(definitions)} definitions for {len(codes)} codes")
        if texts is not None and len(texts) != num_vectors:
            raise UserError(f"there are {len(texts)} texts for {num_vectors} vectors")
        rows = unit_rows(embeddings.astype(np.float32))
        return cls(rows, list(codes), model_fingerprint, definitions, code_set, owner, texts, book)

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
        keeps the `candidates` codes with the best of them, the second compares all vectors of those at full width.
        With `candidates >= C` or `first_pass_dim >= D` there is one exact pass.
        """
        if queries.ndim != 2 or queries.shape[1] != self.embeddings.shape[1]:
            raise UserError(f"queries have shape {queries.shape}, the index is {self.embeddings.shape[1]} wide")
        queries = unit_rows(queries.astype(np.float32))
        k = min(k, len(self.codes))
        num_candidates = max(k, candidates)
        if num_candidates >= len(self.codes) or first_pass_dim >= queries.shape[1]:
            return top_k(self.groups.best(queries @ self.embeddings.T), k)
        short = self.first_pass(first_pass, first_pass_dim)

        def funnel(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            survivors = top_k_columns(self.groups.best(short.scores(some)), num_candidates)
            positions, scores = top_k(score_groups(some, self.embeddings, survivors, self.groups), k)
            return np.take_along_axis(survivors, positions, axis=1), scores

        columns, scores = in_parts(funnel, queries)
        return columns, scores

    def best_texts(self, query: np.ndarray, columns: np.ndarray) -> list[str]:
        """For each code of `columns` (n,) the text of its vector that is nearest to `query` (D,).

        Raises UserError where the index does not know what its vectors were made of.
        """
        texts = self.texts if self.texts is not None else self.definitions
        if texts is None:
            raise UserError("this index does not say which texts its vectors were made of; build it again")
        rows, begins = self.groups.rows_of(columns)
        scores = self.embeddings[rows] @ query.astype(np.float32)
        ends = [*begins[1:].tolist(), len(rows)]
        return [
            texts[rows[begin + int(scores[begin:end].argmax())]]
            for begin, end in zip(begins.tolist(), ends, strict=True)
        ]

    def first_pass(self, kind: FirstPassKind, width: int) -> FirstPass:
        """The short vectors of all codes, made by the first search that wants them."""
        if (kind, width) not in self._first_passes:
            self._first_passes[kind, width] = FirstPass(self.embeddings, width, kind)
        return self._first_passes[kind, width]

    def save(self, path: str | Path) -> None:
        """Write one safetensors file (see above), complete or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"codes": json.dumps(self.codes), "model_fingerprint": self.model_fingerprint}
        header |= {"code_set": self.code_set, "book": self.book}
        if self.definitions is not None:
            header["definitions"] = json.dumps(self.definitions)
        tensors = {"embeddings": np.ascontiguousarray(self.embeddings)}
        if not self.groups.single:
            tensors["owner"] = self.groups.owner
        if self.texts is not None:
            tensors["texts"] = np.frombuffer(json.dumps(self.texts).encode(), dtype=np.uint8)
        beside = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two searches may build it at once
        try:
            save_file(tensors, beside, metadata=header)
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
        where there is none, UserError where the file is no index, is another model's, or holds other codes.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no code index at {path}; bi_encoder/train.py writes one")
        try:
            # Through torch, because safetensors copies what it hands to NumPy.
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                embeddings = file.get_tensor("embeddings").numpy()
                names = set(file.keys())
                owner = file.get_tensor("owner").numpy() if "owner" in names else None
                texts = json.loads(file.get_tensor("texts").numpy().tobytes()) if "texts" in names else None
        except SafetensorError as error:
            raise UserError(f"{path} is no code index, or a damaged one: {error}; build it again") from None
        definitions = json.loads(header["definitions"]) if "definitions" in header else None
        codes_here, code_set = json.loads(header["codes"]), header.get("code_set", "")
        index = cls(
            embeddings,
            codes_here,
            header["model_fingerprint"],
            definitions,
            code_set,
            owner,
            texts,
            header.get("book", ""),
        )
        if model_fingerprint is not None:
            index.check_model(model_fingerprint)
        if codes is not None:
            index.check_codes(codes)
        return index

    def check_model(self, model_fingerprint: str) -> None:
        """Raise UserError unless the index was built by the model with this fingerprint."""
        if model_fingerprint != self.model_fingerprint:
            raise UserError(
                f"this index was built by model {self.model_fingerprint[:12] or '(unknown)'}, the query comes from "
                f"model {model_fingerprint[:12]}; their vectors cannot be compared, so build the index again"
            )

    def check_book(self, book: str) -> None:
        """Raise UserError unless the index was built with the code book of this digest (empty: without one)."""
        if book != self.book:
            raise UserError(
                f"this index was built with {_book(self.book)}, the search is to use {_book(book)}; name another "
                f"--index, or another --book"
            )

    def check_codes(self, codes: list[str]) -> None:
        """Raise UserError unless the index holds exactly these codes in this order."""
        if codes != self.codes:
            different = len(set(codes) ^ set(self.codes))
            raise UserError(
                f"this index holds {len(self.codes)} codes, the task has {len(codes)} candidates, and {different} are "
                f"in only one of the two (or their order differs); build the index for this task"
            )


def _book(digest: str) -> str:
    return f"code book {digest[:12]}" if digest else "no code book"
