"""Does label attention look where the annotators did? Against the norms of token states, and against chance.

python tests/benchmarks/bench_evidence.py --model CHECKPOINT --task TASK [--split test]

For every annotated code of every note of the split: the share of the attention inside the annotated characters, and
how often the heaviest token touches them (the pointing game). Label attention of the definition, and, of a model that
compares several vectors of a code, of the one that scores highest. Norms are what mean pooling weighs a token by: the
same for all codes of a note. `--model` may be given again, also with a mean-pooling model, which has norms only.
"""

import argparse
from collections import defaultdict

import numpy as np
import torch

from bi_encoder.checkpoint import ModelRecord
from bi_encoder.evidence.agreement import Agreement, agreement, mean_agreement
from bi_encoder.inputs.texts import QueryText, query_texts
from bi_encoder.inputs.windows import window_batch, windows_with_offsets
from bi_encoder.model import BiEncoder
from bi_encoder.predict import embed_as_recorded
from bi_encoder.scoring.similarities import CodeVectors, first_vectors
from bi_encoder.search.search_index import open_model
from data.task import Task, load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    task = load_task(options.task)
    for source in options.model:
        model, record = open_model(source)
        found, unread = compare(model, record, task, options.split)
        print(f"{source}: {task.path.name}, {options.split}; {unread} annotated pairs without a token")
        for name, pairs in found.items():
            means = mean_agreement(pairs)
            print(
                f"  {name:16} {means['pairs']:6,} pairs   mass inside {means['mass']:.3f} (chance "
                f"{means['mass_by_chance']:.3f}, {means['mass_over_chance']:.1f} x)   pointing game {means['hit']:.3f} "
                f"(chance {means['hit_by_chance']:.3f}, {means['hit_over_chance']:.1f} x)"
            )


def compare(model: BiEncoder, record: ModelRecord, task: Task, split: str) -> tuple[dict[str, list[Agreement]], int]:
    """Way of weighing tokens -> the agreement of each (note, code) with spans; and how many pairs no token touches."""
    vectors = embed_as_recorded(model, task, record)
    column = task.column
    found, unread = defaultdict(list), 0
    for row, query in zip(task.splits[split], query_texts(task, split), strict=True):
        spans = defaultdict(list)
        for span in (span for span in row["evidence"] if span["code"] in column):
            spans[span["code"]].append((span["start"], span["end"]))
        if not spans or query.note_start is None:
            continue
        columns = [column[code] for code in spans]
        offsets, weights = token_weights(model, record, query, vectors.of_codes(columns))
        for name, weights_CT in weights.items():
            for token_weight, gold in zip(weights_CT, spans.values(), strict=True):
                pair = agreement(token_weight, offsets, gold)
                if pair is not None:
                    found[name].append(pair)
                elif name == "token norms":
                    unread += 1
    return found, unread


@torch.no_grad()
def token_weights(
    model: BiEncoder, record: ModelRecord, query: QueryText, vectors: CodeVectors
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Characters of the note (T, 2) of each token, (0, 0) outside the note; way of weighing -> (C, T)."""
    windows, places = windows_with_offsets(model.tokenizer, query.text, record.max_query_tokens, record.window_overlap)
    batch = window_batch(model.tokenizer, [windows], record.window_overlap)
    offsets = np.maximum(places - query.note_start, 0)
    norms = model.read(batch).states[0].norm(dim=-1).numpy()
    weights = {"token norms": np.tile(norms, (vectors.num_codes, 1))}
    if model.attention is not None:
        keys, owner = vectors.embeddings, vectors.owner
        weights["label attention"] = model.token_weights(batch, keys[first_vectors(owner)])[0].numpy()
        if not vectors.is_one_each:
            weights["best vector's"] = model.token_weights(batch, keys, owner)[0].numpy()
    return offsets, weights


if __name__ == "__main__":
    main()
