"""Stage one: how soon the codes are known by initialisation of their tokens, and how fast training is.

python tests/benchmarks/bench_memorize.py init --output bench/init [--num-codes 200]
python tests/benchmarks/bench_memorize.py throughput [--config configs/memorize/smollm2.yaml] [--steps 40]

`init` trains the recipe twice, with rows that start from the definition and with transformers' default, and writes
curve.csv and curve.svg. `throughput` trains our recipe and a plain `SFTTrainer` with its defaults on the same questions
and the same model, in turns, and prints how many tokens that carry loss each trains on in a second: of wall-clock time
and, without a GPU, of processor time (which other work on the machine disturbs less). Further options are keys of the
recipe: --model.max_length 512.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mera.root import ROOT

KNOWN = 0.99
WARM_UP_STEPS = 5
NAMES = {"definition": "mean of the definition's tokens", "library": "transformers' default (sampled)"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", choices=["init", "throughput"])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "memorize" / "tiny.yaml")
    parser.add_argument("--output", type=Path, help="folder for the figure and the runs of init")
    parser.add_argument("--num-codes", type=int, default=200, help="leaf codes of ICD-9-CM (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=40, help="timed steps of our recipe a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="times each trainer is timed (default: %(default)s)")
    options, more = parser.parse_known_args()
    if options.what == "throughput":
        compare_throughput(options, more)
    elif options.output is None:
        parser.error("init needs --output")
    else:
        compare_initialisations(options, more)


def compare_initialisations(options: argparse.Namespace, more: list[str]) -> None:
    """Two runs of memorize/train.py that differ in one key; their curves as CSV and SVG."""
    rows, known_at = [], {}
    for name in NAMES:
        run = options.output / name
        if not run.exists():
            command = [
                *(sys.executable, "-m", "accelerate.commands.launch"),
                *("--config_file", str(ROOT / "launch" / "accelerate" / "cpu.yaml")),
                *(str(ROOT / "memorize" / "train.py"), "--config", str(options.config), "--ontology", "icd9cm"),
                *("--num_codes", str(options.num_codes), "--initialisation", name, "--stop_at", str(KNOWN)),
                *("--evaluate_every", "1", "--measure_pretrained", "false", "--output", str(run), *more),
            ]
            subprocess.run(command, check=True, cwd=ROOT)
        with (run / "curve.csv").open(encoding="utf-8") as file:
            points = list(csv.DictReader(file))
        rows += [{"initialisation": name, **point} for point in points]
        reached = [int(point["step"]) for point in points if _both(point) >= KNOWN]
        known_at[name] = reached[0] if reached else None
    with (options.output / "curve.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    _draw(rows, options.output / "curve.svg", options.num_codes)
    print(json.dumps({"steps_to_99%_both_ways": known_at, "codes": options.num_codes, "config": options.config.name}))


def compare_throughput(options: argparse.Namespace, more: list[str]) -> None:
    """Turns of our trainer and of SFTTrainer as it comes; also SFTTrainer with float32 and without checkpointing, which
    shows how much of the difference is its defaults for GPUs."""
    import torch

    from memorize.config import MemorizeConfig
    from memorize.encoding import QuestionEncoder
    from memorize.questions import QuestionBook, tokenizer_texts
    from memorize.start import give_tokens, load_codes, training_examples
    from memorize.trainer import build_trainer
    from mera.config import load_config
    from mera.language_models.models import load_base_model
    from mera.runs.run_directory import RunDirectory

    overrides = {key.removeprefix("--"): json.loads(value) for key, value in zip(more[::2], more[1::2], strict=True)}
    overrides |= {"ontology": "icd9cm", "num_codes": options.num_codes}
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(MemorizeConfig, options.config, overrides | {"output": f"{folder}/run"})
        code_set, _ = load_codes(config)
        model, tokenizer = load_base_model(config.model, tokenizer_texts(code_set))
        give_tokens(model, tokenizer, code_set, config)
        book, encoder = QuestionBook(code_set, config.questions), QuestionEncoder(tokenizer, config.questions)
        ours_at = config.training.batch_size
        makers: dict[str, tuple[Callable[[], Any], int]] = {
            "ours": (
                lambda: build_trainer(
                    model,
                    tokenizer,
                    training_examples(book, encoder, model, config),
                    book,
                    encoder,
                    config,
                    RunDirectory(config.output),
                ),
                options.steps,
            ),
            "SFTTrainer, its defaults": (
                lambda: _plain(model, tokenizer, book, folder),
                max(1, options.steps * ours_at // 8),
            ),
            "SFTTrainer, float32, no checkpointing": (
                lambda: _plain(model, tokenizer, book, folder, bf16=False, gradient_checkpointing=False),
                max(1, options.steps * ours_at // 8),
            ),
        }
        speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
        for _ in range(options.turns):
            for name, (make, steps) in makers.items():
                speeds[name].append(_loss_tokens_per_second(make(), steps))
                print(f"{name}: {speeds[name][-1][0]:.0f} tokens with loss a second", flush=True)
    for index, clock in enumerate(("wall-clock", "processor")[: 1 if torch.cuda.is_available() else 2]):
        medians = {name: sorted(speed[index] for speed in found)[len(found) // 2] for name, found in speeds.items()}
        ratios = {name: round(medians["ours"] / speed, 2) for name, speed in medians.items()}
        figures = {"loss_tokens_per_second": {name: round(speed) for name, speed in medians.items()}}
        print(json.dumps({"clock": clock, **figures, "ours_is_faster_by": ratios, "config": options.config.name}))


def _plain(model: Any, tokenizer: Any, book: Any, folder: str, **settings: Any) -> Any:
    """SFTTrainer as its documentation has it: prompt and completion as text, no option but where to write."""
    import datasets
    import torch
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": question.prompt, "completion": question.completion} for question in book.training()]
    where = {"output_dir": f"{folder}/plain", "report_to": "none", "save_strategy": "no"}
    arguments = SFTConfig(**where, use_cpu=not torch.cuda.is_available(), **settings)
    return SFTTrainer(
        model=model, args=arguments, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer
    )


def _loss_tokens_per_second(trainer: Any, steps: int) -> tuple[float, float]:
    """Trained tokens that carry loss in a second of wall-clock and of processor time, after WARM_UP_STEPS."""
    from transformers import TrainerCallback

    tokens, marks = [], []
    collate = trainer.data_collator

    def counting(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = collate(examples)
        tokens.append(int((batch["labels"][:, 1:] != -100).sum()))
        return batch

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            marks.append((time.perf_counter(), time.process_time()))

    trainer.data_collator = counting
    trainer.add_callback(Clock())
    trainer.args.max_steps = WARM_UP_STEPS + steps
    trainer.args.save_strategy = "no"
    trainer.train()
    # The loader is a batch ahead of the step, so the count is that of the steps that were timed.
    timed = tokens[WARM_UP_STEPS : WARM_UP_STEPS + steps]
    first, last = marks[WARM_UP_STEPS - 1], marks[WARM_UP_STEPS + steps - 1]
    return sum(timed) / (last[0] - first[0]), sum(timed) / (last[1] - first[1])


def _draw(rows: list[dict[str, Any]], path: Path, num_codes: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 4), layout="constrained")
    for name, color in zip(NAMES, ("#1f5fa8", "#c4622d"), strict=True):
        points = [row for row in rows if row["initialisation"] == name]
        steps, shares = [int(row["step"]) for row in points], [100 * _both(row) for row in points]
        axes.plot(steps, shares, color=color, lw=2, label=NAMES[name])
    axes.legend(loc="upper left", frameon=False)
    axes.axhline(100 * KNOWN, color="#888888", lw=0.8, ls=":")
    axes.set(xlabel="optimiser steps", ylabel="exact match, the worse of both ways (%)", ylim=(0, 102))
    axes.set_title(f"{num_codes} ICD-9-CM codes: where new code tokens start from", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def _both(point: dict[str, str]) -> float:
    return min(float(point["code_to_definition"]), float(point["definition_to_code"]))


if __name__ == "__main__":
    main()
