"""A Python that has libraries and editions already: what is run in it starts in a tenth of a second instead of six.

from ready_python import run_ready        (pytest puts this folder on sys.path)
done = run_ready(["rank/train.py", "--task", task.path], cwd=ROOT)

As `subprocess.run([sys.executable, ...], capture_output=True, text=True)`, with a script or `-m MODULE`. A session of
tests starts one process that imports the libraries (one more for each setting of READ_AT_START that is asked for),
which those that share out the tests share too (tests/conftest.py). It
forks one for each command, with its own arguments, environment, folder, session and streams, which ends as any Python
does. `accelerate launch` and `mera` get the processes that they start from there too. What differs from a new Python:
the order of a set of texts is the same in all. Where a test looks at starting, at signals to a launcher, or at what is
imported, it starts a new Python itself.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

ADDRESS = "TESTS_READY_PYTHON"
PIDS = "TESTS_READY_PIDS"
"""A folder, in which each forked process makes a file with its number as its name and its RANK in it."""
READ_AT_START = (
    *("HF_HOME", "HF_HUB_OFFLINE", "LANG", "LC_ALL", "LC_CTYPE", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"),
    *("PYTHONCOERCECLOCALE", "PYTHONHASHSEED", "PYTHONUTF8"),
)
"""Variables that Python or the libraries read when they start."""
SECONDS_TO_IMPORT = 300
LAUNCHER = "accelerate.commands.launch"
TO_IMPORT = (
    *("matplotlib.figure", "peft", "simple_icd_10_cm", "sklearn.linear_model", "torch.distributed.run", LAUNCHER),
    *("transformers.models.mistral.modeling_mistral", "transformers.models.modernbert.modeling_modernbert"),
    *("bi_encoder.trainer", "data.prepare.run", "memorize.trainer", "mera.doctor.examination", "mera.system.children"),
    "rank.trainer",
)
"""The libraries, by what of ours and of theirs uses them."""


class ReadyProcess:
    """Like subprocess.Popen, of `[python, [-u], SCRIPT or -m MODULE, ...]`, in a session of its own."""

    def __init__(self, args, *, env=None, cwd=None, stdout=None, stderr=None, **options):
        """options: those about sessions and groups of Popen, which a process of a session of its own does not need."""
        assert options.keys() <= {"start_new_session", "process_group", "preexec_fn"}
        environment = dict(os.environ if env is None else env)
        words = [str(word) for word in args[1:] if word != "-u"]
        self.args, self.returncode = args, None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address(*map(environment.get, READ_AT_START)))
        request = {"words": words, "environment": environment, "cwd": str(cwd or Path.cwd())}
        streams = [1 if stdout is None else stdout.fileno(), 2 if stderr is None else stderr.fileno()]
        payload = json.dumps(request).encode()
        socket.send_fds(self._connection, [len(payload).to_bytes(8)], streams)
        self._connection.sendall(payload)
        self._answers = self._connection.makefile("r")
        self.pid = int(self._answers.readline())

    def poll(self):
        return self._status(0)

    def wait(self, timeout=None):
        if self._status(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout):
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if selector.select(timeout):
                    self.returncode = int(self._answers.readline())
        return self.returncode


def run_ready(words, *, cwd=None, env=None, timeout=600):
    """Run `python WORDS` and return a subprocess.CompletedProcess with the texts that it printed."""
    command = [sys.executable, *map(str, words)]
    if not hasattr(os, "pidfd_open"):  # not Linux
        return subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, encoding="utf-8", check=False, timeout=timeout
        )
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = ReadyProcess(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8"))
    return subprocess.CompletedProcess(command, code, *texts)


def begin_ready(words, output, *, cwd=None, env=None):
    """Begin `python WORDS`, which prints both streams into the file `output`: a ReadyProcess, which is used like a
    subprocess.Popen."""
    with open(output, "wb") as file:
        if not hasattr(os, "pidfd_open"):
            command = [sys.executable, *map(str, words)]
            return subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=file, start_new_session=True)
        return ReadyProcess([sys.executable, *words], cwd=cwd, env=env, stdout=file, stderr=file)


@functools.cache
def address(*settings):
    """The socket of the process that has the libraries, with these READ_AT_START; starts it where there is none yet."""
    if ADDRESS in os.environ and settings == tuple(map(os.environ.get, READ_AT_START)):
        path = os.environ[ADDRESS]
    else:
        path = start(*settings)
    deadline = time.monotonic() + SECONDS_TO_IMPORT
    while not os.path.exists(path):
        assert os.path.isdir(os.path.dirname(path)), "the process that imports the libraries has ended"
        assert time.monotonic() < deadline, "the process that imports the libraries is not ready"
        time.sleep(0.02)
    return path


def start_for_all():
    """Start one for this process and those that it will start, which find its address in the environment."""
    if hasattr(os, "pidfd_open"):
        os.environ[ADDRESS] = start(*map(os.environ.get, READ_AT_START))


def start(*settings):
    """Start a process that imports the libraries; returns the path that its socket will have."""
    folder = Path(tempfile.mkdtemp(prefix="ready-python-"))
    environment = {name: value for name, value in os.environ.items() if name not in READ_AT_START}
    environment |= {name: value for name, value in zip(READ_AT_START, settings, strict=True) if value is not None}
    # Counting GPUs through NVML leaves CUDA alone: a process forked after it was started cannot use it.
    environment["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    path = folder / "socket"
    server = subprocess.Popen([sys.executable, __file__, str(path)], stdin=subprocess.PIPE, env=environment)

    def end():
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return str(path)


def serve(path):
    """Fork a process for each request until stdin is closed; returns in the forked processes, with their words."""
    try:
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # as mera.system.quiet_ctrl_c
        for name in TO_IMPORT:
            importlib.import_module(name)
        read_editions()
    except BaseException:
        shutil.rmtree(path.parent)  # so whoever waits sees it
        raise
    gc.collect()
    gc.freeze()
    beside = path.with_name("binding")
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as waiting:
        listener.bind(str(beside))
        listener.listen()
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        beside.rename(path)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is sys.stdin:
                    for entry in waiting.get_map().values():
                        if entry.data is not None:
                            os.kill(entry.data[1], signal.SIGTERM)
                    os._exit(0)
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    request, streams = received(connection)
                    pid = os.fork()
                    if not pid:
                        for entry in waiting.get_map().values():
                            if entry.data is not None:
                                os.close(entry.fd)
                                entry.data[0].close()
                        connection.close()
                        return become(path, request, streams)
                    for stream in streams:
                        os.close(stream)
                    answer(connection, pid)
                    waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (connection, pid))
                else:
                    connection, pid = key.data
                    answer(connection, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    connection.close()
                    waiting.unregister(key.fileobj)
                    os.close(key.fileobj)


def read_editions():
    """The trees that the packages hold, which most commands would read, and keep, in seconds. (Not the notes: they are
    a frame of polars, whose threads do not outlive a fork.)"""
    for system in ("icd9cm", "icd10cm"):
        sys.modules["data.codes.notes.code_ranges"].load_order(system)


def received(connection):
    head, streams, _, _ = socket.recv_fds(connection, 8, 2)
    with connection.makefile("rb") as file:
        return json.loads(file.read(int.from_bytes(head))), streams


def answer(connection, number):
    with contextlib.suppress(BrokenPipeError):  # who asked has ended
        connection.sendall(f"{number}\n".encode())


def become(path, request, streams):
    """Make this forked process the one that was asked for, and return its words."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, stream in enumerate(streams, start=1):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(as_received(request["cwd"]))
    os.environ.clear()
    os.environ.update({name: as_received(value) for name, value in request["environment"].items()})
    os.environ[ADDRESS] = str(path)
    if PIDS in os.environ:
        Path(os.environ[PIDS], str(os.getpid())).write_text(os.environ.get("RANK", ""))
    folders = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in sys.path]
    sys.path[1:1] = folders  # what is imported already stays as it is
    tempfile.tempdir = None  # TMPDIR may be another

    import numpy
    import torch

    numpy.random.seed()
    torch.seed()
    return [as_received(word) for word in request["words"]]


def as_received(text):
    """As Python reads it from the system, whatever it takes file names to be encoded in."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def popen(args, **options):
    return (ReadyProcess if args[0] == sys.executable else subprocess.Popen)(args, **options)


def hand_out_processes():
    """The launchers and the doctor start Python here too, instead of a new one."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    for name in (LAUNCHER, "mera.system.children"):
        sys.modules[name].subprocess = SimpleNamespace(Popen=popen, CalledProcessError=subprocess.CalledProcessError)
    subprocess_handler.Popen = popen
    sys.modules["mera.doctor.examination"].subprocess = SimpleNamespace(run=lambda command, **_: run_ready(command[1:]))


def run(words):
    if words[:2] == ["-m", LAUNCHER]:
        sys.argv = words[1:]
        sys.modules[LAUNCHER].main()  # in the module whose processes are handed out
    elif words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], os.getcwd()
        sys.modules.pop(words[1], None)  # runpy warns of a module that is there already
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")


def exit_code_of(words):
    """Run the words, and print what Python prints of the exception that ends them."""
    try:
        run(words)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except KeyboardInterrupt:  # of which Python dies
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end_with(code):
    """End as Python does, except that objects are not freed one by one: in a forked process this would copy all the
    memory that it shares with the first, which takes longer than most commands."""
    from mera.training.private_api import end_as_python_ends

    end_as_python_ends()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def main():
    words = serve(Path(sys.argv[1]))
    address.cache_clear()
    hand_out_processes()
    sys.orig_argv = [sys.executable, *words]
    end_with(exit_code_of(words))


if __name__ == "__main__":
    main()
