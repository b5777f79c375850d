"""How many requests `mera serve` answers, on loopback alone: requests a second, and the time that 95% stay below.

python tests/benchmarks/bench_serve.py runs/diabetes130/stage-two --bi-encoder runs/codiesp/laa_mrl
python tests/benchmarks/bench_serve.py --tiny

Each kind of request runs for `--seconds`, from as many clients at once as `--clients` says, each on a connection that
stays open; it stops by itself. `--tiny` makes models that were never trained, of 30 codes, as the tests do.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from served import Served
from small_note_run import make_note_run
from small_ranker import make_checkpoint
from tiny_task import make_tiny_task

VISITS = 4
WORDS = "Flash pulmonary edema, history of congestive heart failure; chronic atrial fibrillation. Denies chest pain. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", help="run of stage two")
    parser.add_argument("--bi-encoder", help="run of the bi-encoder")
    parser.add_argument("--tiny", action="store_true", help="models that were never trained")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, notes = (options.checkpoint, options.bi_encoder)
        if options.tiny:
            checkpoint = make_checkpoint(make_tiny_task(Path(folder) / "task"), Path(folder) / "checkpoint")
            notes = make_note_run(make_tiny_task(Path(folder) / "notes", kind="coding"), Path(folder) / "laa_mrl")
        started = time.perf_counter()
        more = [] if notes is None else ["--bi-encoder", str(notes)]
        with Served(checkpoint, *more, output=None) as server:
            codes = httpx.get(f"{server.address}codes", params={"q": "e"}, timeout=120).json()
            names = [entry["code"] for entry in codes[:VISITS]]
            visits = [{"codes": names[: place + 1], "days_before": None} for place in range(VISITS)]
            patient = {"history": visits, "age": 67, "sex": "F"}
            first = httpx.post(f"{server.address}rank", json=patient, timeout=120)
            first.raise_for_status()
            print(f"from the command to the first answer: {time.perf_counter() - started:.1f} s")
            print(f"{'request':34} {'a second':>9} {'p50 ms':>8} {'p95 ms':>8}")
            kinds = [
                ("/rank, 4 visits", "rank", patient),
                ("/rank, 4 visits, explained", "rank", patient | {"explain": True}),
                ("/rank/batch of 64 (patients)", "rank/batch", {"patients": [patient] * 64}),
            ]
            if notes is not None:
                kinds.append(("/notes, 530 characters", "notes", {"text": WORDS * 5}))
            for name, path, body in kinds:
                waited = measure(server.address + path, body, options.seconds, options.clients)
                each = 64 if path == "rank/batch" else 1
                rate = each * len(waited) / options.seconds
                middle, late = 1000 * np.percentile(waited, [50, 95])
                print(f"{name:34} {rate:9.1f} {middle:8.0f} {late:8.0f}")


def measure(address: str, body: dict[str, object], seconds: float, clients: int) -> list[float]:
    """Seconds that each request waited."""
    waited: list[float] = []
    end = time.perf_counter() + seconds

    def work() -> None:
        with httpx.Client(timeout=120) as client:
            while time.perf_counter() < end:
                start = time.perf_counter()
                client.post(address, json=body).raise_for_status()
                waited.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waited


if __name__ == "__main__":
    main()
