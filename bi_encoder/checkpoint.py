"""A bi-encoder on disk: the folder that `SentenceTransformer` opens, the settings of scoring, the label attention."""

import copy
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Router, Transformer
from torch import nn

from bi_encoder.config import CodeVectorsKind
from bi_encoder.model import BiEncoder
from bi_encoder.network.attention import LabelAttention
from bi_encoder.network.encoder import merge_lora, open_sentence_transformer
from mera.system.errors import UserError

RECORD_NAME = "bi_encoder.json"
ATTENTION_NAME = "label_attention.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRecord:
    """What a checkpoint must know beside its weights."""

    variant: str
    temperature: float
    """Scores are cosine similarities divided by this."""
    max_query_tokens: int
    max_key_tokens: int
    widths: list[int]
    """Prefix widths the loss was computed at."""
    task_fingerprint: str = ""
    prior_weight: float = 0.0
    """Weight of log(1 + train count) in the scores."""
    prior_offsets: dict[str, float] = field(default_factory=dict)
    """Beside it, what the scores of each group of codes by train count have added (`bi_encoder.scoring.prior`)."""
    code_vectors: CodeVectorsKind = "definition"
    """What a code is compared by, see `SelectionConfig`."""
    views_per_code: int = 8
    spans_per_code: int = 0
    rerank_views: int = 2
    definition_weight: float = 0.0
    threshold: float | None = None
    """Codes that score above it are predicted."""
    window_overlap: int = 32
    """Tokens that neighbouring windows of a longer text share."""
    rerank_candidates: int | None = None
    """Codes of the mean-pooled first pass that label attention scores again; None: it scores all."""
    codes: list[str] = field(default_factory=list)
    """The candidates it was trained on, in column order."""


def save_bi_encoder(model: BiEncoder, path: str | Path, record: ModelRecord) -> None:
    """A folder that `SentenceTransformer(path)` opens (mean pooling), plus the record and the label attention.

    Separate towers are its routes `query` and `document`: `encode_query` and `encode_document`. LoRA adapters are
    merged into the weights.
    """
    path = Path(path)
    for encoder in model.towers:
        merge_lora(encoder)
    head = [model.pooling] if model.rotation is None else [model.rotation, model.pooling]
    modules = [model.encoder, *head]
    if model.key_encoder is not None:
        towers = (modules, [model.key_encoder, *copy.deepcopy(head)])
        modules = [Router.for_query_document(*towers, default_route="query")]
    device = model.device
    SentenceTransformer(modules=modules, device="cpu").save(str(path), create_model_card=False)
    model.to(device)  # it has taken the modules to the CPU with it
    if model.attention is not None:
        save_file(model.attention.state_dict(), path / ATTENTION_NAME)
    (path / RECORD_NAME).write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")


def checkpoint_folder(source: str | Path) -> Path | None:
    """The checkpoint that `source` is, or that it has, as a run's folder does; None where there is none."""
    path = Path(source)
    return next((folder for folder in (path, path / "checkpoint") if (folder / RECORD_NAME).is_file()), None)


def load_bi_encoder(path: str | Path, codes: list[str] | None = None) -> tuple[BiEncoder, ModelRecord]:
    """Open a checkpoint written by `save_bi_encoder`.

    Raises FileNotFoundError where there is none, UserError where `codes` are given and differ from those it was
    trained on.
    """
    path = Path(path)
    if not (path / RECORD_NAME).is_file():
        raise FileNotFoundError(f"no bi-encoder checkpoint in {path} ({RECORD_NAME} is missing)")
    values = json.loads((path / RECORD_NAME).read_text(encoding="utf-8"))
    known = {entry.name for entry in fields(ModelRecord)}
    record = ModelRecord(**{name: value for name, value in values.items() if name in known})
    if codes is not None and codes != record.codes:
        raise UserError(
            f"the checkpoint {path} was trained on {len(record.codes)} candidate codes, the task has {len(codes)} "
            f"({len(set(codes) ^ set(record.codes))} are in only one of the two); train on this task"
        )
    opened = open_sentence_transformer(str(path))
    attention = LabelAttention() if record.variant == "laa_mrl" else None
    if isinstance(opened[0], Router):
        encoder, rotation = _encoder_and_map(opened[0].sub_modules["query"])
        key_encoder, _ = _encoder_and_map(opened[0].sub_modules["document"])
    else:
        (encoder, rotation), key_encoder = _encoder_and_map(opened), None
    model = BiEncoder(encoder, attention, key_encoder, rotation=rotation)
    if model.attention is not None:
        # Checkpoints from before ZeRO-3 was supported hold the temperature as a scalar.
        weights = {name: value.reshape(-1) for name, value in load_file(path / ATTENTION_NAME).items()}
        model.attention.load_state_dict(weights)
    return model, record


def _encoder_and_map(tower: nn.Module) -> tuple[Transformer, Dense | None]:
    """The first module of a tower, and the linear map behind it where there is one."""
    encoder, *others = tower.children()
    assert isinstance(encoder, Transformer), f"a tower begins with a transformer, not with {type(encoder).__name__}"
    return encoder, next((module for module in others if isinstance(module, Dense)), None)
