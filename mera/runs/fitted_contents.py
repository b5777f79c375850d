"""What a fitted baseline is made of, on disk: a folder with `model.json` (its kind and settings) and
`arrays.safetensors` (its arrays, and its lists of texts as JSON).

Nothing in it is code: a folder from elsewhere can be wrong, and cannot do anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import scipy.sparse
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mera.runs.run_directory import write_json
from mera.system.errors import UserError
from mera.system.private_files import private_files

SETTINGS, ARRAYS = "model.json", "arrays.safetensors"
LIST = "list:"
"""Before the name of an array that is a list of texts."""
CSR = ("data", "indices", "indptr", "shape")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    settings: Mapping[str, object]
    """JSON values."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def number(self, name: str) -> float:
        return float(cast("float", self.settings[name]))

    def text(self, name: str) -> str:
        return str(self.settings[name])


def write_contents(folder: Path, contents: Contents) -> None:
    """Write `folder`, which is not there yet, for its owner alone: lists may have words of notes. Raises UserError
    where it cannot be written."""
    texts = {f"{LIST}{name}": _bytes_of(rows) for name, rows in contents.lists.items()}
    with private_files():
        folder.mkdir(parents=True)
        try:
            save_file({**_contiguous(contents.arrays), **texts}, folder / ARRAYS)
        except SafetensorError:
            raise UserError(f"{folder} cannot be written; is the disk full?") from None
        write_json(folder / SETTINGS, contents.settings)


def read_contents(folder: Path) -> Contents:
    """Raises UserError where a file is missing or damaged."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        tensors = load_file(folder / ARRAYS)
        lists = {name.removeprefix(LIST): rows for name, rows in tensors.items() if name.startswith(LIST)}
        return Contents(
            settings=settings,
            arrays={name: array for name, array in tensors.items() if not name.startswith(LIST)},
            lists={name: json.loads(rows.tobytes()) for name, rows in lists.items()},
        )
    except (OSError, SafetensorError, ValueError):
        raise UserError(f"{folder} holds no fitted baseline, or a damaged one; make the run again") from None


def sparse_arrays(name: str, matrix: scipy.sparse.csr_matrix) -> dict[str, np.ndarray]:
    """A sparse matrix as arrays of Contents."""
    parts = (matrix.data, matrix.indices, matrix.indptr, np.array(matrix.shape, dtype=np.int64))
    return {f"{name}.{part}": array for part, array in zip(CSR, parts, strict=True)}


def sparse_matrix(name: str, contents: Contents) -> scipy.sparse.csr_matrix:
    """What `sparse_arrays` was made of."""
    data, indices, indptr, shape = (contents.arrays[f"{name}.{part}"] for part in CSR)
    return scipy.sparse.csr_matrix((data, indices, indptr), tuple(shape.tolist()))


def _bytes_of(rows: Sequence[str]) -> np.ndarray:
    return np.frombuffer(json.dumps(list(rows)).encode(), dtype=np.uint8)


def _contiguous(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    # save_file writes the bytes of an array as they lie, whatever its strides say.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
