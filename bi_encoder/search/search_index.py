"""The model and the code index that a search needs: opened where they are, the index built where it is not yet."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tqdm.auto import tqdm

from bi_encoder.checkpoint import RECORD_NAME, ModelRecord, load_bi_encoder
from bi_encoder.encoder import open_sentence_transformer
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_texts
from data.ontology import load_ontology
from mera.language_models.models import resolve_source, why_not_loaded
from mera.system.errors import UserError

CODE_SETS = ("leaves", "all")
"""`leaves`: codes with none below them, those that can be billed; `all`: every code, block and chapter."""
TEXTS_AT_ONCE = 2048
"""Texts between two moves of the progress bar."""


def open_model(source: str) -> tuple[BiEncoder, ModelRecord]:
    """A checkpoint of bi_encoder/train.py, or an encoder that nothing here has trained: a sentence-transformers folder,
    a Hugging Face name, or `package:NAME/FOLDER`.

    Raises ValueError or FileNotFoundError where it cannot be opened, or does not pool by the mean.
    """
    if (Path(source) / RECORD_NAME).is_file():
        model, record = load_bi_encoder(source)
        return model.eval(), record
    if (Path(source) / "checkpoint" / RECORD_NAME).is_file():
        raise UserError(f"{source} is a run; search with its checkpoint, --model {Path(source) / 'checkpoint'}")
    folder = resolve_source(source, "--model")
    try:
        opened = open_sentence_transformer(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot open the encoder {source!r}: {why_not_loaded(folder, error)}") from error
    encoder, *others = opened
    poolings = [module.pooling_mode for module in others if isinstance(module, Pooling)]
    if not isinstance(encoder, Transformer) or any(not isinstance(part, Pooling | Normalize) for part in others):
        raise UserError(f"the encoder {source!r} is more than a transformer with mean pooling; search cannot use it")
    if poolings != ["mean"]:
        raise UserError(f"the encoder {source!r} pools by {poolings}, search needs the mean")
    model = BiEncoder(encoder, attention=None).eval()
    tokens = encoder.max_seq_length or 512
    return model, ModelRecord(
        variant="retrieval",
        temperature=1.0,
        max_query_tokens=tokens,
        max_key_tokens=min(64, tokens),
        widths=[model.hidden_size],
    )


def index_path(source: str, ontology: str, code_set: str) -> Path:
    """Where the index of a model lies if nothing else is said: beside a checkpoint, else in `runs/search`."""
    name = f"{ontology}-{code_set}.safetensors"
    if (Path(source) / RECORD_NAME).is_file():
        return Path(source) / "index" / name
    return Path("runs") / "search" / re.sub(r"[^\w.-]+", "-", source).strip("-.") / name


def open_index(path: Path, model: BiEncoder, record: ModelRecord, ontology: str, code_set: str) -> CodeIndex:
    """The index at `path`, built and saved there first where there is none.

    Raises ValueError where the one that is there is of another model or other codes.
    """
    fingerprint = model.fingerprint()
    if path.is_file():
        index = CodeIndex.load(path, model_fingerprint=fingerprint)
        if index.code_set != f"{ontology} {code_set}" or index.definitions is None:
            raise UserError(
                f"the index {path} holds {index.code_set or 'the candidates of a task'}, not {ontology} {code_set}; "
                f"choose another --index"
            )
        return index
    names = load_ontology(ontology).nodes(leaves_only=code_set == "leaves")
    index = build_index(model, record, names, f"{ontology} {code_set}", progress=f"encoding {ontology} (once)")
    index.save(path)
    return index


def build_index(
    model: BiEncoder,
    record: ModelRecord,
    definitions: Mapping[str, str],
    code_set: str = "",
    progress: str | None = None,
) -> CodeIndex:
    """An index of codes by their definitions. `progress` names a progress bar; None shows none.

    Raises ValueError where a code has no definition.
    """
    missing = [code for code, text in definitions.items() if not (text or "").strip()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(definitions)} codes have no definition (the first: {missing[0]}); "
            f"a code is found by its definition, so every code needs one"
        )
    codes, texts = list(definitions), list(definitions.values())
    # Texts of one length together: a short one is not padded to the longest of all.
    order = np.argsort([len(text) for text in texts], kind="stable")
    embeddings = np.empty((len(texts), model.hidden_size), dtype=np.float32)
    with tqdm(total=len(texts), desc=progress, unit="code", disable=progress is None) as bar:
        for start in range(0, len(order), TEXTS_AT_ONCE):
            rows = order[start : start + TEXTS_AT_ONCE]
            part = embed_texts(model, [texts[row] for row in rows], record.max_key_tokens)
            embeddings[rows] = part.cpu().numpy()
            bar.update(len(rows))
    return CodeIndex.build(embeddings, codes, model.fingerprint(), texts, code_set)
