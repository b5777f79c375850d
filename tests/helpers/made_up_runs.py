"""Prediction folders of five made-up models on one made-up task, for tests of the report.

from made_up_runs import make_runs        (pytest puts this folder on sys.path)
oracle, rank, bi_encoder, popularity, history = make_runs(tmp_path)
"""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mera.runs.predictions import Predictions, patient_hashes, read_predictions, write_predictions

NUM_EXAMPLES, NUM_CODES = 120, 60
THRESHOLD = {
    "eov_share": 0.75,
    "offset": -1.0,
    "validation_micro_f1": 0.305,
    "validation_micro_f1_eov": 0.0102,
    "validation_micro_f1_fixed": 0.2987,
}


def make_runs(folder: Path, fingerprint: str = "f" * 64, task: str = "made-up", seed: int = 0) -> list[Path]:
    """Five runs on one made-up task: an oracle, two models, two baselines; `history` sets no threshold."""
    generator = np.random.default_rng(seed)
    popularity = np.sort(generator.gamma(0.6, 1.0, NUM_CODES))[::-1]
    logits = np.log(popularity)[None, :] + generator.standard_normal((NUM_EXAMPLES, NUM_CODES)) * 1.5 - 2.5
    probabilities = 1 / (1 + np.exp(-logits))
    targets = generator.random(probabilities.shape) < probabilities
    targets[np.arange(NUM_EXAMPLES), generator.integers(0, NUM_CODES, NUM_EXAMPLES)] = True
    seen = (generator.random(targets.shape) < 0.05) | (targets & (generator.random(targets.shape) < 0.4))
    noise = generator.standard_normal((2, *targets.shape))
    scores = {
        "oracle": ("oracle", "True probabilities", logits, 0.0),
        "rank-tiny": ("rank", "MERA tiny", logits + 0.7 * noise[0], -0.5),
        "bi-encoder": ("bi_encoder", "Bi-encoder <laa & mrl>", logits + 0.8 * noise[1], -0.2),
        "popularity": ("baseline", "Popularity", np.broadcast_to(np.log(popularity), targets.shape), 0.9),
        "history": ("baseline", "Own history", seen + 0.01 * popularity[None, :], None),
    }
    codes = pl.DataFrame(
        {
            "code": [f"{100 + number}.0" for number in range(NUM_CODES)],
            "definition": [f"condition {number}" for number in range(NUM_CODES)],
            "train_count": (200 * popularity / popularity.max()).astype(np.int64),
            "chapter": [f"chapter {number % 4}" for number in range(NUM_CODES)],
        }
    )
    paths = []
    for number, (run, (kind, model, values, threshold)) in enumerate(scores.items()):
        manifest = {
            "run": run,
            "model": model,
            "kind": kind,
            "task": {
                "name": task,
                "kind": "diagnosis",
                "fingerprint": fingerprint,
                "split": "test",
                "protocol": "random",
            },
            "config": {"training": {"epochs": 3, "learning_rate": 1e-3}},
            "seed": 7,
            "command": f"rank/train.py --config configs/rank/tiny.yaml --run {run}",
            "git_commit": "0123456789abcdef+changes",
            "versions": {"python": "3.11.9"},
            "hardware": {"machine": "x86_64", "cpus": 2},
            "started_at": "2025-01-01T00:00:00+00:00",
            "seconds": 3.4 + 200.0 * number,
        }
        predictions = Predictions(
            scores=np.asarray(values, dtype=np.float32),
            targets=targets,
            seen=seen,
            thresholds=np.full(NUM_EXAMPLES, np.nan if threshold is None else threshold, dtype=np.float32),
            example_ids=[f"{task}-{row}" for row in range(NUM_EXAMPLES)],
            patient_ids=[f"patient-{row // 2}" for row in range(NUM_EXAMPLES)],
            codes=codes,
            manifest=manifest,
        )
        write_predictions(folder / run / "predictions", predictions)
        paths.append(folder / run)
    return paths


def find_run(section: dict, name: str) -> dict:
    return next(run for run in section["runs"] if run["run"] == name)


def change_run(source: Path, target: Path, **changes) -> Path:
    """A copy of a run with some fields of its predictions replaced."""
    run = read_predictions(source)
    fields = {name: getattr(run, name) for name in Predictions.__dataclass_fields__} | changes
    fields["manifest"] = run.manifest | {"run": target.name} | changes.get("manifest", {})
    write_predictions(target / "predictions", Predictions(**fields))
    return target


class TagBalance(HTMLParser):
    """Fails on tags that close in the wrong order; collects what the page refers to."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def make_rich_runs(folder: Path, **changes: Any) -> list[Path]:
    """The same runs with everything that a prediction folder may hold."""
    found = []
    numbers = np.arange(NUM_CODES)
    levels = {"all": numbers * 0, "chapter": numbers % 4, "block": numbers % 12, "category": numbers % 24}
    for path in make_runs(folder / "plain"):
        run = read_predictions(path)
        codes = run.codes.drop("chapter").with_columns(
            pl.Series(level, [f"{level}-{group}" for group in groups]) for level, groups in levels.items()
        )
        calibration = {"scores": "probabilities"} if run.name == "oracle" else {"slope": 1.1, "intercept": -0.4}
        task = run.manifest["task"] | {"source": "made-up", "counts": {"test": {"examples": NUM_EXAMPLES}}}
        rich = {
            "codes": codes,
            "previous_visits": np.arange(NUM_EXAMPLES) % 8,
            "ages": np.where(np.arange(NUM_EXAMPLES) % 10 == 9, np.nan, np.arange(NUM_EXAMPLES) % 100),
            "sexes": ["F" if row % 3 else None if row % 2 else "M" for row in range(NUM_EXAMPLES)],
            "group_names": pl.DataFrame(
                {"level": ["chapter"], "group": ["chapter-1"], "name": ["Diseases <of> the circulatory system"]}
            ),
            "trained_on": patient_hashes([["somebody else", "another"]]),
            "context": pl.DataFrame(
                {
                    "history": [[{"codes": ["100.0", "101.0"], "days_before": 40}]] * 3,
                    "text": ["Chest pain & <fever>. Stable.", "", None],
                    "evidence": [[{"code": "100.0", "start": 0, "end": 10}], [], []],
                }
            ),
            "records": {},
            "manifest": run.manifest
            | {"run": run.name, "calibration": calibration, "task": task}
            | ({"threshold": THRESHOLD} if run.name == "rank-tiny" else {}),
        }
        if run.name == "oracle":
            rich["scores"] = 1 / (1 + np.exp(-run.scores))
            rich["thresholds"] = np.full(NUM_EXAMPLES, 0.5, dtype=np.float32)
        if run.name == "rank-tiny":
            rich["records"] = {
                "training": [
                    {"epoch": 0.5, "loss": 3.5},
                    {"epoch": 1.0, "eval_recall_at_20": 0.4, "eval_runtime": 3.0},
                    {"epoch": 2.0, "loss": 2.5},
                    {"epoch": 2.0, "eval_recall_at_20": 0.3},
                ],
                "memorization": {"before": {"code_to_definition": 0.1}, "after": {"code_to_definition": 0.99}},
            }
            rich["manifest"] |= {"peak_memory": {"host_bytes": 2_500_000_000}, "energy_joules": 7.2e6}
        if run.name == "bi-encoder":
            widths = [{"width": width, "metrics": {"recall_at_20": 0.5 + width / 1000}} for width in (256, 64)]
            rich["records"] = {"widths": widths, "evidence": {"0": {"103.0": [[5, 10]]}}}
        found.append(change_run(path, folder / run.name, **rich | changes))
    return found
