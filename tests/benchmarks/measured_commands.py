"""Commands run one after another, with the seconds and the memory that each took, in a file that goes on."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mera.root import ROOT

GIB = 2**30


def mera(*words: str) -> list[str]:
    return [sys.executable, "-m", "mera.cli", *words]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a command took: `peak`, bytes of its processes' own pages, all at one time; `mapped`, with the pages of the
    files, such as weights, that one of them maps and Linux may drop and read again; `cpu`, seconds, of all of them that
    ended before it."""

    code: int
    seconds: float
    cpu: float
    peak: int
    mapped: int
    output: str


def held_bytes(process: int) -> tuple[int, int]:
    """Memory that the process and all below it hold beside mapped files, and with those of the one that maps most. Of
    a copy of a process (fork) that runs its parent's program, what it does not share with it."""
    own, files = 0, [0]
    for each, parent in ((process, None), *_below(process)):
        try:
            if parent is not None and _program(each) == _program(parent):
                own += _kib(each, "smaps_rollup", "Private_").get("Dirty", 0) * 1024
                continue
            held = _kib(each, "status", "Rss")
        except OSError:
            continue  # it has ended meanwhile
        own += (held.get("Anon", 0) + held.get("Shmem", 0)) * 1024
        files.append(held.get("File", 0) * 1024)
    return own, own + max(files)


def _kib(process: int, file: str, kind: str) -> dict[str, int]:
    """Lines such as `RssAnon:  12 kB` of a file of the process, without `kind` before their names."""
    lines = Path(f"/proc/{process}/{file}").read_text(encoding="ascii", errors="replace")
    return {name: int(kib) for name, kib in re.findall(rf"^{kind}(\w+):\s+(\d+)", lines, re.MULTILINE)}


def _program(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def _below(process: int) -> Iterator[tuple[int, int]]:
    """(process, its parent) of all below `process`."""
    try:
        below = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    except OSError:
        return
    for child in below:
        yield child, process
        yield from _below(child)


def run_measured(command: Sequence[str], interrupt_at: str | None = None) -> Measured:
    """Run `command`; a line of its output that holds `interrupt_at` has SIGTERM sent to it."""
    start, spent = time.monotonic(), _cpu_of_children()
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    peak, mapped, is_over = 0, 0, threading.Event()

    def watch() -> None:
        nonlocal peak, mapped
        while not is_over.wait(0.1):
            own, all_of_it = held_bytes(process.pid)
            peak, mapped = max(peak, own), max(mapped, all_of_it)

    watcher = threading.Thread(target=watch)
    watcher.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if interrupt_at is not None and interrupt_at in line:
            process.send_signal(signal.SIGTERM)
            interrupt_at = None
    code = process.wait()
    is_over.set()
    watcher.join()
    seconds, cpu = time.monotonic() - start, _cpu_of_children() - spent
    return Measured(code=code, seconds=seconds, cpu=cpu, peak=peak, mapped=mapped, output="".join(lines))


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Rehearsal:
    """Takes the commands one after another and prints a row of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = folder / "rows.jsonl"
        lines = self.rows.read_text(encoding="utf-8").splitlines() if self.rows.is_file() else []
        self.done = {json.loads(line)["step"]: json.loads(line) for line in lines}

    def take(
        self,
        step: str,
        command: Sequence[str],
        doctor: Sequence[str] = (),
        *,
        interrupt_at: str | None = None,
        codes: Sequence[int] = (0,),
        say: str | None = None,
    ) -> None:
        """`doctor`: the options after `mera doctor`; `codes`: the exit codes that are right; `say`: a pattern, of which
        the line that matches is kept. Raises SystemExit with the command's last lines where it went wrong."""
        if step not in self.done:
            reckoned = _doctor_bytes(doctor) if doctor else None
            print(f"{step} ...", file=sys.stderr, flush=True)
            measured = run_measured(command, interrupt_at)
            if measured.code not in codes:
                raise SystemExit(
                    f"{step} ended with {measured.code}:\n" + "\n".join(measured.output.splitlines()[-15:])
                )
            row = {"step": step, "seconds": measured.seconds, "peak": measured.peak, "mapped": measured.mapped}
            row["doctor"] = reckoned
            if say is not None:
                row["says"] = next(line for line in measured.output.splitlines() if re.search(say, line)).strip()
            with self.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self.done[step] = row
        row = self.done[step]
        reckoned = "" if row["doctor"] is None else f"{row['doctor'] / GIB:.1f}"
        held = f"{row['peak'] / GIB:.1f} | {row['mapped'] / GIB:.1f}"
        print(f"| {step} | {row['seconds']:,.0f} | {held} | {reckoned} | {row.get('says', '')} |")
        sys.stdout.flush()


def _doctor_bytes(options: Sequence[str]) -> int | None:
    command = [*mera("doctor", "--json", "--accelerate", "launch/accelerate/cpu.yaml"), *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["peak_bytes"]
