"""Invented patients with real ICD-10-CM codes, whose true next-visit probabilities are known: `data.synthetic`."""

import argparse

from data.cohorts.source import Source
from data.ledger import Ledger
from data.sources.shared.options import add_candidates, add_past_notes, add_split_options, add_training_visits
from data.sources.shared.source_command import Arguments, SourceCommand
from data.synthetic.cohort import oracle_probabilities, synthetic_cohort
from data.synthetic.disease_model import DiseaseModel


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `mera prepare synthetic`."""
    parser.add_argument(
        "--kind",
        choices=("diagnosis", "coding", "both"),
        default="both",
        help="which task; both: OUTPUT-diagnosis and OUTPUT-coding, of the same patients (default: %(default)s)",
    )
    parser.add_argument("--patients", type=int, default=1500, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the cohort (default: %(default)s)")
    add_past_notes(parser)
    add_training_visits(parser)
    add_candidates(parser, "the codes of the model that invents the patients")
    add_split_options(parser)


def read_source(arguments: Arguments, kind: str, ledger: Ledger) -> Source:
    """The cohort that the command line names."""
    with_notes = kind == "coding" or arguments.past_notes
    patients = synthetic_cohort(arguments.patients, arguments.seed, with_notes=with_notes)
    ledger.read("patients", len(patients))
    ledger.read("notes", sum(visit.num_notes for patient in patients for visit in patient.visits))
    ledger.read("visits", sum(len(patient.visits) for patient in patients))
    ledger.read("diagnoses", sum(len(visit.codes) for patient in patients for visit in patient.visits))
    return Source(
        name="synthetic",
        system="icd10cm",
        patients=patients,
        ledger=ledger,
        options={"patients": arguments.patients, "seed": arguments.seed},
        candidates=DiseaseModel().codes,
        oracle=oracle_probabilities,
    )


SOURCE = SourceCommand(
    name="synthetic",
    help="""\
Invented patients with real ICD-10-CM codes, whose true next-visit probabilities are known.

  mera prepare synthetic --patients 1500 --kind both --output prepared/synthetic
      writes prepared/synthetic-diagnosis (with oracle.npy) and prepared/synthetic-coding
  mera prepare synthetic --patients 3000 --kind diagnosis --output prepared/big""",
    add_options=add_options,
    read=read_source,
)
