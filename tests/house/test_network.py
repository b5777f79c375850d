"""Nothing asks the network where everything is local: every command with name resolution trapped."""

import json
import os
import subprocess
import sys

import pytest
from small_encoder import make_encoder, save_plain
from tiny_task import make_tiny_task

from mera.root import ROOT

MODEL = "{model_type: mistral, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, " + (
    "num_attention_heads: 2, num_key_value_heads: 1}"
)
ENCODER = "{model_type: modernbert, hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, " + (
    "num_attention_heads: 2}"
)
TRAP = """
import os, socket
asked = socket.getaddrinfo
HERE = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", socket.gethostname()}

def note(host, *more, **options):
    name = host.decode() if isinstance(host, bytes) else host
    if name not in HERE:
        import traceback
        with open(os.environ["LOOKUPS"], "a", encoding="utf-8") as file:
            file.write(f"{name}\\n{''.join(traceback.format_stack()[-6:-1])}")
        raise socket.gaierror(socket.EAI_NONAME, "trapped")
    return asked(host, *more, **options)

socket.getaddrinfo = note
socket.gethostbyname = lambda host: note(host, None)[0][4][0]
"""
"""sitecustomize of the processes and of all that they start."""
COMMANDS = '''
"""Runs commands one after the other, each in a process of its own that has the libraries already."""
import json, os, runpy, sys
import peft, sentence_transformers, sklearn, torch, transformers, trl
import data.prepare.run, mera.report, mera.training.stage_trainer

for command in json.load(open(sys.argv[1], encoding="utf-8")):
    child = os.fork()
    if not child:
        sys.argv = command
        status = 0
        try:
            if command[0].endswith(".py"):
                sys.path.insert(0, os.path.dirname(command[0]))
                runpy.run_path(command[0], run_name="__main__")
            else:
                runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)
    print("ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), *command, flush=True)
'''


def script(name, *words):
    return [str(ROOT / name), *map(str, words)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What every command printed, and the hosts that were asked for."""
    folder = tmp_path_factory.mktemp("network")
    task, notes = make_tiny_task(folder / "task").path, make_tiny_task(folder / "notes", kind="coding").path
    encoder = save_plain(make_encoder(["heart failure", "pneumonia"]), folder / "encoder")
    runs, recipes = folder / "runs", ROOT / "configs"
    adapter, checkpoint = runs / "memorize" / "adapter", runs / "memorize" / "checkpoint"
    none = ("--model.architecture", "null")
    few = ("--training.epochs", 0.1, "--training.min_steps", 0)
    small = ("--model.base", "null", "--model.architecture", MODEL, "--model.tokenizer_size", 600, *few)
    lora = ("--model.lora.rank", 2, "--save_adapter", "true")
    stage_one = ("--config", recipes / "memorize" / "tiny.yaml", "--task", task)
    stage_two = ("--config", recipes / "rank" / "tiny.yaml", "--task", task)
    plain = ("--encoder.architecture", ENCODER, "--encoder.tokenizer_size", 300, "--encoder.max_query_tokens", 64)
    commands = [
        ["data.prepare", "synthetic", "--patients", 60, "--kind", "both", "--output", folder / "synthetic"],
        ["data.inspection.inspect_task", folder / "synthetic-coding"],
        script("memorize/train.py", *stage_one, "--output", runs / "memorize", *small, *lora),
        script("memorize/train.py", *stage_one, "--output", runs / "of-adapter", "--model.base", adapter, *none),
        script("memorize/run_recall.py", checkpoint, "--task", task),
        script("rank/train.py", *stage_two, "--output", runs / "rank", "--model.base", checkpoint, *few),
        script("rank/run_predict.py", runs / "rank" / "checkpoint", "--history", "I10;E11.9", "--age", 60),
        script("rank/run_baselines.py", "--task", task, "--output", runs, "--only", "[popularity, linear]"),
        script(
            *("bi_encoder/train.py", "--config", recipes / "bi_encoder" / "tiny.yaml", "--task", notes),
            *("--output", runs / "encoder", *plain, *few),
        ),
        script("bi_encoder/run_retrieval_baselines.py", "--task", notes, "--output", runs, "--encoder", encoder),
        script("bi_encoder/run_search.py", "heart failure", "--model", encoder, "--ontology", "icd9cm"),
        ["mera.cli", "report", runs / "rank", runs / "popularity", "--output", folder / "report"],
        ["mera.cli", "compare", runs / "rank", runs / "popularity", "--bootstrap-samples", 20],
        ["mera.cli", "doctor", "--config", recipes / "rank" / "tiny.yaml", "--task", task, *small],
        [
            *("mera.cli", "ablate", "--task", task, "--output", runs / "ablations", "--dry-run"),
            *("--memorize", checkpoint),
        ],
        ["mera.cli", "study", "eov", "--task", task, "--output", runs / "study", "--run", runs / "rank"],
        ["mera.cli", "sample", task, "--patients", 5, "--output", folder / "sample"],
    ]
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(TRAP, encoding="utf-8")
    (folder / "commands.json").write_text(json.dumps([[str(word) for word in command] for command in commands]))
    quiet = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")
    kept = {name: value for name, value in os.environ.items() if name not in quiet}
    own = {
        "LOOKUPS": str(folder / "lookups"),
        "HOME": str(folder),
        "HF_HOME": str(folder / "hub"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(folder / "commands.json")],
        cwd=folder,
        env=kept
        | {name: str(path) for name, path in own.items()}
        | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(folder / "hook"), str(ROOT)])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    lookups = folder / "lookups"
    return done.stdout + done.stderr, lookups.read_text(encoding="utf-8") if lookups.exists() else ""


def test_every_command_does_its_work_and_asks_for_no_host(ran):
    printed, lookups = ran
    ended = [line.split(" ", 3)[2:] for line in printed.splitlines() if line.startswith("ended with")]
    assert len(ended) == 17, printed[-3000:]
    failed = [command for code, command in ended if code != "0" and "of-adapter" not in command]
    assert not failed, printed[-5000:]
    assert lookups == ""


def test_an_adapter_is_told_apart_from_a_model(ran):
    assert "it is a LoRA adapter, which is no model by itself; give the checkpoint" in ran[0]


def test_the_trap_hears_a_lookup(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(TRAP, encoding="utf-8")
    asks = "import urllib.request as r; r.urlopen('http://hub.example/', timeout=5)"
    where = {"PYTHONPATH": str(tmp_path), "LOOKUPS": str(tmp_path / "lookups")}
    subprocess.run([sys.executable, "-c", asks], env=os.environ | where, capture_output=True, check=False)
    assert (tmp_path / "lookups").read_text(encoding="utf-8").startswith("hub.example\n")
