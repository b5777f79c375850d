"""Rank the next diagnoses of one patient, of every patient in a table, or in a split of a prepared task.

mera predict runs/rank/checkpoint --history "428.0,401.9;584.9" --days "120;14" --age 67 --sex F --top 10
mera predict runs/rank/checkpoint --history "428.0,401.9;584.9" --explain
mera predict runs/rank --input patients.csv --patient pid --time date --code icd --output ranked.csv
mera predict runs/gbdt --input patients.csv --patient pid --time date --code icd --output ranked.csv
mera predict runs/rank/checkpoint --task prepared/diabetes130 --output ranked.parquet --phenotype heart_failure=428

A bi-encoder, a baseline on notes or a fusion ranks notes, with options of its own (mera predict RUN --help lists them):

mera predict runs/fused --text "Flash pulmonary edema, history of CHF."
mera predict runs/fused --file note.txt --json
mera predict runs/fused --input notes.csv --patient note_id --text note --output ranked.csv
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import sys

from data.inspection.summary import print_account
from data.task import SPLITS
from mera.evaluation.calibration import THRESHOLD_HELP, read_threshold, threshold_sentence
from mera.system.errors import CommandLine, Once, UserError
from mera.system.private_files import check_output
from mera.system.terminal import as_json, plain_console
from mera.training.entry_point import run_entry_point
from rank.patients.coding_check import RULE_USES
from rank.patients.notices import print_notices
from rank.patients.patient_ranker import PatientRanker
from rank.patients.phenotypes import Phenotype
from rank.patients.reasons import REASONS
from rank.task_prediction.open_ranker import open_ranker
from rank.task_prediction.predict_task import rank_patient, rank_task
from rank.task_prediction.rank_table import (
    add_table_options,
    check_table_options,
    left_out,
    rank_new_patients,
    read_patients,
)
from rank.task_prediction.ranked_files import SUFFIXES, print_measured, print_ranked, write_ranked


def rank_patients_of_table(arguments: argparse.Namespace, phenotypes: list[Phenotype]) -> None:
    """`--input`: the patients of a table, into `--output`, after the account of what was read."""
    ranker = _opened(arguments)
    patients = read_patients(arguments, ranker)
    print_account(patients.account, plain_console(stderr=True))
    examples = rank_new_patients(
        ranker,
        patients,
        phenotypes,
        top=arguments.top,
        batch_size=arguments.batch_size,
        allow_unknown=arguments.allow_unknown,
        rules=arguments.rules,
        explain=arguments.explain,
    )
    write_ranked(arguments.output, examples, wide=arguments.wide)
    without = left_out(patients.account)
    lost = f"; {without} without a usable visit are not in it" if without else ""
    _tell_threshold(ranker)
    print(f"{_patients(len(examples))} ranked: {arguments.output}{lost}")


def rank_patients_of_task(arguments: argparse.Namespace, phenotypes: list[Phenotype]) -> None:
    """`--task`: the patients of a split, into `--output`, beside what they really had."""
    if any((arguments.history, arguments.text, arguments.days, arguments.age, arguments.sex)):
        raise UserError("give either --task or one patient (--history, --days, --age, --sex, --text), not both")
    if arguments.output is None:
        raise UserError("--task needs --output FILE.csv, FILE.parquet or FILE.json")
    ranker = _opened(arguments)
    examples, measured = rank_task(
        ranker,
        arguments.task,
        arguments.split,
        phenotypes,
        arguments.top,
        arguments.batch_size,
        arguments.allow_unknown,
        arguments.rules,
        arguments.candidates,
        arguments.explain,
        arguments.checkpoint,
    )
    write_ranked(arguments.output, examples, measured)
    print_measured(measured)
    _tell_threshold(ranker)
    examples_ranked = f"{len(examples):,} example{'' if len(examples) == 1 else 's'}"
    print(f"{examples_ranked} of the split {arguments.split} ranked: {arguments.output}")


def rank_one_patient(arguments: argparse.Namespace, phenotypes: list[Phenotype]) -> None:
    """The patient of `--history`, `--text` and the rest: printed, or into `--output`."""
    ranker = _opened(arguments)
    example = rank_patient(
        ranker,
        arguments.history,
        arguments.days,
        phenotypes,
        top=arguments.top,
        age=arguments.age,
        sex=arguments.sex,
        text=arguments.text,
        allow_unknown=arguments.allow_unknown,
        rules=arguments.rules,
        explain=arguments.explain,
    )
    if arguments.output is not None:
        write_ranked(arguments.output, [example])
    elif arguments.json:
        sys.stdout.write(as_json(example.as_dict()))
    else:
        print_ranked(example)
        _tell_threshold(ranker)


def _opened(arguments: argparse.Namespace) -> PatientRanker:
    threshold = None if arguments.threshold is None else read_threshold(arguments.threshold)
    ranker = open_ranker(arguments.checkpoint)
    ranker.predicted_above = threshold
    return ranker


def _tell_threshold(ranker: PatientRanker) -> None:
    print(threshold_sentence(ranker.least_probability), file=sys.stderr)


def _patients(number: int) -> str:
    return f"{number} patient{'' if number == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    parser = CommandLine(prog="mera predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="run of stage two, or its checkpoint; of mera baselines, or of mera fuse")
    patient = parser.add_argument_group("one patient")
    patient.add_argument(
        "--history",
        action=Once,
        default="",
        help="codes of each visit, oldest first: commas inside, ; between; I509 is I50.9; for a model of procedures, "
        "drugs or labs those too, as drug:furosemide",
    )
    patient.add_argument("--days", default=None, help="days before now of each visit, oldest first, separated by ;")
    patient.add_argument("--age", default=None, help="age in whole years")
    patient.add_argument("--sex", default=None, help="F or M")
    patient.add_argument("--text", default=None, help="a note to read, for a model that was trained on notes")
    add_table_options(parser)
    task = parser.add_argument_group("patients of a task")
    task.add_argument("--task", default=None, help="prepared task whose patients are ranked; needs --output")
    task.add_argument("--split", choices=SPLITS, default="test", help="which of its splits (default: test)")
    task.add_argument(
        "--candidates", default=None, help="for a checkpoint that verifies: the run whose candidates it reads"
    )
    task.add_argument("--batch-size", type=int, default=64, help="patients in one forward pass (default: 64)")
    parser.add_argument("--top", type=int, default=20, help="how many codes of each patient (default: 20)")
    parser.add_argument(
        "--phenotype",
        action="append",
        default=[],
        metavar="NAME=PREFIX[,PREFIX]",
        help="also the probability that any code under these prefixes comes next; may be given several times. With "
        "--task it is recalibrated on validation patients",
    )
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="rank, with a warning, from what the model has never seen: mostly unknown codes, a task of another "
        "ontology, a note or a history where it was trained without",
    )
    parser.add_argument(
        "--rules",
        choices=RULE_USES,
        default="none",
        help="coding rules of the edition (Excludes1, code first, use additional code, missing characters, sex, age) "
        "on the predicted codes. check: mark what they break; apply: also take away what is wrong by them, of two "
        "codes that exclude each other the lower-scored; no code is added (default: none)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help=f"of each code the {REASONS} codes of the history without which its probability changes most; the model "
        "reads a patient once more for each code of the history",
    )
    parser.add_argument("--threshold", metavar="P", help=THRESHOLD_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", default=None, help="file to write: .csv, .parquet or .json")
    return parser


def main() -> None:
    arguments = _parser().parse_args()
    print_notices()

    if arguments.top < 1 or arguments.batch_size < 1:
        raise UserError("--top and --batch-size must be 1 or more")
    check_table_options(arguments)
    if arguments.output is not None:
        check_output(arguments.output, SUFFIXES)
    phenotypes = [Phenotype.parse(text) for text in arguments.phenotype]
    if len({phenotype.name for phenotype in phenotypes}) < len(phenotypes):
        raise UserError("two phenotypes have the same name; give all prefixes of one together, NAME=PREFIX,PREFIX")
    if arguments.input is not None:
        rank_patients_of_table(arguments, phenotypes)
    elif arguments.task is not None:
        rank_patients_of_task(arguments, phenotypes)
    else:
        rank_one_patient(arguments, phenotypes)


if __name__ == "__main__":
    run_entry_point(main)
