"""What breaks in long runs, done for real: each time the next start ends with the results of an undisturbed run."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from ready_python import PIDS, begin_ready, run_ready
from safetensors.numpy import load_file
from tiny_task import make_tiny_task

from mera.root import ROOT
from mera.runs.predictions import read_predictions
from mera.training.resume.checkpoints import checkpoints, find_damage, step_of

MODEL = "{model_type: mistral, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, " + (
    "num_attention_heads: 2, num_key_value_heads: 1}"
)
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file"]
EPOCHS = 12


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_tiny_task(tmp_path_factory.mktemp("prepared") / "task", patients=70)


@pytest.fixture(scope="module")
def undisturbed(task, tmp_path_factory):
    """The run that no fault touched."""
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    done = finish(task, output)
    assert done.returncode == 0, done.stderr[-2000:]
    return output


def command(task, output, *more, processes=1, engine=None):
    batch = ("--training.batch_size", 8 // processes)
    places = ("--task", task.path, "--output", output, "--model.architecture", MODEL)
    size = ("--model.tokenizer_size", 600, "--training.epochs", EPOCHS, "--orders", 2)
    options = (*places, *size, *batch, "--training.learning_rate", 1e-3, *more)
    engine = engine or ("cpu" if processes == 1 else "ddp")
    return [
        *LAUNCH,
        f"launch/accelerate/{engine}.yaml",
        "--num_processes",
        str(processes),
        "rank/train.py",
        *map(str, options),
    ]


def environment(**changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    kept["CUDA_VISIBLE_DEVICES"] = ""  # two processes have no GPU each, and results are compared in float32
    return kept | {"OMP_NUM_THREADS": "1"} | changes


def log_of(output):
    return output.with_name("log")


def pids_of(output):
    """{number: RANK} of the processes that were begun last, the launcher among them."""
    return {int(path.name): path.read_text() for path in output.with_name("pids").iterdir()}


def begin(task, output, *more, processes=1, engine=None):
    """A launcher and what it launches, in ready Pythons."""
    pids = output.with_name("pids")
    shutil.rmtree(pids, ignore_errors=True)
    pids.mkdir()
    words = command(task, output, *more, processes=processes, engine=engine)
    return begin_ready(words, log_of(output), cwd=ROOT, env=environment(**{PIDS: str(pids)}))


def begin_in_a_new_python(task, output, *more):
    words = [sys.executable, *command(task, output, *more)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=ROOT, env=environment(), start_new_session=True, **streams)


def finish(task, output, *more, processes=1, engine=None):
    words = command(task, output, *more, processes=processes, engine=engine)
    return run_ready(words, cwd=ROOT, env=environment())


def finish_in_a_new_python(task, output, *more, changes=None, **settings):
    return subprocess.run(
        [sys.executable, *command(task, output, *more)],
        cwd=ROOT,
        env=environment(**(changes or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        **settings,
    )


def printed(run, output):
    return run.stdout.read() if getattr(run, "stdout", None) else log_of(output).read_text()


def trainer_folder(output):
    return output.parent / f".{output.name}.partial" / "trainer"


def wait_for(condition, run, output, seconds=300, pause=0.01):
    deadline = time.monotonic() + seconds
    while not condition():
        assert run.poll() is None, f"the run ended too early: {printed(run, output)[-2000:]}"
        assert time.monotonic() < deadline
        time.sleep(pause)


def assert_equal_results(output, undisturbed, tolerance=0.0):
    found, expected = read_predictions(output), read_predictions(undisturbed)
    np.testing.assert_allclose(found.scores, expected.scores, atol=tolerance, rtol=0)
    np.testing.assert_allclose(found.thresholds, expected.thresholds, atol=tolerance, rtol=0)
    losses = [[entry["loss"] for entry in run.records["training"] if "loss" in entry][-1] for run in (found, expected)]
    assert losses[0] == pytest.approx(losses[1], abs=max(tolerance, 1e-6))
    assert sorted(path.name for path in output.parent.iterdir() if path.name.startswith(f".{output.name}")) == []


def kill_at(condition, run, output, pids):
    """SIGKILL to `pids` at a moment at which `condition` holds: while one looks, the processes stand still."""

    def send(number):
        for pid in pids:
            os.kill(pid, number)

    deadline = time.monotonic() + 300
    while True:
        send(signal.SIGSTOP)
        time.sleep(0.005)
        if condition():
            break
        send(signal.SIGCONT)
        assert run.poll() is None, f"the run ended too early: {printed(run, output)[-2000:]}"
        assert time.monotonic() < deadline
        time.sleep(random.uniform(0.001, 0.02))
    send(signal.SIGKILL)


def in_mid_save(output):
    return bool(list((trainer_folder(output) / ".partial").glob("*/*")))


def in_mid_step(output):
    return bool(checkpoints(trainer_folder(output))) and not in_mid_save(output)


def begin_to_save(task, output, **settings):
    """A run that saves often, after its first checkpoint."""
    run = begin(task, output, "--training.save_every", 2, **settings)
    newest = checkpoints(trainer_folder(output))[:1]
    wait_for(lambda: checkpoints(trainer_folder(output))[:1] != newest, run, output)
    return run


def newest_step(output):
    return step_of(checkpoints(trainer_folder(output))[0])


def test_a_run_killed_in_mid_step_and_in_mid_save_goes_on(task, undisturbed, tmp_path):
    output = tmp_path / "run"
    for moment in (in_mid_step, in_mid_save):
        run = begin_to_save(task, output)
        kill_at(lambda moment=moment: moment(output), run, output, pids_of(output))
        run.wait()
        assert moment(output)
        assert not output.exists()
        assert all(find_damage(checkpoint) is None for checkpoint in checkpoints(trainer_folder(output)))
    resumed = finish(task, output)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert_equal_results(output, undisturbed)


def test_a_process_that_dies_ends_the_others_and_the_run_goes_on(task, undisturbed, tmp_path):
    output, reached = tmp_path / "run", 0
    # The first process writes the checkpoints; the second one dies in a step.
    for rank, moment in (("1", in_mid_step), ("0", in_mid_save)):
        run = begin_to_save(task, output, processes=2)
        assert newest_step(output) > reached, "the second run began where the first one was"
        workers = {number: psutil.Process(pid) for pid, number in pids_of(output).items() if number}
        assert workers.keys() == {"0", "1"}
        kill_at(lambda moment=moment: moment(output), run, output, [workers[rank].pid])
        assert run.wait(120) != 0
        assert not psutil.wait_procs(workers.values(), timeout=5)[1], "a worker lives on"
        reached = newest_step(output)
    # One process goes on where two were, with the same examples in each step.
    resumed = finish(task, output)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert_equal_results(output, undisturbed, tolerance=1e-3)


def test_sigterm_saves_a_full_disk_and_a_damaged_checkpoint_lose_nothing(task, undisturbed, tmp_path):
    """One run through three faults, one after the other."""
    output = tmp_path / "run"
    run = begin_in_a_new_python(task, output, "--training.save_every", 2)
    wait_for(lambda: len(checkpoints(trainer_folder(output))) == 2, run, output)
    asked = time.monotonic()
    os.killpg(run.pid, signal.SIGTERM)
    text, _ = run.communicate(timeout=30)
    assert time.monotonic() - asked < 30
    step = int(re.search(r"SIGTERM: saving after step (\d+)", text)[1])
    assert f"stopped after step {step} of" in text
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT / "rank") not in text
    saved = checkpoints(trainer_folder(output))
    assert saved[0].name == f"checkpoint-{step}"
    assert len(saved) <= 3, "keep_last 2, and the best"

    limit = 20_000  # bytes a file may have: less than the model
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))}
    full = finish_in_a_new_python(task, output, **small)
    assert full.returncode != 0
    (sentence,) = re.findall(r"^error: (cannot write a checkpoint .*)$", full.stderr, re.M)
    assert "the file would be larger than the limit" in sentence
    assert f"the one before, checkpoint-{step}, is whole" in sentence
    assert not (trainer_folder(output) / ".partial").exists()
    assert find_damage(saved[0]) is None

    weights = saved[0] / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    resumed = finish(task, output)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    warning = f"warning: {saved[0]} is damaged (model.safetensors has other contents than were written)"
    assert warning in resumed.stderr
    assert_equal_results(output, undisturbed)


def test_two_processes_save_on_sigterm_and_go_on_as_one(task, undisturbed, tmp_path):
    output = tmp_path / "run"
    run = begin(task, output, processes=2)
    wait_for(lambda: checkpoints(trainer_folder(output)), run, output)
    run.terminate()  # the launcher alone: it tells its processes
    run.wait(120)
    text = log_of(output).read_text()
    step = int(re.search(r"stopped after step (\d+) of", text)[1])
    assert checkpoints(trainer_folder(output))[0].name == f"checkpoint-{step}"

    refused = finish(task, output, "--training.batch_size", 3)
    assert refused.returncode != 0
    assert "a step takes 3 examples here (1 processes x batch 3 x accumulation 1) and took 8 before" in refused.stderr
    resumed = finish(task, output)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert_equal_results(output, undisturbed, tolerance=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "after"), [("zero2", 1), ("zero2", 2), ("zero3", 1), ("zero3", 2)])
def test_deepspeed_resumes_with_another_number_of_processes(engine, after, task, undisturbed, tmp_path):
    """The best checkpoint, which is read at the end, is the first one here: two processes wrote it."""
    output = tmp_path / "run"
    run = begin(task, output, processes=2, engine=engine)
    wait_for(lambda: checkpoints(trainer_folder(output)), run, output)
    run.terminate()
    run.wait(120)
    assert f"written under ZeRO-{engine[-1]} and this is DDP" in finish(task, output, processes=2).stderr
    weights = load_file(checkpoints(trainer_folder(output))[0] / "model.safetensors")
    assert min(weight.size for weight in weights.values()) > 0, "the weights of a checkpoint are whole"
    resumed = finish(task, output, processes=after, engine=engine)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert_equal_results(output, undisturbed, tolerance=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_fsdp_resumes_with_another_number_of_processes(before, after, task, undisturbed, tmp_path):
    output = tmp_path / "run"
    run = begin(task, output, processes=before, engine="fsdp2")
    wait_for(lambda: checkpoints(trainer_folder(output)), run, output)
    run.terminate()
    run.wait(120)
    assert re.search(r"stopped after step \d+ of", log_of(output).read_text())
    saved = checkpoints(trainer_folder(output))[0]
    assert load_file(saved / "model.safetensors")["model.embed_tokens.weight"].ndim == 2, "the weights are whole"
    resumed = finish(task, output, processes=after, engine="fsdp2")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert_equal_results(output, undisturbed, tolerance=1e-3)


def test_a_full_disk(task, undisturbed, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs a small tmpfs, and mounting is not allowed here: {mounted.stderr.strip()}")
    try:
        full = finish(task, disk / "run")
        assert full.returncode != 0
        (sentence,) = re.findall(r"^error: (cannot write a checkpoint .*)$", full.stderr, re.M)
        saved = checkpoints(trainer_folder(disk / "run"))
        assert f"{saved[0].name}, is whole; make room and start the same command again" in sentence
        assert find_damage(saved[0]) is None
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        assert finish(task, disk / "run").returncode == 0
        assert_equal_results(disk / "run", undisturbed)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_neither_a_home_nor_a_network_is_needed(task, undisturbed, tmp_path):
    nowhere = {"HOME": "/proc/no-home", "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    caches = {name: "" for name in ("XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR", "TORCH_EXTENSIONS_DIR")}
    wandb = ("--training.tracking", "wandb")
    done = finish_in_a_new_python(task, tmp_path / "run", *wandb, changes=nowhere | caches)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "warning: W&B cannot be reached; the run is kept offline" in done.stderr
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert_equal_results(tmp_path / "run", undisturbed)
    assert json.loads((tmp_path / "run" / "predictions" / "manifest.json").read_text())["kind"] == "rank"
