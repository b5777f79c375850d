"""The bi-encoder: one encoder for texts and codes or one for each, and a head that compares them.

B texts, W windows of them, T tokens, C codes, D hidden size, w a Matryoshka prefix width.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torch.utils.checkpoint import checkpoint
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from bi_encoder.evidence.supervision import (
    EvidenceScores,
    SpanTargets,
    fragments_of,
    log_mass_on,
    phrases_of,
    span_pairs,
)
from bi_encoder.inputs.batches import parts_of_similar_length
from bi_encoder.inputs.windows import join_windows
from bi_encoder.network.attention import LabelAttention, attended_similarities
from bi_encoder.network.encoder import token_states
from bi_encoder.network.frozen_layers import FrozenLayers
from bi_encoder.network.gather import gather_rows, largest_over_processes
from bi_encoder.network.last_read import LastRead
from bi_encoder.scoring.similarities import best_vectors, first_vectors, prefix_similarities, reranked, scores_of_codes
from mera.system.errors import UserError
from mera.training.private_api import layer_classes

Tower = Literal["query", "document"]


class TokenStates(NamedTuple):
    """The tokens of B texts as the encoder sees them, whatever windows they were read in."""

    states: Tensor
    """(B, T, D)"""
    mask: Tensor
    """(B, T) bool: tokens, not padding."""
    content: Tensor
    """(B, T) bool: tokens of the text itself, without those that the tokenizer adds around it."""


class StepScores(NamedTuple):
    """What the losses of a training step are computed from."""

    similarities: list[Tensor]
    """At each width the cosine similarities (B, C)."""
    first_pass: list[Tensor]
    """With label attention the same of the mean-pooled first pass; without it empty."""
    evidence: EvidenceScores | None
    """With label attention and spans."""


class BiEncoder(nn.Module):
    """Scores texts against codes by cosine similarity, at any prefix width.

    With label attention each code is compared with its own evidence in the text, else with the mean of its tokens.
    Batches of texts are those of `window_batch`, or plain `input_ids` and `attention_mask` where every text is one
    window.
    """

    special_ids: Tensor

    def __init__(
        self,
        encoder: Transformer,
        attention: LabelAttention | None,
        key_encoder: Transformer | None = None,
        tokens_at_once: int = 32768,
        cached_gradients: bool = False,
        rotation: Dense | None = None,
        frozen_layers: int = 0,
    ):
        """`key_encoder`: the tower of the codes; None: `encoder` reads them too. `rotation`: a linear map of the token
        states of both towers, see `append_map`. `tokens_at_once`, `cached_gradients`: see `_in_parts`."""
        super().__init__()
        self.encoder = encoder
        self.key_encoder = key_encoder
        self.frozen = {id(tower): FrozenLayers(tower, frozen_layers) for tower in self.towers} if frozen_layers else {}
        """By tower the layers that do not train; not part of the weights that are saved."""
        self.rotation = rotation
        self.pooling = Pooling(encoder.get_embedding_dimension(), "mean")
        self.attention = attention
        self.tokens_at_once = tokens_at_once
        self.cached_gradients = cached_gradients
        self.last_read: LastRead[TokenStates] | None = None
        """Where it is kept what was read, see `bi_encoder.predict.reading_once`."""
        special_ids = torch.tensor(sorted(self.tokenizer.all_special_ids))
        self.register_buffer("special_ids", special_ids, persistent=False)

    @property
    def config(self) -> PretrainedConfig:
        """The encoder's configuration; DeepSpeed reads the hidden size from it."""
        return self.encoder.config

    @property
    def _no_split_modules(self) -> list[str]:
        """Classes of the encoder's layers: accelerate reads here what FSDP is to collect and let go one by one."""
        present = {type(module).__name__ for module in self.modules()}
        named = {name for encoder in self.towers for name in layer_classes(encoder.model)}
        return sorted(named & present)

    @property
    def towers(self) -> list[Transformer]:
        """The encoder of the texts and, where the codes have their own, that one."""
        return [self.encoder] if self.key_encoder is None else [self.encoder, self.key_encoder]

    @property
    def hidden_size(self) -> int:
        return self.pooling.embedding_dimension

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = self.encoder.tokenizer
        assert tokenizer is not None, "an encoder of texts has a tokenizer"
        return tokenizer

    @property
    def device(self) -> torch.device:
        return self.special_ids.device

    def forward(
        self,
        queries: dict[str, Tensor],
        keys: dict[str, Tensor],
        widths: Sequence[int],
        num_keys: int | None = None,
        spans: SpanTargets | None = None,
    ) -> StepScores:
        """A training step: texts of this process, and its share of the step's codes, (C', T') token ids and masks.

        C are the codes of all processes, the first `num_keys` of them. `spans`: the annotated evidence of the texts.
        """
        embedded = gather_rows(self._embed_documents(keys))[:num_keys]
        tokens = self.read(queries)
        similarities = self._compare(tokens, embedded, widths)
        first_pass = self._first_pass(tokens, embedded, widths) if self.attention else []
        return StepScores(similarities, first_pass, self._evidence(tokens, embedded, spans))

    def embed(self, inputs: dict[str, Tensor], tower: Tower = "document") -> Tensor:
        """Token ids and mask of texts -> mean of the token states (B, D). `tower` says which encoder reads them."""
        if tower == "query":
            tokens = self.read(inputs)
            return self._pooled(tokens.states, tokens.mask)
        return self._embed_documents(inputs)

    def _embed_documents(self, inputs: dict[str, Tensor]) -> Tensor:
        encoder = self.encoder if self.key_encoder is None else self.key_encoder
        return self._in_parts(lambda ids, mask: self._pooled(self._encode(encoder, ids, mask), mask), inputs)

    def read(self, queries: dict[str, Tensor]) -> TokenStates:
        """The token states of texts, their windows joined."""
        return self._read(queries) if self.last_read is None else self.last_read.or_read(queries, self._read)

    def _read(self, queries: dict[str, Tensor]) -> TokenStates:
        ids, mask = queries["input_ids"], queries["attention_mask"].bool()
        states = self._in_parts(lambda ids, mask: self._encode(self.encoder, ids, mask), queries)
        windows = queries.get("windows_per_text")
        if windows is not None and len(windows) < len(ids):
            unique = queries["unique_mask"]
            states, ids, mask = (join_windows(values, unique, windows) for values in (states, ids, mask))
        return TokenStates(states, mask, mask & ~torch.isin(ids, self.special_ids))

    def similarities(
        self,
        queries: dict[str, Tensor],
        keys: Tensor,
        widths: Sequence[int],
        rerank: int | None = None,
        owner: Tensor | None = None,
        rerank_views: int = 2,
        definition_weight: float = 0.0,
    ) -> list[Tensor]:
        """Texts, embeddings of codes (C, D) -> cosine similarities (B, C) at each width.

        With `owner` (V,) int the embeddings are V vectors of C codes, which score by them as `scores_of_codes` says
        (`definition_weight`). With label attention and `rerank`, only the best `rerank` codes of the mean-pooled first
        pass at the same width are attended, and of each its best `rerank_views` vectors, and its first where it has a
        weight; the other codes follow behind them, in the order and with the distances of the first pass.
        """
        tokens = self.read(queries)
        num_codes = len(keys) if owner is None else int(owner.max()) + 1
        if self.attention is None or rerank is None or rerank >= num_codes:
            scores = self._compare(tokens, keys, widths)
            if owner is None:
                return scores
            return [scores_of_codes(of_width, owner, definition_weight) for of_width in scores]
        if owner is None:
            owner, rerank_views, definition_weight = torch.arange(len(keys), device=keys.device), 1, 0.0
        first_pass = self._first_pass(tokens, keys, widths)
        return [
            self._reranked(tokens, keys, width, first, owner, rerank, rerank_views, definition_weight)
            for width, first in zip(widths, first_pass, strict=True)
        ]

    def token_weights(self, queries: dict[str, Tensor], keys: Tensor, owner: Tensor | None = None) -> Tensor:
        """Texts, embeddings of codes (C, D) -> attention weights (B, C, T) at full width. With `owner` (V,) the
        embeddings are V vectors of C codes, and a code attends with the vector that scores highest.

        Raises UserError where the model has no label attention.
        """
        if self.attention is None:
            raise UserError("this model pools by the mean, so it has no evidence; train the variant laa_mrl for that")
        tokens = self.read(queries)
        keys = normalize(keys, dim=-1)
        evidence, weights = self.attention(normalize(tokens.states, dim=-1), tokens.content, keys)
        if owner is None:
            return weights
        scores = (normalize(evidence, dim=-1) * keys).sum(-1)
        codes = torch.arange(int(owner.max()) + 1, device=owner.device).expand(len(scores), -1)
        best = best_vectors(scores, owner, codes, 1)
        return weights.take_along_dim(best, dim=1)

    def _evidence(self, tokens: TokenStates, keys: Tensor, targets: SpanTargets | None) -> EvidenceScores | None:
        """Of the step's texts at full width; None where there is no attention or no span."""
        if self.attention is None or targets is None:
            return None
        with torch.autocast(self.device.type, enabled=False):
            states, directions = normalize(tokens.states, dim=-1), normalize(keys, dim=-1)
            pairs = span_pairs(targets, *tokens.content.shape)
            logits = self.attention.logits(states, tokens.content, directions[pairs.views])
            phrases = phrase_positive = fragments = fragment_positive = None
            if targets.score_phrases:
                marked, phrase_positive = phrases_of(tokens.states, targets)
                phrases = normalize(marked, dim=-1) @ directions.T
            if targets.fragment_tokens:
                pieces, content, fragment_positive = fragments_of(tokens.states, tokens.content, targets)
                fragments = attended_similarities(self.attention, pieces, content, keys)
            log_mass = log_mass_on(logits, pairs.is_gold)
        return EvidenceScores(log_mass, pairs.is_pair, phrases, phrase_positive, fragments, fragment_positive)

    def append_map(self, weight: Tensor) -> None:
        """Put the linear map `weight` (D, D) of token states behind the encoder, and behind the map it has already.

        The map belongs to both towers and is trained with the rest.
        """
        if self.rotation is not None:
            weight = weight @ self.rotation.linear.weight.detach().to(weight)
        self.rotation = Dense(
            self.hidden_size,
            self.hidden_size,
            bias=False,
            activation_function=None,
            init_weight=weight.to(self.device),
            module_input_name="token_embeddings",
        )

    def gradient_checkpointing_enable(self, **arguments: object) -> None:
        for encoder in self.towers:
            encoder.model.gradient_checkpointing_enable(**arguments)

    def fingerprint(self) -> str:
        """sha256 over names and values of all weights: equal models embed alike."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def _in_parts(self, encode: Callable[[Tensor, Tensor], Tensor], inputs: dict[str, Tensor]) -> Tensor:
        """`encode(ids, mask)` of all texts, those of similar length together, so that little padding is encoded.

        At most `tokens_at_once` tokens are encoded together where nothing is trained, and where gradients are cached
        (GradCache, Gao et al. 2021, arXiv 2101.06983): only the results stay in memory then, and the backward pass
        encodes one part after the other again. The loss is computed from all results together either way.
        """
        ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
        training, lengths = torch.is_grad_enabled(), mask.sum(1)
        cached = training and self.cached_gradients

        def encode_part(rows: Tensor) -> Tensor:
            longest = int(lengths[rows[0]])
            part = (ids[rows, :longest], mask[rows, :longest])
            result = checkpoint(encode, *part, use_reentrant=False) if cached else encode(*part)
            # Token states are made as long as those of the other parts.
            return pad(result, (0, 0, 0, ids.shape[1] - longest)) if result.ndim == 3 else result

        order = parts_of_similar_length(lengths, self.tokens_at_once if cached or not training else None)
        # Engines that share out the weights collect them in every call, so all processes make equally many, and agree
        # how many before the first: collectives have to come in the same order everywhere.
        calls = largest_over_processes(len(order), ids.device) if training else len(order)
        results = torch.cat([encode_part(rows) for rows in order])[torch.cat(order).argsort()]
        for _ in range(calls - len(order)):
            results = results + 0 * encode_part(order[-1][:1]).sum()
        return results

    def _encode(self, encoder: Transformer, ids: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, T, D) float32; on a GPU the encoder computes in bfloat16, in training and afterwards."""
        kind = self.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda" or torch.is_autocast_enabled(kind)):
            frozen = self.frozen.get(id(encoder))
            states = token_states(encoder, ids, mask) if frozen is None else frozen.states(ids, mask)
        if self.rotation is None:
            return states.float()
        with torch.autocast(self.device.type, enabled=False):
            linear = self.rotation.linear
            return linear(states.to(linear.weight.dtype)).float()

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        return self.pooling({"token_embeddings": states, "attention_mask": mask.long()})["sentence_embedding"]

    def _compare(self, tokens: TokenStates, keys: Tensor, widths: Sequence[int]) -> list[Tensor]:
        if self.attention is None:
            return self._first_pass(tokens, keys, widths)
        # Divided by the temperature, a cosine rounded to bfloat16 would be off by a tenth.
        with torch.autocast(self.device.type, enabled=False):
            return [self._attended(tokens, keys, width) for width in widths]

    def _attended(self, tokens: TokenStates, keys: Tensor, width: int) -> Tensor:
        assert self.attention is not None, "mean pooling has no attention"
        return attended_similarities(self.attention, tokens.states[..., :width], tokens.content, keys[..., :width])

    def _first_pass(self, tokens: TokenStates, keys: Tensor, widths: Sequence[int]) -> list[Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            return prefix_similarities(self._pooled(tokens.states, tokens.mask), keys, widths)

    def _reranked(
        self,
        tokens: TokenStates,
        keys: Tensor,
        width: int,
        first_pass: Tensor,
        owner: Tensor,
        rerank: int,
        rerank_views: int,
        definition_weight: float,
    ) -> Tensor:
        """`first_pass` (B, V)."""
        of_codes = scores_of_codes(first_pass, owner, definition_weight)
        best = of_codes.topk(rerank, dim=1).indices
        views = best_vectors(first_pass, owner, best, rerank_views)
        if definition_weight:
            views = torch.cat([first_vectors(owner)[best][..., None], views], dim=2)
        with torch.autocast(self.device.type, enabled=False):
            attended = self._attended(tokens, keys[views.flatten(1)], width).view(views.shape)
        scores = attended.amax(2)
        return reranked(of_codes, best, scores.lerp(attended[..., 0], definition_weight))
