"""What a bi-encoder loses at narrow widths, and with label attention on the best codes of the first pass alone.

python tests/benchmarks/bench_widths_and_rerank.py --task prepared/codiesp-en --runs runs/codiesp/laa_mrl

Scores are without the popularity prior. The split is validation unless `--split test` is given: choose on validation.
"""

import argparse
from pathlib import Path

import numpy as np
from torch.nn.functional import normalize

from bi_encoder.checkpoint import load_bi_encoder
from bi_encoder.config import matryoshka_widths
from bi_encoder.inputs.texts import query_texts
from bi_encoder.inputs.windows import tokenize_windows
from bi_encoder.predict import embed_codes, embed_windows, score_texts
from data.task import load_task
from mera.evaluation.metrics import mean_average_precision, recall_at_k

WIDTHS = (64, 128, 256, 768)
RERANKED = (50, 100, 200, 500, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--split", default="validation")
    arguments = parser.parse_args()
    task = load_task(arguments.task)
    targets = task.targets(arguments.split)
    texts = [query.text for query in query_texts(task, arguments.split)]
    for run in arguments.runs:
        model, record = load_bi_encoder(run / "checkpoint", codes=task.codes)
        model.eval()
        windows = tokenize_windows(model.tokenizer, texts, record.max_query_tokens, record.window_overlap)
        keys = embed_codes(model, task, record.max_key_tokens).embeddings
        widths = matryoshka_widths(WIDTHS, model.hidden_size)
        settings = {"temperature": record.temperature, "overlap": record.window_overlap}
        scores = score_texts(model, windows, keys, widths=widths, **settings)
        print(f"\n{run.name}, {arguments.split}: {len(texts)} texts, {len(task.codes)} codes")
        print("  width  recall@20  of full   MAP")
        full = recall_at_k(scores[widths[-1]], targets, 20)
        for width in widths:
            recall, precision = recall_at_k(scores[width], targets, 20), mean_average_precision(scores[width], targets)
            print(f"  {width:5}  {recall:9.3f}  {recall / full:7.1%}  {precision:.3f}")
        if model.attention is not None:
            queries = normalize(embed_windows(model, windows, record.window_overlap), dim=-1)
            first_pass = (queries @ normalize(keys, dim=-1).T).numpy()
            print_rerank(first_pass, scores[widths[-1]], targets)


def print_rerank(first_pass: np.ndarray, attended: np.ndarray, targets: np.ndarray) -> None:
    """first_pass and attended scores, targets (N, C); the rerank is `BiEncoder.similarities`', from scores at hand."""
    print("  label attention on   recall of first pass   recall@20   MAP")
    for count in (0, *RERANKED, targets.shape[1]):
        order = np.argsort(-first_pass, axis=1, kind="stable")
        scores = np.empty_like(first_pass)
        np.put_along_axis(scores, order, -np.broadcast_to(np.arange(len(order[0])), order.shape).astype(np.float32), 1)
        best = order[:, :count]
        np.put_along_axis(scores, best, 1e3 + np.take_along_axis(attended, best, 1), 1)
        reached = np.mean([row[kept].sum() / row.sum() for row, kept in zip(targets, best, strict=True)])
        name = "all codes" if count == targets.shape[1] else f"the best {count}" if count else "none"
        print(
            f"  {name:19}  {reached:20.3f}  {recall_at_k(scores, targets, 20):10.3f}  "
            f"{mean_average_precision(scores, targets):.3f}"
        )


if __name__ == "__main__":
    main()
