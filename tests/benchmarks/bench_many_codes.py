"""Baselines on a generated hospital with very many codes: time and memory of each.

python tests/benchmarks/bench_many_codes.py [--patients 4000] [--codes 20000] [--only linear ease item-knn gbdt wide]

Patients of 2 to 5 visits with some 12 codes each, drawn from the leaves of ICD-10-CM by a heavy-tailed law; a part of a
patient's codes comes back. Each baseline is a process of its own: seconds of CPU and peak resident memory.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import simple_icd_10_cm

OWN_CODES, NEW_CODES, RETURN = 15, 6, 0.4
COLUMNS = ("patient_id", "admission_date", "icd10", "age", "sex")


def write_visits(path: Path, patients: int, codes: int) -> None:
    draw = np.random.default_rng(0)
    leaves = [code for code in simple_icd_10_cm.get_all_codes() if simple_icd_10_cm.is_leaf(code)]
    chosen = [leaves[number] for number in draw.permutation(len(leaves))[:codes]]
    chances = (30.0 + np.arange(len(chosen))) ** -0.9
    chances /= chances.sum()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for patient in range(patients):
            own = draw.choice(len(chosen), OWN_CODES, p=chances)
            age, sex = draw.integers(20, 90), "MF"[draw.integers(2)]
            day = date(2018, 1, 1) + timedelta(days=int(draw.integers(300)))
            for _ in range(draw.integers(2, 6)):
                day += timedelta(days=int(draw.integers(20, 200)))
                of_visit = {*own[draw.random(OWN_CODES) < RETURN], *draw.choice(len(chosen), NEW_CODES, p=chances)}
                rows.writerows((f"P{patient:06d}", day, chosen[code], age, sex) for code in sorted(of_visit))


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds of CPU and GiB at the peak."""
    process = subprocess.Popen([sys.executable, "-m", "mera.cli", *command])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4000)
    parser.add_argument("--codes", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", default=["linear", "ease", "item-knn", "gbdt", "wide"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, task = Path(folder) / "visits.csv", str(Path(folder) / "task")
        write_visits(table, options.patients, options.codes)
        columns = ["--patient", "patient_id", "--time", "admission_date", "--code", "icd10"]
        told = [*columns, "--sex", "sex", "--age", "age", "--code-system", "icd10", "--every-visit"]
        measured(["prepare", "table", "--input", str(table), *told, "--output", task])
        for name in options.only:
            seconds, peak = measured(["baselines", "--task", task, "--output", f"{folder}/runs", "--only", name])
            print(f"{name}: {seconds:.0f} s of CPU, {peak:.1f} GiB peak", flush=True)


if __name__ == "__main__":
    main()
