"""The bi-encoder: one encoder for texts and codes, and a head that compares them.

B texts, T tokens, C codes, D hidden size, w a Matryoshka prefix width.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import Tensor, nn
from torch.nn.functional import normalize

from bi_encoder.attention import LabelAttention
from mera.models import SAFE_LOADING

RECORD_NAME = "bi_encoder.json"
ATTENTION_NAME = "label_attention.safetensors"
LABELS_AT_ONCE = 1024
"""Codes whose label attention is held in memory together, where nothing is trained."""


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
    threshold: float | None = None
    """Codes that score above it are predicted."""
    codes: list[str] = field(default_factory=list)
    """The candidates it was trained on, in column order."""


class BiEncoder(nn.Module):
    """Scores texts against codes by cosine similarity, at any prefix width.

    With label attention each code is compared with its own evidence in the text, else with the mean of its tokens.
    """

    def __init__(self, encoder: Transformer, attention: LabelAttention | None):
        super().__init__()
        self.encoder = encoder
        self.pooling = Pooling(encoder.get_embedding_dimension(), "mean")
        self.attention = attention
        special_ids = torch.tensor(sorted(encoder.tokenizer.all_special_ids))
        self.register_buffer("special_ids", special_ids, persistent=False)

    @property
    def config(self):
        """The encoder's configuration; DeepSpeed reads the hidden size from it."""
        return self.encoder.config

    @property
    def hidden_size(self) -> int:
        return self.pooling.embedding_dimension

    @property
    def tokenizer(self):
        return self.encoder.tokenizer

    @property
    def device(self) -> torch.device:
        return self.special_ids.device

    def forward(self, queries: dict[str, Tensor], keys: dict[str, Tensor], widths: Sequence[int]) -> list[Tensor]:
        """Token ids and masks (B, T) of texts, (C, T') of codes -> cosine similarities (B, C) at each width."""
        return self.similarities(queries, self.embed(keys), widths)

    def embed(self, inputs: dict[str, Tensor]) -> Tensor:
        """Token ids and mask (B, T) -> mean of the token states (B, D)."""
        return self._pooled(self._states(inputs), inputs["attention_mask"])

    def similarities(self, queries: dict[str, Tensor], keys: Tensor, widths: Sequence[int]) -> list[Tensor]:
        """Token ids and mask (B, T), embeddings of codes (C, D) -> cosine similarities (B, C) at each width."""
        states = self._states(queries)
        # Divided by the temperature, a cosine rounded to bfloat16 would be off by a tenth.
        with torch.autocast(self.device.type, enabled=False):
            if self.attention is None:
                pooled = self._pooled(states, queries["attention_mask"])
                return [normalize(pooled[:, :w], dim=-1) @ normalize(keys[:, :w], dim=-1).T for w in widths]
            mask = self.content_mask(queries)
            return [self._attended(states[..., :w], mask, keys[:, :w]) for w in widths]

    def token_weights(self, queries: dict[str, Tensor], keys: Tensor) -> Tensor:
        """Token ids and mask (B, T), embeddings of codes (C, D) -> attention weights (B, C, T) at full width.

        Raises ValueError where the model has no label attention.
        """
        if self.attention is None:
            raise ValueError("this model pools by the mean, so it has no evidence; train the variant laa_mrl for that")
        states = normalize(self._states(queries), dim=-1)
        return self.attention(states, self.content_mask(queries), normalize(keys, dim=-1))[1]

    def content_mask(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, T) bool: tokens of the text itself, without padding and without the tokens added around it."""
        return inputs["attention_mask"].bool() & ~torch.isin(inputs["input_ids"], self.special_ids)

    def gradient_checkpointing_enable(self, **arguments) -> None:
        self.encoder.model.gradient_checkpointing_enable(**arguments)

    def fingerprint(self) -> str:
        """sha256 over names and values of all weights: equal models embed alike."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def save(self, path: str | Path, record: ModelRecord) -> None:
        """A folder that `SentenceTransformer(path)` opens (mean pooling), plus the record and the label attention."""
        path = Path(path)
        SentenceTransformer(modules=[self.encoder, self.pooling], device="cpu").save(str(path), create_model_card=False)
        if self.attention is not None:
            save_file(self.attention.state_dict(), path / ATTENTION_NAME)
        (path / RECORD_NAME).write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")

    def _states(self, inputs: dict[str, Tensor]) -> Tensor:
        """Token states (B, T, D) float32; on a GPU the encoder computes in bfloat16, in training and afterwards."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.encoder(dict(inputs))["token_embeddings"].float()

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        return self.pooling({"token_embeddings": states, "attention_mask": mask})["sentence_embedding"]

    def _attended(self, states: Tensor, mask: Tensor, keys: Tensor) -> Tensor:
        states, keys = normalize(states, dim=-1), normalize(keys, dim=-1)
        chunks = keys.split(len(keys) if torch.is_grad_enabled() else LABELS_AT_ONCE)
        return torch.cat([_cosine_to_own_label(self.attention(states, mask, chunk)[0], chunk) for chunk in chunks], 1)


def build_bi_encoder(encoder: Transformer, variant: str, attention_temperature: float) -> BiEncoder:
    """The variant's model around `encoder`: only `laa_mrl` has label attention."""
    return BiEncoder(encoder, LabelAttention(attention_temperature) if variant == "laa_mrl" else None)


def load_bi_encoder(path: str | Path, codes: list[str] | None = None) -> tuple[BiEncoder, ModelRecord]:
    """Open a checkpoint written by `BiEncoder.save`.

    Raises FileNotFoundError where there is none, ValueError where `codes` are given and differ from those it was
    trained on.
    """
    path = Path(path)
    if not (path / RECORD_NAME).is_file():
        raise FileNotFoundError(f"no bi-encoder checkpoint in {path} ({RECORD_NAME} is missing)")
    values = json.loads((path / RECORD_NAME).read_text(encoding="utf-8"))
    known = {entry.name for entry in fields(ModelRecord)}
    record = ModelRecord(**{name: value for name, value in values.items() if name in known})
    if codes is not None and codes != record.codes:
        raise ValueError(
            f"the checkpoint {path} was trained on {len(record.codes)} candidate codes, the task has {len(codes)} "
            f"({len(set(codes) ^ set(record.codes))} are in only one of the two); train on this task"
        )
    opened = SentenceTransformer(str(path), device="cpu", model_kwargs=dict(SAFE_LOADING), trust_remote_code=False)
    opened[0].unpad_inputs = False
    model = build_bi_encoder(opened[0], record.variant, attention_temperature=1.0)
    if model.attention is not None:
        model.attention.load_state_dict(load_file(path / ATTENTION_NAME))
    return model, record


def _cosine_to_own_label(evidence: Tensor, labels: Tensor) -> Tensor:
    """evidence (B, C, w), labels (C, w) of length 1 -> (B, C)."""
    return (normalize(evidence, dim=-1) * labels).sum(-1)
