"""Options of `mera prepare` that several sources share: histories, codes, splits."""

import argparse
from collections.abc import Sequence

from data.codes.leading_zeros import KEEP, RESTORE
from data.cohorts.candidates import DEFAULT_RULE, RULES
from data.cohorts.notes.text_rules import EDIN_MIN_CODE_COUNT
from data.cohorts.split_options import PROTOCOLS, SplitOptions
from data.cohorts.task_options import GRANULARITIES, TaskOptions


def add_history_options(parser: argparse.ArgumentParser) -> None:
    """--min-visits, --max-history, --every-visit, --first-visits: for `diagnosis` tasks."""
    default = TaskOptions()
    parser.add_argument(
        "--min-visits",
        type=int,
        default=default.min_visits,
        metavar="N",
        help="diagnosis: drop patients with fewer visits (default: %(default)s)",
    )
    parser.add_argument(
        "--max-history", type=int, metavar="N", help="diagnosis: tell at most the latest N visits (default: all)"
    )
    add_training_visits(parser)


def add_training_visits(parser: argparse.ArgumentParser) -> None:
    """--every-visit, --first-visits: more examples to train on."""
    parser.add_argument(
        "--every-visit",
        action="store_true",
        help="diagnosis: each visit of a training patient but the first is a target, not only the last",
    )
    parser.add_argument(
        "--first-visits",
        action="store_true",
        help="diagnosis: first visits train too, without a history, also those of patients with too few visits "
        "(--protocol random or kfold)",
    )


def add_past_notes(parser: argparse.ArgumentParser) -> None:
    """--past-notes: for sources whose visits have notes."""
    parser.add_argument(
        "--past-notes",
        action="store_true",
        help="diagnosis: tell the notes of the visits in the history, never of the visit to predict; with "
        "--every-visit a note is stored once for each later visit, which --max-history bounds",
    )


def add_rules(parser: argparse.ArgumentParser, choices: Sequence[str]) -> None:
    """--rules: how a paper prepared the notes of this source."""
    parser.add_argument(
        "--rules",
        choices=choices,
        help="coding: the preparation of a paper, to stand beside its figures: the text as its models read it, all "
        "summaries and addenda in the order of the file, near-copies kept; edin also drops codes of fewer than "
        f"{EDIN_MIN_CODE_COUNT} admissions (docs/data.md)",
    )


def add_column_options(parser: argparse.ArgumentParser, zeros: bool = True) -> None:
    """--date-format, --sex-values, --codes-without-zeros: what columns do not say of themselves."""
    options = parser.add_argument_group("how the columns are written, where they do not show it themselves")
    options.add_argument(
        "--date-format",
        metavar="FORMAT",
        help="of dates and times, as %%d/%%m/%%Y or '%%m/%%d/%%Y %%H:%%M' (default: ISO, and what a column proves)",
    )
    options.add_argument(
        "--sex-values",
        metavar="F=..,M=..,U=..",
        help="values of the column of the sex that are no known words; U: neither",
    )
    parser.set_defaults(encoding=None)
    if zeros:
        options.add_argument(
            "--codes-without-zeros",
            nargs="?",
            choices=(RESTORE, KEEP),
            const=RESTORE,
            help="of ICD-9 codes that were stored as numbers: put zeros back before a code where only one can be "
            "meant, and drop the others (restore, the same as no value); or take the codes as they stand (keep)",
        )


def add_code_options(parser: argparse.ArgumentParser) -> None:
    """--granularity, --min-code-count, --primary-only."""
    default = TaskOptions()
    parser.add_argument(
        "--granularity",
        choices=GRANULARITIES,
        default=default.granularity,
        help="codes in full; cut to their category, also where only that is known; or their CCS (ICD-9) or CCSR "
        "(ICD-10) group (default: %(default)s)",
    )
    parser.add_argument(
        "--min-code-count",
        type=int,
        default=default.min_code_count,
        metavar="N",
        help="drop codes that fewer than N visits of the cohort hold (default: %(default)s)",
    )
    parser.add_argument(
        "--primary-only",
        action="store_true",
        help="targets are only the diagnosis listed first; histories keep all codes",
    )


def add_candidates(parser: argparse.ArgumentParser, default: str = DEFAULT_RULE) -> None:
    """--candidates; `default` says in words what happens without it."""
    parser.add_argument(
        "--candidates",
        metavar="{" + ",".join(RULES) + ",FILE}",
        help="the codes to rank. train: those of any visit of train and validation patients; ontology: every code that "
        "has none below it, and what train has besides; all: those of test patients too, of which no model should "
        "know; FILE: a list, one code a line, or the column code of a CSV or Parquet file. True codes outside stay "
        f"targets and count as missed (default: {default})",
    )
    parser.add_argument(
        "--only-candidates",
        action="store_true",
        help="with --candidates FILE: drop all other codes, from test too, as papers on the 50 most frequent codes do",
    )


def add_book(parser: argparse.ArgumentParser) -> None:
    """--book: what the codes are called beyond their titles."""
    parser.add_argument(
        "--book",
        default=TaskOptions().book,
        metavar="{auto,none,FOLDER}",
        help="the code book that names the codes (`mera ontology`): auto, yours of the codes' edition where you have "
        "one; none; or a book's folder (default: %(default)s)",
    )


def add_hidden_codes(parser: argparse.ArgumentParser) -> None:
    """--hide-codes, --hide-seed: codes that only the test knows."""
    default = TaskOptions()
    parser.add_argument(
        "--hide-codes",
        type=float,
        default=default.hide_codes,
        metavar="SHARE",
        help="take this share of the codes that are training targets out of the targets and histories of train and "
        "validation; they stay candidates, and test stays whole: how well are diseases ranked that no example showed "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--hide-seed", type=int, default=default.hide_seed, metavar="N", help="which codes (default: %(default)s)"
    )


def add_split_options(parser: argparse.ArgumentParser, protocol: str = "random") -> None:
    """--protocol and its numbers; `protocol` is the source's default."""
    default = SplitOptions()
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default=protocol,
        help="random: patients by --fractions; temporal: train before, test after (notes: each of them); chet: fixed "
        "--sizes, each code's first patient in train; kfold: --folds tasks that test every patient once; given: the "
        "source's own lists (default: %(default)s)",
    )
    parser.add_argument(
        "--split-file",
        nargs="+",
        metavar="FILE",
        help="instead of a protocol: published splits, CSV, Parquet or feather with ids of patients or visits and "
        "their split; or lists of ids, one file for each split, named train..., dev... and test...",
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="chet: patients per split (default: those of the papers for mimic3 and mimic4)",
    )
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=default.fractions,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the patients (default: {} {} {})".format(*default.fractions),
    )
    parser.add_argument("--folds", type=int, default=default.folds, metavar="N", help="kfold: how many (default: 5)")
    parser.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="kfold: only the task that tests fold K, from 0 (default: OUTPUT-fold0 ...)",
    )
    parser.add_argument(
        "--split-seed", type=int, default=default.seed, metavar="N", help="seed of the split (default: %(default)s)"
    )


def add_diagnosis_options(
    parser: argparse.ArgumentParser, metavar: str, input_help: str, several: bool = False, zeros: bool = True
) -> None:
    """--input and what every source of next diagnoses has; `several`: --input takes more than one path."""
    parser.add_argument("--input", required=True, nargs="+" if several else None, metavar=metavar, help=input_help)
    parser.set_defaults(kind="diagnosis")
    add_history_options(parser)
    add_code_options(parser)
    add_candidates(parser)
    add_column_options(parser, zeros=zeros)
    add_split_options(parser)


def add_code_system(parser: argparse.ArgumentParser, choices: Sequence[str], more: str = "") -> None:
    """--code-system, for tables that hold both versions; `more` is said of further choices."""
    parser.add_argument(
        "--code-system",
        choices=choices,
        help="keep one ICD version, or translate the other to it by the GEMs; needed where both are present" + more,
    )


def add_kind(parser: argparse.ArgumentParser, coding: str) -> None:
    """--kind; `coding` says where the notes of a coding task come from."""
    parser.add_argument(
        "--kind",
        choices=("diagnosis", "coding"),
        default="diagnosis",
        help=f"diagnosis: next visit from history; {coding} (default: %(default)s)",
    )
    parser.add_argument(
        "--mask-codes",
        action="store_true",
        help="coding: put spaces in the place of a note's own codes, where it has any",
    )
