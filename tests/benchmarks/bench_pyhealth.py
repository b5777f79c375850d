"""`mera prepare mimic4` beside PyHealth: the same generated MIMIC-IV tables made into the same task.

python tests/benchmarks/bench_pyhealth.py --python VENV/bin/python [--patients 18000] [--repeats 1]

VENV holds PyHealth (PyPI `pyhealth`, in a virtual environment of its own). The tables are those of `bench_data.py`.
Each reads patients, admissions and diagnoses_icd, and writes for every patient with two coded admissions one example:
the codes of all visits but the last, and as its label those of the last. PyHealth has no such task, so it is written
here as PyHealth's own are. Neither is spared anything that its users get: imports, and its files on the disk, count.

Each is a process of its own: CPU time of it and all its children, and the most memory that they held together.
"""

import argparse
import gzip
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_data import write_hospital
from measured_commands import GIB, Measured, mera, run_measured

from data.task import load_task

PYHEALTH = """
import sys
from importlib.metadata import version
from pyhealth.datasets import MIMIC4Dataset
from pyhealth.tasks import BaseTask

class NextDiagnoses(BaseTask):
    task_name = "NextDiagnoses"
    input_schema = {"history": "nested_sequence"}
    output_schema = {"targets": "multilabel"}

    def __call__(self, patient):
        visits = []
        for admission in patient.get_events(event_type="admissions"):
            rows = patient.get_events("diagnoses_icd", filters=[("hadm_id", "==", admission.hadm_id)], return_df=True)
            versions, codes = rows["diagnoses_icd/icd_version"], rows["diagnoses_icd/icd_code"]
            if len(codes):
                visits.append([f"{version}_{code}" for version, code in zip(versions, codes)])
        if len(visits) < 2:
            return []
        return [{"patient_id": patient.patient_id, "history": visits[:-1], "targets": visits[-1]}]

dataset = MIMIC4Dataset(ehr_root=sys.argv[1], ehr_tables=["diagnoses_icd"], cache_dir=sys.argv[2])
print(f"{len(dataset.set_task(NextDiagnoses())):,} (PyHealth {version('pyhealth')})")
"""
STAYS = "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los"
STAY = "{},{},30000001,MICU,MICU,2150-01-01 00:00:00,2150-01-02 00:00:00,1.0"
"""PyHealth reads icu/icustays whatever it is asked for; it gets a table of one stay."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has PyHealth")
    parser.add_argument("--patients", type=int, default=18_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="measure each so often")
    options = parser.parse_args()
    print("| | CPU, s | elapsed, s | peak, GiB | examples |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "hospital"
        write_hospital(folder / "hosp", options.patients)
        _write_a_stay(folder)
        for number in range(options.repeats):
            task = f"{scratch}/task-{number}"
            prepare = mera("prepare", "mimic4", "--input", str(folder / "hosp"), "--code-system")
            ours = _measured([*prepare, "to-icd10", "--output", task])
            _print("mera, ICD-9 put into ICD-10", ours, f"{sum(map(len, load_task(task).splits.values())):,}")
            cache = f"{scratch}/cache-{number}"
            theirs = _measured([str(options.python), "-I", "-c", PYHEALTH, str(folder), cache])
            _print("PyHealth, both editions as they are", theirs, theirs.output.strip().splitlines()[-1])
    print(f"\n{options.patients:,} patients, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")


def _write_a_stay(folder: Path) -> None:
    with gzip.open(folder / "hosp" / "admissions.csv.gz", "rt", encoding="utf-8") as file:
        file.readline()
        subject, admission = file.readline().split(",")[:2]
    (folder / "icu").mkdir()
    with gzip.open(folder / "icu" / "icustays.csv.gz", "wt", encoding="utf-8") as file:
        file.write(f"{STAYS}\n{STAY.format(subject, admission)}\n")


def _measured(command: Sequence[str]) -> Measured:
    """Raises SystemExit with the command's last lines where it went wrong."""
    measured = run_measured(command)
    if measured.code:
        sys.exit(f"{command[0]} ended with {measured.code}:\n" + "\n".join(measured.output.splitlines()[-15:]))
    return measured


def _print(name: str, measured: Measured, examples: str) -> None:
    figures = f"{measured.cpu:.1f} | {measured.seconds:.1f} | {measured.peak / GIB:.2f}"
    print(f"| {name} | {figures} | {examples} |", flush=True)


if __name__ == "__main__":
    main()
