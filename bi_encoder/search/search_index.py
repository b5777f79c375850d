"""The model and the code index that a search needs: opened where they are, the index built where it is not yet."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from bi_encoder.checkpoint import ModelRecord, checkpoint_folder, load_bi_encoder
from bi_encoder.index.code_index import CodeIndex
from bi_encoder.inputs.code_names import shortest_first
from bi_encoder.model import BiEncoder
from bi_encoder.network.encoder import open_sentence_transformer
from bi_encoder.predict import embed_texts
from bi_encoder.search.code_names import names_of_codes, terms_digest
from data.codes.book.book import CodeBook
from mera.language_models.models import resolve_source, why_not_loaded
from mera.system.errors import UserError
from mera.system.terminal import progress_bar

NAMES_PER_CODE = 4
"""Texts of a code that are encoded: its title and its shortest further names, which are the usual ones. A code book has
eight names for each code of ICD-10-CM, and encoding all of them would take three times as long."""
TEXTS_AT_ONCE = 2048
"""Texts between two moves of the progress bar."""


def open_model(source: str) -> tuple[BiEncoder, ModelRecord]:
    """A run of bi_encoder/train.py or its checkpoint, or an encoder that nothing here has trained: a
    sentence-transformers folder, a Hugging Face name, or `package:NAME/FOLDER`.

    Raises UserError or FileNotFoundError where it cannot be opened, or does not pool by the mean.
    """
    checkpoint = checkpoint_folder(source)
    if checkpoint is not None:
        model, record = load_bi_encoder(checkpoint)
        return model.eval(), record
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


def index_path(source: str, ontology: str, code_set: str, book: CodeBook | None = None) -> Path:
    """Where the index of a model lies if nothing else is said: beside a checkpoint, else in `runs/search`."""
    digest = f"-{terms_digest(book)[:12]}" if book is not None else ""
    return kept_at(source, f"{ontology}-{code_set}{digest}.safetensors")


def kept_at(source: str, name: str) -> Path:
    """The file `name` of a model's indexes: beside its checkpoint, else in `runs/search`."""
    checkpoint = checkpoint_folder(source)
    if checkpoint is not None:
        return checkpoint / "index" / name
    return Path("runs") / "search" / re.sub(r"[^\w.-]+", "-", source).strip("-.") / name


def open_index(
    path: Path, model: BiEncoder, record: ModelRecord, ontology: str, code_set: str, book: CodeBook | None = None
) -> CodeIndex:
    """The index at `path`, built and saved there first where there is none.

    Raises UserError where the one that is there is of another model, of other codes or of another code book.
    """
    fingerprint = model.fingerprint()
    if path.is_file():
        index = CodeIndex.load(path, model_fingerprint=fingerprint)
        if index.code_set != f"{ontology} {code_set}" or index.definitions is None:
            raise UserError(
                f"the index {path} holds {index.code_set or 'the candidates of a task'}, not {ontology} {code_set}; "
                f"choose another --index"
            )
        index.check_book(terms_digest(book))
        return index
    names = names_of_codes(ontology, code_set, book)
    index = build_index(
        model,
        record,
        dict(zip(names.codes, names.definitions, strict=True)),
        f"{ontology} {code_set}",
        progress=f"encoding {ontology} (once)",
        names=names.names if book is not None else None,
        book=terms_digest(book),
    )
    index.save(path)
    return index


def build_index(
    model: BiEncoder,
    record: ModelRecord,
    definitions: Mapping[str, str],
    code_set: str = "",
    progress: str | None = None,
    names: Sequence[Sequence[str]] | None = None,
    book: str = "",
) -> CodeIndex:
    """An index of codes by their definitions, and by NAMES_PER_CODE of their `names`, where these are given in the
    same order. `progress` names a progress bar; None shows none. `book`: digest of what the names come from.

    Raises UserError where a code has no definition.
    """
    missing = [code for code, text in definitions.items() if not (text or "").strip()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(definitions)} codes have no definition (the first: {missing[0]}); "
            f"a code is found by its definition, so every code needs one"
        )
    codes = list(definitions)
    rows = [[text] for text in definitions.values()]
    if names is not None:
        rows = [
            list(dict.fromkeys([text, *shortest_first(further)]))[:NAMES_PER_CODE]
            for [text], further in zip(rows, names, strict=True)
        ]
    owner = np.repeat(np.arange(len(codes)), [len(row) for row in rows])
    texts = [text for row in rows for text in row]
    embeddings = _embedded(model, texts, record.max_key_tokens, progress)
    return CodeIndex.build(
        embeddings,
        codes,
        model.fingerprint(),
        list(definitions.values()),
        code_set,
        owner,
        texts if names is not None else None,
        book,
    )


def _embedded(model: BiEncoder, texts: Sequence[str], max_tokens: int, progress: str | None) -> np.ndarray:
    """(V, D) float32; a text that stands there more than once is encoded once."""
    distinct = list(dict.fromkeys(texts))
    # Texts of one length together: a short one is not padded to the longest of all.
    order = np.argsort([len(text) for text in distinct], kind="stable")
    embeddings = np.empty((len(distinct), model.hidden_size), dtype=np.float32)
    for start in progress_bar(range(0, len(order), TEXTS_AT_ONCE), progress, f"{TEXTS_AT_ONCE:,} names"):
        rows = order[start : start + TEXTS_AT_ONCE]
        embeddings[rows] = embed_texts(model, [distinct[row] for row in rows], max_tokens).cpu().numpy()
    place = {text: row for row, text in enumerate(distinct)}
    return embeddings[[place[text] for text in texts]]
