"""What a run starts from: the model of its configuration, and the training examples."""

import copy
from collections.abc import Sequence
from typing import Any

import datasets
import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import PreTrainedTokenizerBase

from bi_encoder.config import BiEncoderConfig, EncoderConfig
from bi_encoder.evidence.annotated import SpanCounts, annotated_spans, token_spans
from bi_encoder.evidence.translation import TransferCounts, with_evidence_of
from bi_encoder.index.principal_directions import principal_directions, unit_rows
from bi_encoder.inputs.code_names import all_names
from bi_encoder.inputs.texts import key_texts, query_texts, tokenizer_texts
from bi_encoder.inputs.windows import num_tokens_read, token_offsets, tokenize_windows
from bi_encoder.model import BiEncoder
from bi_encoder.network.attention import LabelAttention
from bi_encoder.network.encoder import add_lora, load_encoder
from bi_encoder.predict import embed_texts
from data.task import Task, load_task
from mera.runs.other_splits.trained_on import refuse_trained_on_test


def model_for_task(config: BiEncoderConfig, task: Task) -> BiEncoder:
    """The encoder of `config` with the variant's head, its space turned where `encoder.rotation` says so.

    Raises UserError or OSError where the pretrained encoder cannot be opened (see `load_encoder`), and UserError where
    it has been trained on patients of the task's test split.
    """
    refuse_trained_on_test("encoder.pretrained", config.encoder.pretrained, task.splits["test"]["patient_id"])
    encoder, objective = load_encoder(config.encoder, tokenizer_texts(task)), config.objective
    model = build_bi_encoder(
        encoder, config.variant, objective.attention_temperature, config.encoder, objective.cached_gradients
    )
    if config.encoder.rotation == "principal":
        turn_to_principal_directions(model, key_texts(task), config.encoder.max_key_tokens)
    return model


def build_bi_encoder(
    encoder: Transformer,
    variant: str,
    attention_temperature: float,
    settings: EncoderConfig | None = None,
    cached_gradients: bool = False,
) -> BiEncoder:
    """The variant's model around `encoder`: only `laa_mrl` has label attention. `settings`: towers, LoRA, parts."""
    attention = LabelAttention(attention_temperature) if variant == "laa_mrl" else None
    if settings is None:
        return BiEncoder(encoder, attention)
    if settings.lora.rank:
        add_lora(encoder, settings.lora)
    key_encoder = copy.deepcopy(encoder) if settings.towers == "separate" else None
    return BiEncoder(
        encoder,
        attention,
        key_encoder,
        settings.tokens_at_once,
        cached_gradients,
        frozen_layers=settings.frozen_layers,
    )


def turn_to_principal_directions(model: BiEncoder, texts: Sequence[str], max_tokens: int) -> None:
    """Rotate the space of `model` (D wide) so that the directions in which `texts` differ most come first.

    An encoder that was not trained with Matryoshka (Kusupati et al. 2022, arXiv 2205.13147) spreads what it knows over
    all of its numbers, and a few hundred training texts do not gather it in the first 64. The rotation is a linear map
    (D, D) of the token states, and so of their means, orthogonal at the start and trained with the rest: its rows are
    the principal directions of the embeddings of `texts`, cut at `max_tokens`, in descending order of their second
    moments. It changes no scalar product at full width.
    """
    embeddings = unit_rows(embed_texts(model, texts, max_tokens).cpu().numpy())
    model.append_map(torch.from_numpy(principal_directions(embeddings, model.hidden_size).T.copy()))


def with_carried_evidence(task: Task, config: BiEncoderConfig) -> tuple[Task, list[str]]:
    """`task` with the evidence that `evidence.translation` brings to its notes, and what to say of that; as it is where
    none is named."""
    if not config.evidence.translation:
        return task, []
    counts = TransferCounts()
    carried = with_evidence_of(task, load_task(config.evidence.translation), all_names(task), counts)
    return carried, [counts.sentence()]


def examples_to_learn(
    task: Task, tokenizer: PreTrainedTokenizerBase, config: BiEncoderConfig
) -> tuple[datasets.Dataset, list[str]]:
    """The training examples, with their annotated evidence where the configuration learns from it, and what to say of
    codes that are no candidates and of spans that are left out."""
    counts = SpanCounts() if config.evidence.is_on else None
    examples = training_examples(task, tokenizer, config.encoder, span_counts=counts)
    sentences = [task.outside_sentence("train"), None if counts is None else counts.sentence()]
    return examples, [sentence for sentence in sentences if sentence]


def training_examples(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    encoder: EncoderConfig,
    split: str = "train",
    span_counts: SpanCounts | None = None,
) -> datasets.Dataset:
    """The split's examples, in order: a row of the dataset is a `TrainingExample` (see steps.py).

    `span_counts`: given, the examples have their annotated evidence, and what becomes of the spans is counted there.
    Raises UserError, naming the row, where a note is blank.
    """
    queries = query_texts(task, split)
    texts = [query.text for query in queries]
    windows = tokenize_windows(
        tokenizer, texts, encoder.max_query_tokens, encoder.window_overlap, encoder.training_windows
    )
    columns: dict[str, list[Any]] = {
        "row": list(range(len(texts))),
        "windows": windows,
        "length": [sum(map(len, row)) for row in windows],
        "targets": [sorted(set(columns)) for columns in task.target_columns(split)],
    }
    if span_counts is not None:
        spans = annotated_spans(task, split, queries, span_counts)
        if any(spans):
            read = [num_tokens_read(tokenizer, row, encoder.window_overlap) for row in windows]
            offsets = token_offsets(tokenizer, texts)
            columns["spans"] = [
                token_spans(of_row, places, num_read, span_counts)
                for of_row, places, num_read in zip(spans, offsets, read, strict=True)
            ]
    return datasets.Dataset.from_dict(columns)
