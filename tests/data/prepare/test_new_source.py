"""A hospital more: one file in `data/sources` and one line in the list of sources."""

import json
import os
import random
import shutil
import subprocess
import sys

from mera.root import ROOT

HOSPITAL = '''"""The register of a town hospital: one line per diagnosis, stay;person;day;icd."""

import argparse

import polars as pl

from data.codes.code_columns import by_ontology, resolve_codes
from data.cohorts.cohort import build_cohort
from data.cohorts.source import Source
from data.ledger import Ledger
from data.ontology import load_ontology
from data.sources.shared.options import add_diagnosis_options
from data.sources.shared.source_command import Arguments, SourceCommand, column_forms
from data.table_files.columns import column, read_columns
from data.table_files.meanings import Meaning

COLUMNS = (
    column("person", Meaning.ID),
    column("stay", Meaning.ID),
    column("day", Meaning.TIME),
    column("icd", Meaning.CODE),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_diagnosis_options(parser, "FILE", "the register")


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    table = read_columns(arguments.input, COLUMNS, ledger, column_forms(arguments))
    rows = table.rows.select(
        patient_id="person", admission_id="stay", raw="icd", position=pl.int_range(pl.len()), order=pl.col("day")
    )
    ledger.read("diagnoses", rows.height)
    days = pl.col("order").dt.epoch("d").cast(pl.Int64)
    visits = rows.group_by("patient_id", "admission_id").agg(
        order=pl.col("order").min().dt.epoch("s"),
        day=days.min(),
        sex=pl.lit(None, pl.String),
        age=pl.lit(None, pl.Int64),
    )
    ledger.read("visits", visits.height)
    ledger.read("patients", visits["patient_id"].n_unique())
    codes = resolve_codes(rows.drop("order"), by_ontology(load_ontology("icd10cm")), "icd10cm", ledger)
    return Source(
        name="townhospital",
        system="icd10cm",
        patients=build_cohort(visits, codes, ledger),
        ledger=ledger,
        files=[table.file],
    )


SOURCE = SourceCommand(name="townhospital", help="A town hospital.", add_options=add_options, read=read_source)
'''
LINE = "    townhospital.SOURCE,\n"


def test_a_source_is_one_file_and_one_line(tmp_path):
    for package in ("data", "mera"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data" / "sources" / "townhospital.py").write_text(HOSPITAL, encoding="utf-8")
    listing = tmp_path / "data" / "prepare" / "sources.py"
    text = listing.read_text(encoding="utf-8")
    text = text.replace("    synthetic.SOURCE,\n", f"    synthetic.SOURCE,\n{LINE}").replace(
        "    table,\n", "    table,\n    townhospital,\n"
    )
    listing.write_text(text, encoding="utf-8")
    draw = random.Random(0)
    register = "stay;person;day;icd\n" + "".join(
        f"{person}-{stay};{person};2020-0{stay + 1}-01;{code}\n"
        for person in range(40)
        for stay in range(3)
        for code in draw.sample(["I10", "E11.9", "I50.9", "N17.9"], 2)
    )
    (tmp_path / "register.csv").write_text(register, encoding="utf-8")
    subprocess.run(
        [sys.executable, "-P", "-m", "data.prepare", "townhospital", "--input", "register.csv", "--output", "task"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
    )
    info = json.loads((tmp_path / "task" / "task.json").read_text(encoding="utf-8"))
    assert info["source"] == "townhospital"
    assert (info["rows_read"], info["rows_used"]) == (240, 240)
