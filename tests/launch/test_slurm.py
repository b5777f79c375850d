"""The shell scripts of launch/, run for real: on a make-believe Slurm, whose commands are small scripts on PATH."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from small_model import ARCHITECTURE
from tiny_task import make_tiny_task

from mera.root import ROOT
from mera.runs.predictions import read_predictions

SLURM = ROOT / "launch" / "slurm"
SCRIPTS = [*SLURM.glob("*.sbatch"), ROOT / "launch" / "two_stage.sh"]
STUBS = {
    # A process group for each node. Like the real one it kills its tasks when it gets SIGTERM itself, and, as it is
    # always called with --kill-on-bad-exit, when one of them fails. Launchers of two nodes on one machine would see the
    # port of the rendezvous taken, unless the first one is there first.
    "srun": """
        while [[ "$1" == --* ]]; do shift; done
        trap 'kill -KILL -- $(sed s/^/-/ "$RECORD/groups")' TERM
        : > "$RECORD/groups"
        for node in $(seq 0 $((SLURM_NNODES - 1))); do
          SLURM_NODEID=$node setsid "$@" & echo $! >> "$RECORD/groups"
          until [ -z "$FIRST_NODE_LISTENS" ] || (: < "/dev/tcp/localhost/$FIRST_NODE_LISTENS") 2>/dev/null; do
            kill -0 $! || exit 1
            sleep 0.1
          done
        done
        for task in $(cat "$RECORD/groups"); do
          code=0
          wait -n || code=$?
          if [ "$code" != 0 ]; then kill -KILL -- $(sed s/^/-/ "$RECORD/groups"); exit "$code"; fi
        done
    """,
    "scancel": 'kill -"${1#--signal=}" -- $(sed s/^/-/ "$RECORD/groups")',
    "scontrol": """
        if [ "$1 $2" = "show hostnames" ]; then echo localhost; echo other; fi
        if [ "$1 $2" = "show job" ]; then echo "   PreemptEligibleTime=2026-01-01 PreemptTime=${PREEMPTED:-None}"; fi
    """,
}
LAUNCHER = """
import os, pathlib, signal, sys, time
record = pathlib.Path(os.environ["RECORD"])

def save(*_):
    time.sleep(0.3)
    with open(record / "saved", "a") as file:
        file.write("saved\\n")
    sys.exit(143)

signal.signal(signal.SIGTERM, save)
with open(record / "calls", "a") as file:
    file.write(" ".join(["accelerate", *sys.argv[1:]]) + "\\n")
(record / "started").touch()
time.sleep(float(os.environ.get("SECONDS_TO_RUN", "60")))
sys.exit(int(os.environ.get("RESULT", "0")))
"""
"""In the place of `accelerate`: what its processes do, after a while or when they get SIGTERM."""


class MakeBelieveSlurm:
    def __init__(self, folder, nodes=1, **more):
        self.record, self.nodes = folder / "record", nodes
        self.record.mkdir()
        self.bin = folder / "bin"
        self.bin.mkdir()
        noted = {name: f'#!/bin/bash\necho "{name} $*" >> "$RECORD/calls"\n{text}' for name, text in STUBS.items()}
        for name, text in (noted | more).items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def submit(self, script, *arguments, **settings):
        job = {
            "SLURM_SUBMIT_DIR": ROOT,
            "SLURM_JOB_ID": 7,
            "SLURM_JOB_NODELIST": "node[0-1]",
            "SLURM_NNODES": self.nodes,
            "SLURM_GPUS_ON_NODE": 1,
            "SLURM_CPUS_PER_TASK": 4,
            "RECORD": self.record,
            "OMP_NUM_THREADS": 1,
            "PYTHONFAULTHANDLER": 1,
            "PATH": f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            ["bash", str(script), *map(str, arguments)],
            env=os.environ | {name: str(value) for name, value in (job | settings).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def calls(self, start=""):
        path = self.record / "calls"
        return [line for line in path.read_text().splitlines() if line.startswith(start)] if path.is_file() else []

    def end_of(self, job, seconds):
        """Its output. A job that stands still is ended, and what it wrote shows where each of its processes stood."""
        try:
            return job.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            processes = psutil.Process(job.pid).children(recursive=True)
            standing = [" ".join([str(process.pid), process.status(), *process.cmdline()]) for process in processes]
            for process in reversed(processes):
                process.send_signal(signal.SIGABRT)  # faulthandler then writes its stacks
            job.kill()
            text = job.communicate(timeout=60)[0]
            pytest.fail(f"still running after {seconds} s:\n" + "\n".join([*standing, text[-20_000:]]))

    def wait_for(self, found, job, seconds=300):
        deadline = time.monotonic() + seconds
        while not found():
            assert job.poll() is None, job.stdout.read()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def slurm(tmp_path):
    return MakeBelieveSlurm(tmp_path, accelerate=f"#!{sys.executable} -S{LAUNCHER}")


def started(slurm):
    return lambda: (slurm.record / "started").is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


JOBS = [("train.sbatch", "zero3", "rank/train.py"), ("two_stage.sbatch", "prepared/none", "runs/none", "tiny")]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[0])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_saves_and_queues_the_job_again(job, number, slurm, tmp_path):
    run = slurm.submit(SLURM / job[0], *job[1:])
    slurm.wait_for(started(slurm), run)
    run.send_signal(number)
    text, _ = run.communicate(timeout=30)
    assert run.returncode == 0
    assert "stopped and saved; queueing the job again" in text
    assert (slurm.record / "saved").read_text() == "saved\n"
    (requeue,) = slurm.calls("scontrol requeue")
    assert requeue.split()[-1] == slurm.calls("scontrol")[-1].split()[-1]
    assert len(slurm.calls("accelerate")) == 1, "nothing more is begun after the signal"


def test_a_preemption_that_only_the_step_is_told_of_queues_the_job_again(slurm):
    run = slurm.submit(SLURM / "train.sbatch", "ddp", "rank/train.py", PREEMPTED="2026-01-02T03:04:05")
    slurm.wait_for(started(slurm), run)
    os.killpg(int((slurm.record / "groups").read_text()), signal.SIGTERM)
    run.communicate(timeout=30)
    assert run.returncode == 0
    assert (slurm.record / "saved").read_text() == "saved\n"
    assert len(slurm.calls("scontrol requeue")) == 1


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job[0])
def test_a_failure_is_not_queued_again(job, slurm):
    run = slurm.submit(SLURM / job[0], *job[1:], SECONDS_TO_RUN=0.1, RESULT=7)
    run.communicate(timeout=30)
    assert run.returncode == 7
    assert slurm.calls("scontrol requeue") == []


def test_each_node_is_told_its_place_and_has_its_cores(slurm):
    slurm.nodes = 2
    run = slurm.submit(
        SLURM / "train.sbatch", "zero3", "rank/train.py", "--x", "a b", SECONDS_TO_RUN=0.1, SLURM_JOB_ID=40_007
    )
    run.communicate(timeout=30)
    assert run.returncode == 0
    (srun,) = slurm.calls("srun")
    assert "--cpus-per-task=4" in srun
    assert sorted(slurm.calls("accelerate")) == [
        f"accelerate launch --config_file launch/accelerate/zero3.yaml --num_machines 2 --num_processes 2 "
        f"--machine_rank {node} --main_process_ip localhost --main_process_port 20007 --rdzv_backend c10d "
        f"rank/train.py --x a b"
        for node in (0, 1)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "nodes"), [("ddp", 2), ("fsdp2", 2), ("single_gpu", 1)])
def test_a_job_is_stopped_and_queued_again_and_ends(engine, nodes, tmp_path):
    """The trainer itself: its launchers find each other, save when they are told, and go on from there."""
    slurm = MakeBelieveSlurm(tmp_path, nodes)
    task, output = make_tiny_task(tmp_path / "task", patients=70), tmp_path / "run"
    words = ["--task", task.path, "--output", output, "--model.architecture", ARCHITECTURE, "--training.epochs", 30]
    job = (SLURM / "train.sbatch", engine, "rank/train.py", *words, "--training.batch_size", 4)
    number = os.getpid() % 20_000
    settings = {"SLURM_JOB_ID": number} | ({"FIRST_NODE_LISTENS": 20_000 + number} if nodes > 1 else {})
    run = slurm.submit(*job, **settings)
    trainer = output.parent / ".run.partial" / "trainer"
    slurm.wait_for(lambda: list(trainer.glob("checkpoint-*/complete.json")), run)
    run.send_signal(signal.SIGUSR1)
    text = slurm.end_of(run, seconds=120)
    assert run.returncode == 0, text[-3000:]
    assert "SIGTERM: saving after step" in text
    assert len(slurm.calls("scontrol requeue")) == 1
    again = slurm.submit(*job, **settings)
    text = slurm.end_of(again, seconds=300)
    assert again.returncode == 0, text[-3000:]
    assert len(slurm.calls("scontrol requeue")) == 1
    assert len(read_predictions(output).scores) > 0
