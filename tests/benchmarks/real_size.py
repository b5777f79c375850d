"""The recipes for large models rehearsed at their true size on this machine's CPU, through the real commands.

python tests/benchmarks/real_size.py --folder /data/real-size               2 cores, 24 GiB of memory, 50 GB of disk
python tests/benchmarks/real_size.py --folder /tmp/real --size tiny         every part of it in two minutes

A Mistral of BioMistral-7B's exact shape (7.24 billion weights, bf16, random) goes through stage one with the recipe's
LoRA (two optimiser steps, SIGTERM, resumed from its checkpoint, one more step), its merged checkpoint is opened by
plain transformers, stage two trains two steps on top and `mera predict` ranks a patient. The three bi-encoders take
ModernBERT-base's shape (150 million) with notes of 8,192 tokens, train two steps and rank a note; `laa_mrl` once more,
with three, SIGTERM after the second. For every command: seconds, the most memory that its processes held at once
without and with the files that they map (weights), and what `mera doctor` had said. Steps that are done are not taken
again.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from gpu_7b import SHAPES, block_weights
from measured_commands import Rehearsal, mera
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from data.task import load_task
from memorize.forgetting import BUILT_IN_TEXT, HOLD_OUT_EVERY
from mera.language_models.tokenizer import train_tokenizer
from mera.root import ROOT

GIB = 2**30
SHARD_BYTES = 2 * GIB
FEW_CODES = ("E11.9", "I10", "N17.9")
"""Of 7 billion weights a question takes minutes of a core."""
NOTE_CODES = (*FEW_CODES, "I50.9", "J18.9", "N18.3", "F32.9", "K21.9")
VISITS_OF_EACH, PATIENTS = 2, 9
NOTES = 4
THIRDS = ("--fractions", "0.34", "0.33", "0.33")
TWO_TO_TRAIN = ("--fractions", "0.5", "0.25", "0.25")
"""Of NOTES: a note of 8,192 tokens takes two cores minutes."""
NOTE_WORDS = {"7b": 8_170, "tiny": 240}
"""A token each, a little less than a window of the recipe, or of the tiny one, holds."""
WORDS = "patient admitted with dyspnoea oedema fever cough and pain treated discharged well"
ENCODER = {
    "7b": {},
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
    },
}
PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto")
tokens = AutoTokenizer.from_pretrained(sys.argv[1])("heart failure", return_tensors="pt")
with torch.no_grad():
    logits = model(input_ids=tokens["input_ids"]).logits
assert torch.isfinite(logits).all()
print(f"{sum(weight.numel() for weight in model.parameters()) / 1e9:.3f} billion weights, {tuple(logits.shape)} logits")
"""


def write_visits(file: Path, note_words: int | None = None) -> None:
    """A table of invented patients whose visits hold two of the codes; with notes of `note_words` of WORDS."""
    rows = []
    patients, visits, codes = (PATIENTS, VISITS_OF_EACH, FEW_CODES) if note_words is None else (NOTES, 1, NOTE_CODES)
    words = WORDS.split()
    for patient in range(patients):
        for visit in range(visits):
            first = (patient + visit) % len(codes)
            row = {
                "patient": f"p{patient}",
                "time": f"2020-0{visit + 1}-01",
                "code": f"{codes[first]};{codes[(first + len(codes) // 2) % len(codes)]}",
            }
            if note_words is not None:
                row["note"] = f"note {patient} {visit} " + " ".join(
                    words[(patient + 7 * visit + place * (patient + 2)) % len(words)] for place in range(note_words)
                )
            rows.append(row)
    pl.DataFrame(rows).write_csv(file)


def prepare(folder: Path, name: str, options: Sequence[str]) -> Path:
    """The prepared task of the table `folder/name.csv`."""
    task = folder / name
    if not task.is_dir():
        columns = ("--patient", "patient", "--time", "time", "--code", "code", "--code-separator", ";")
        given = ("--input", folder / f"{name}.csv", *columns, "--code-system", "icd10", "--output", task, *options)
        subprocess.run([*mera("prepare", "table"), *map(str, given)], cwd=ROOT, check=True)
    return task


def write_base(folder: Path, task: Path, size: str) -> None:
    """Random weights in bf16, a shard at a time, with configuration and tokenizer: never the whole model in memory."""
    if (folder / "model.safetensors.index.json").is_file():
        return
    shape = SHAPES[size]
    words = BUILT_IN_TEXT.read_text(encoding="utf-8").split("\n\n")  # else it would spell what it has not read
    tokenizer = train_tokenizer([*load_task(task).definitions, *words], 2000, 32_768)
    tokenizer.add_tokens([f"<filler {number}>" for number in range(shape["vocab_size"] - len(tokenizer))])
    tokenizer.save_pretrained(folder)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model("mistral", **shape, **special, dtype="bfloat16")
    config.architectures = ["MistralForCausalLM"]
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).state_dict()
    torch.manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    where: dict[str, str] = {}

    def write() -> None:
        name = f"model-{len(set(where.values())) + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(shard, name))
        shard.clear()

    for name, empty in shapes.items():
        weight = torch.ones(empty.shape) if empty.ndim == 1 else torch.randn(empty.shape) * 0.02
        shard[name] = weight.bfloat16()
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            write()
    write()
    total = sum(empty.nbytes for empty in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_encoder(folder: Path, task: Path, size: str) -> None:
    """ModernBERT-base's shape with random weights, and a tokenizer."""
    if (folder / "model.safetensors").is_file():
        return
    texts = [*load_task(task).definitions, f" {WORDS}"]  # else it would spell the words of the notes
    tokenizer = train_tokenizer(texts, 2000, 8192, encoder=True)
    tokenizer.save_pretrained(folder)
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "cls_token_id", "sep_token_id")}
    AutoModel.from_config(AutoConfig.for_model("modernbert", **ENCODER[size], **special)).save_pretrained(folder)


def language_model(rehearsal: Rehearsal, size: str, quantization: str, with_stage_one: bool) -> None:
    """Both stages of the recipe `biomistral`, or of `biomistral_4bit`; or stage two alone, on the base model."""
    folder = rehearsal.folder
    write_visits(folder / "visits.csv")
    task = prepare(folder, "visits", ("--candidates", "all", *THIRDS))
    base = folder / "base"
    write_base(base, task, size)
    print(f"{block_weights(base) / 1e9:.2f} billion weights in the blocks", file=sys.stderr)
    recipe = "biomistral" if quantization == "none" else "biomistral_4bit"
    bits = "bf16" if quantization == "none" else "4 bit"
    runs = folder / recipe
    if with_stage_one:
        stage_one(rehearsal, task, recipe, bits)
        stage_two(rehearsal, task, recipe, bits, runs / "memorize" / "checkpoint", runs / "rank")
        shutil.rmtree(runs / "memorize" / "trainer", ignore_errors=True)
    else:
        stage_two(rehearsal, task, recipe, f"{bits}, without stage one", base, runs / "rank-alone")


def stage_one(rehearsal: Rehearsal, task: Path, recipe: str, bits: str) -> None:
    folder = rehearsal.folder
    base, runs = folder / "base", folder / recipe
    small = ("--training.batch_size", "2", "--training.epochs", "1", "--training.warmup", "0")
    questions = ("--questions.phrasings", "1", "--questions.levels", "[]", "--questions.mixture.synonym_to_code", "0")
    even = ("--questions.mixture.code_to_definition", "1", "--questions.mixture.definition_to_code", "1")
    text = folder / "text.txt"  # the built-in text takes a core an hour, before training and after it
    text.write_text("\n\n".join(["The patient was discharged in good health."] * HOLD_OUT_EVERY), encoding="utf-8")
    no_text = ("--questions.mixture.term_to_code", "0", "--replay", "0.01", "--replay_text", text)
    no_text = (*no_text, "--measure_pretrained", "false")
    one = ("--config", f"configs/memorize/{recipe}.yaml", "--task", task, "--model.base", base)
    one = (*one, *small, *questions, *even, *no_text)
    train = (*mera_launch("memorize"), *one, "--output", runs / "memorize")
    rehearsal.take(
        f"stage one, {bits}, two steps, then SIGTERM",
        train,
        ("--stage", "memorize", *one),
        interrupt_at="step 1 of 3",
        codes=(-signal.SIGTERM,),
        say="saving after step 2",
    )
    rehearsal.take(f"stage one, {bits}, resumed, the third step, merged", train, say="^checkpoint: ")
    checkpoint = runs / "memorize" / "checkpoint"
    rehearsal.take(
        f"the checkpoint of {bits} in plain transformers", [sys.executable, "-c", PLAIN, checkpoint], say="billion"
    )


def stage_two(rehearsal: Rehearsal, task: Path, recipe: str, bits: str, base: Path, output: Path) -> None:
    two = ("--config", f"configs/rank/{recipe}.yaml", "--task", task, "--model.base", base)
    two = (*two, "--training.epochs", "0.6", "--training.batch_size", "1", "--training.gradient_accumulation", "1")
    rehearsal.take(
        f"stage two, {bits}, two steps",
        (*mera_launch("rank"), *two, "--output", output),
        ("--stage", "rank", *two),
        say="steps? of|step \\d+ of",
    )
    history = ("--history", "E11.9,I10;N17.9", "--days", "60;20", "--top", "3")
    rehearsal.take(f"mera predict, {bits}, one patient", [*mera("predict"), output, *history], say="[A-Z]\\d\\d")


def bi_encoders(rehearsal: Rehearsal, size: str) -> None:
    """The three variants with notes of the recipe's 8,192 tokens, one note at a time."""
    folder = rehearsal.folder
    write_visits(folder / "notes.csv", NOTE_WORDS[size])
    task = prepare(folder, "notes", ("--kind", "coding", "--text", "note", "--candidates", "all", *TWO_TO_TRAIN))
    encoder, note = folder / "encoder", folder / "note.txt"
    write_encoder(encoder, task, size)
    note.write_text(pl.read_csv(folder / "notes.csv")["note"][-1], encoding="utf-8")
    length = "8,192" if size == "7b" else "at most 256"
    for variant in ("laa_mrl", "mean_mrl", "retrieval"):
        words = ("--config", "configs/bi_encoder/bioclinical_modernbert.yaml", "--task", task, "--variant", variant)
        words = (*words, "--encoder.pretrained", encoder, "--training.epochs", "1", "--training.batch_size", "1")
        words = (*words, "--encoder.tokens_at_once", "8192", "--selection.batch_size", "1")
        if size == "tiny":
            words = (*words, "--encoder.max_query_tokens", "256", "--encoder.window_overlap", "32")
            words = (*words, "--objective.widths", "[16, 64]")
        train, output = (*mera_launch("bi_encoder"), *words, "--output"), folder / "bi_encoder" / variant
        name = f"bi-encoder {variant}, notes of {length} tokens"
        rehearsal.take(name, (*train, output), ("--stage", "bi_encoder", *words))
        rehearsal.take(
            f"mera predict, {variant}, one note", [*mera("predict"), output, "--file", note], say="[A-Z]\\d\\d"
        )
        if variant == "laa_mrl":
            three = (*train, output.with_name("laa_mrl-stopped"), "--training.epochs", "1.5")
            rehearsal.take(
                f"{name}, two steps, then SIGTERM",
                three,
                interrupt_at="step 1 of 3",
                codes=(-signal.SIGTERM,),
                say="saving after step 2",
            )
            rehearsal.take(f"{name}, resumed, the third step", three, say="^checkpoint and")


def mera_launch(stage: str) -> tuple[str, ...]:
    launch = (sys.executable, "-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml")
    return (*launch, f"{stage}/train.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for weights and runs; what is done stays done")
    parser.add_argument("--size", choices=SHAPES, default="7b")
    parser.add_argument(
        "--parts", nargs="+", choices=("bf16", "nf4", "bi_encoders"), default=("bf16", "nf4", "bi_encoders")
    )
    parser.add_argument("--without-stage-one", action="store_true", help="of bf16 and nf4: stage two on the base model")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    rehearsal = Rehearsal(arguments.folder)
    print("| command | seconds | peak, GiB | with mapped files | doctor, GiB | says |\n|---|---|---|---|---|---|")
    for part in arguments.parts:
        if part == "bi_encoders":
            bi_encoders(rehearsal, arguments.size)
        else:
            quantization = "none" if part == "bf16" else part
            language_model(rehearsal, arguments.size, quantization, not arguments.without_stage_one)


if __name__ == "__main__":
    main()
