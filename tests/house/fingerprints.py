"""Fingerprints of what the toolkit makes, to compare two commits: prepared tasks, tiny runs of each stage, a report.

python tests/house/fingerprints.py                                  of this checkout; prints `name  fingerprint`
python tests/house/fingerprints.py --checkout ../before --parts tasks runs > before.txt

Each step is a command as a user types it, run in the checkout named, so the script works on any commit that has these
commands. Equal lists mean: equal bit for bit, but for times, energy, paths and versions. `tasks` needs the shared data
(../shared/data) and takes five minutes, `runs` six, on two cores.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
"""Not `mera.root.ROOT`: the script works with a Python that has none of the toolkit, and on any commit."""
DATA = ROOT.parent / "shared" / "data"
ALL = ("--candidates", "all")
TASKS = {
    "mimic3": ("mimic3", "--input", "mimic3demo"),
    "mimic4-to-icd10": ("mimic4", "--input", "mimic4demo/hosp", "--code-system", "to-icd10"),
    "mimic4-to-icd9": ("mimic4", "--input", "mimic4demo/hosp", "--code-system", "to-icd9"),
    "mimic4-icd10-kfold": ("mimic4", "--input", "mimic4demo/hosp", "--code-system", "icd10", "--protocol", "kfold"),
    "eicu": ("eicu", "--input", "eicudemo"),
    "eicu-unit": ("eicu", "--input", "eicudemo", "--code-system", "icd10", "--visit", "unit"),
    "codiesp-en": ("codiesp", "--input", "codiesp", "--language", "en"),
    "codiesp-es": ("codiesp", "--input", "codiesp", "--language", "es"),
    "diabetes130": (
        *("diabetes130", "--input", "diabetes130/diabetic_data.csv.gz"),
        *("--every-visit", "--first-visits", *ALL),
    ),
    "desynpuf": ("desynpuf", "--input", "desynpuf", "--min-visits", "3"),
    "synthetic": ("synthetic", "--patients", "300"),
}
COLUMNS = ["example_id", "patient_id", "age", "sex", "history", "text", "targets"]
SMALL = (
    "{model_type: mistral, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, "
    "num_key_value_heads: 1}"
)
ENCODER = (
    "{model_type: modernbert, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
    "local_attention: 16}"
)
WIDTHS = ("--objective.widths", "[8, 16, 32]")
FEW = ("--training.epochs", "1", "--training.min_steps", "0")
AS_BEFORE = {
    True: (
        *("--wide", "recurrence", "--training.min_epoch_steps", "0", "--training.evaluate_every", "0"),
        *("--training.patience", "0"),
    ),
    False: (),
}
"""Whether stage two has a wide part -> what gives the stage two of every commit: the bonus of codes seen before, one
look at validation an epoch."""
BARE = {True: ("--wide", "none"), False: ("--recurrence", "false")}
"""Whether stage two has a wide part -> what leaves the language model alone."""
TIMED = ("cost.csv", "widths.csv")
"""Tables of a report with measured seconds, which report.json has too."""
VOLATILE = re.compile(r"second|runtime|bytes|joule|watt|peak_memory|git_commit|versions|hardware|started_at|^cost$")
"""Keys of manifests and reports that differ from run to run."""


def run(checkout: Path, *command: object) -> None:
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "MERA_TRACEBACK": "1"}
    environment["SOURCE_DATE_EPOCH"] = "0"
    done = subprocess.run(
        list(map(str, command)), cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-1000:]}{done.stderr[-3000:]}")


def launch(checkout: Path, script: str, recipe: str, *arguments: object) -> None:
    start = (sys.executable, "-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml")
    run(checkout, *start, script, "--config", f"configs/{recipe}.yaml", *arguments)


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def steady(value: object, folder: str) -> object:
    """Without what differs from run to run, and where the run lay."""
    if isinstance(value, dict):
        return {key: steady(part, folder) for key, part in sorted(value.items()) if not VOLATILE.search(key)}
    if isinstance(value, list):
        return [steady(part, folder) for part in value]
    return value.replace(folder, "FOLDER") if isinstance(value, str) else value


def of_json(path: Path, folder: Path) -> str:
    content = steady(json.loads(path.read_text(encoding="utf-8")), str(folder))
    return digest(json.dumps(content).encode())


def of_arrays(folder: Path) -> str:
    """Every array below a folder, by name, shape, type and bytes."""
    parts = []
    for path in sorted(folder.rglob("*.np[yz]")):
        loaded = np.load(path, allow_pickle=False)
        arrays = {name: loaded[name] for name in loaded.files} if path.suffix == ".npz" else {"": loaded}
        parts += [
            f"{path.name}{name}{array.shape}{array.dtype}".encode() + array.tobytes() for name, array in arrays.items()
        ]
    return digest(*parts)


def of_weights(folder: Path) -> str:
    parts = []
    for path in sorted(folder.rglob("*.safetensors")):
        for name, array in sorted(load_file(path).items()):
            parts.append(f"{path.relative_to(folder)}{name}{array.shape}".encode() + array.tobytes())
    return digest(*parts)


def of_rows(task: Path) -> str:
    """Every row of every split, and the candidates, whatever else a commit keeps in a task's folder."""
    parts = []
    for path in sorted(task.glob("*/data-*.arrow")):
        with path.open("rb") as file:
            rows = pyarrow.ipc.open_stream(file).read_all().select(COLUMNS).to_pylist()
        parts.append(f"{path.relative_to(task)}{json.dumps(rows)}".encode())
    codes = pyarrow.parquet.read_table(task / "codes.parquet").to_pylist()
    return digest(*parts, json.dumps(codes).encode())


def tasks(checkout: Path, folder: Path) -> Iterator[tuple[str, str]]:
    for name, (source, *arguments) in TASKS.items():
        words = [
            DATA / word if previous == "--input" else word
            for previous, word in zip(["", *arguments], arguments, strict=False)
        ]
        run(checkout, sys.executable, "-m", "data.prepare", source, *words, "--output", folder / name)
        for info in sorted(folder.glob(f"{name}*/task.json")):
            yield f"task {info.parent.name}", of_json(info, folder)
            yield f"rows {info.parent.name}", of_rows(info.parent)


def runs(checkout: Path, folder: Path) -> Iterator[tuple[str, str]]:
    run(
        *(checkout, sys.executable, "-m", "data.prepare", "synthetic", "--patients", 120),
        *("--output", folder / "s", *ALL),
    )
    task, notes = folder / "s-diagnosis", folder / "s-coding"
    launch(
        *(checkout, "memorize/train.py", "memorize/tiny", "--task", task, "--output", folder / "memorize"),
        *("--model.architecture", SMALL, *FEW),
    )
    base = ("--model.base", folder / "memorize" / "checkpoint", "--task", task)
    has_wide = "\nwide:" in (checkout / "configs" / "rank" / "tiny.yaml").read_text(encoding="utf-8")
    rank = (checkout, "rank/train.py", "rank/tiny", *base, *FEW)
    launch(*rank, "--output", folder / "runs" / "rank", *AS_BEFORE[has_wide])
    if has_wide:
        launch(*rank, "--output", folder / "wide" / "rank_wide")
    launch(
        *(checkout, "rank/train.py", "rank/demo", *base, "--output", folder / "runs" / "rank_orders", *FEW),
        *("--orders", 2, "--model.lora.rank", 2, "--attention", "sdpa", *BARE[has_wide]),
    )
    for variant in ("retrieval", "mean_mrl", "laa_mrl"):
        launch(
            *(checkout, "bi_encoder/train.py", "bi_encoder/tiny", "--variant", variant, "--task", task),
            *("--output", folder / "runs" / variant, "--encoder.architecture", ENCODER, *WIDTHS, *FEW),
        )
    launch(
        *(checkout, "bi_encoder/train.py", "bi_encoder/tiny", "--variant", "laa_mrl", "--task", notes),
        *("--output", folder / "coding" / "laa_mrl", "--encoder.architecture", ENCODER, *WIDTHS, *FEW),
    )
    mera = (checkout, sys.executable, "-m", "mera.cli")
    run(*mera, "baselines", "--task", task, "--output", folder / "runs", "--only", "[popularity, own-history, linear]")
    run(*mera, "baselines", "--task", notes, "--output", folder / "coding", "--only", "[popularity]")
    yield "weights memorize", of_weights(folder / "memorize" / "checkpoint")
    yield "recall memorize", of_json(folder / "memorize" / "recall.json", folder)
    for manifest in sorted(folder.glob("*/*/predictions/manifest.json")):
        run_folder = manifest.parent.parent
        yield f"predictions {run_folder.name} {run_folder.parent.name}", of_arrays(manifest.parent)
        yield f"manifest {run_folder.name} {run_folder.parent.name}", of_json(manifest, folder)
        if (run_folder / "checkpoint").is_dir():
            yield f"weights {run_folder.name} {run_folder.parent.name}", of_weights(run_folder / "checkpoint")
    for group in ("runs", "coding"):
        written = folder / f"report-{group}"
        listed = sorted(path.parent for path in (folder / group).glob("*/predictions"))
        run(*mera, "report", *listed, "--output", written, "--bootstrap-samples", 50, "--no-date")
        for table in sorted(path for path in written.rglob("*.csv") if path.name not in TIMED):
            yield f"report {group} {table.name}", digest(table.read_bytes())
        yield f"report {group}", of_json(written / "report.json", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=ROOT, help="the working tree to run (default: this one)")
    parser.add_argument("--parts", nargs="+", choices=("tasks", "runs"), default=("tasks", "runs"))
    arguments = parser.parse_args()
    makers = {"tasks": tasks, "runs": runs}
    with tempfile.TemporaryDirectory(prefix="mera-fingerprints-") as folder:
        for part in arguments.parts:
            for name, fingerprint in makers[part](arguments.checkout.resolve(), Path(folder)):
                print(f"{fingerprint}  {name}", flush=True)


if __name__ == "__main__":
    main()
