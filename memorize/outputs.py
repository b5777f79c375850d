"""What a run of stage one leaves beside its weights: recall.json, curve.csv, manifest.json and the model card."""

import csv
import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from memorize.code_sets.code_set import CodeSet
from memorize.config import MemorizeConfig
from memorize.measurement import RecallRecord, TrainingFigures, save_memorized
from memorize.model_card import model_card
from memorize.trainer import CURVE_COLUMNS, CurvePoint, MemorizeTrainer, curve, unwrapped
from mera.config import config_dict
from mera.language_models.code_tokens import CodeTokens
from mera.runs.figures import print_next
from mera.runs.finished_runs import RECALL
from mera.runs.manifest import RunClock, build_manifest
from mera.runs.run_directory import RunDirectory, write_json
from mera.training.checkpoint import save_checkpoint
from mera.training.engine import whole_parameters


def write_outputs(
    run: RunDirectory,
    config: MemorizeConfig,
    code_set: CodeSet,
    source: dict[str, Any],
    recall: RecallRecord,
    trainer: MemorizeTrainer,
    clock: RunClock,
) -> None:
    """Write them into `run`, whose `checkpoint/` is there; `source` is the manifest's record of the codes."""
    rows = curve(trainer.state)
    with run.path("curve.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, CURVE_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    recall |= {"training": training_figures(trainer, rows)}
    write_json(run.path(RECALL), recall)
    checkpoint = run.path("checkpoint")
    save_memorized(checkpoint, code_set, config.questions)
    card = model_card(config, code_set, recall, encoder_decoder=_is_encoder_decoder(checkpoint))
    (checkpoint / "README.md").write_text(card, encoding="utf-8")
    manifest = build_manifest(
        run=run.final.name,
        model="stage one",
        kind="memorize",
        config=config_dict(config),
        seed=config.training.seed,
        task=source,
        clock=clock,
        tokens=trainer.tokens_trained_on(),
    )
    write_json(run.path("manifest.json"), manifest)


def training_figures(trainer: MemorizeTrainer, rows: list[CurvePoint]) -> TrainingFigures:
    """Steps, epochs, seconds of training without the measurements, and how many tokens carried loss in a second."""
    in_epoch = trainer.loss_tokens()
    state, seconds = trainer.state, rows[-1]["train_seconds"] if rows else None
    return {
        "steps": state.global_step,
        "epochs": state.epoch,
        "seconds": seconds,
        "loss_tokens_per_epoch": in_epoch,
        "loss_tokens_per_second": round(in_epoch * state.epoch / seconds, 1) if seconds else None,
    }


def save_model(
    trainer: MemorizeTrainer,
    tokenizer: PreTrainedTokenizerBase,
    code_tokens: CodeTokens | None,
    config: MemorizeConfig,
    run: RunDirectory,
) -> None:
    """Write the checkpoint and, where it is asked for, the adapter before that is merged; every process must call
    this."""
    if config.save_adapter:
        _save_adapter(trainer, run.path("adapter"))
    save_checkpoint(trainer, tokenizer, code_tokens, run.path("checkpoint"))


def _save_adapter(trainer: MemorizeTrainer, path: Path) -> None:
    """Write the LoRA adapter with the embeddings that were trained whole, before it is merged; every process must call
    this. To load it, resize the base model's embeddings to the checkpoint's vocabulary first."""
    model = unwrapped(trainer)
    with whole_parameters(model):
        if trainer.is_world_process_zero():
            model.save_pretrained(str(path))


def print_end(checkpoint: Path, task: str | None) -> None:
    """Where it is, and the command of stage two, of the `task` whose codes were learnt."""
    if task is not None:
        ranking = checkpoint.parent.with_name("stage-two")
        print_next(["mera", "rank", "--model.base", str(checkpoint), "--task", task, "--output", str(ranking)])
    print(f"checkpoint: {checkpoint}")


def _is_encoder_decoder(checkpoint: Path) -> bool:
    """Whether the saved model is a T5 or its like."""
    return bool(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("is_encoder_decoder"))
