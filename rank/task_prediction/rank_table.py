"""Ranking the patients of a table, as `mera predict --input` does it: all their visits are history."""

import argparse
import sys
from collections.abc import Sequence

from data.editions.national_edition import read_national_edition
from data.ledger import Ledger, LedgerRecord
from data.prepare.new_patients import NewPatients, read_new_patients
from data.sources.shared.events.options import KINDS
from data.sources.shared.own_table.table_columns import TableColumns, add_table_columns, table_columns
from data.table_files.columns import ColumnForms
from data.table_files.meanings import parse_sex_values
from data.task_folder.features import VisitRow
from mera.system.errors import UserError
from rank.patients.coding_check import RuleUse
from rank.patients.event_reader import READS_NONE
from rank.patients.patient_input import require_known, require_seen
from rank.patients.patient_ranker import PatientRanker
from rank.patients.phenotypes import Phenotype
from rank.task_prediction.predict_task import UNCALIBRATED, notice, notice_all, predicted_codes, scored, unread_facts
from rank.task_prediction.ranked_files import RankedExample


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """The group of options that say what stands where in `--input`."""
    table = parser.add_argument_group(
        "patients of a table", "read as `mera prepare table` reads it; --age, --sex and --text name columns then"
    )
    table.add_argument(
        "--input", metavar="FILE", help="CSV, Parquet, Excel, Stata, SAS or SPSS; all visits in it are history"
    )
    add_table_columns(table.add_argument, required=False)
    table.add_argument(
        "--at",
        metavar="DAY",
        help="day of the visit to predict, as 2026-01-31 (or a number, where the times are days): the model reads how "
        "many days ago each visit was (default: the patient's own last visit, 0 days ago)",
    )
    table.add_argument("--date-format", metavar="FORMAT", help="as %%d.%%m.%%Y, where the dates do not show it")
    table.add_argument(
        "--sex-values", metavar="F=..,M=..,U=..", help="values of the column of the sex that are no words"
    )
    table.add_argument(
        "--codes-without-zeros",
        nargs="?",
        choices=("restore", "keep"),
        const="restore",
        help="of ICD-9 codes that were stored as numbers, as in `mera prepare table`",
    )
    table.add_argument("--wide", action="store_true", help="one row a patient in --output, not one row a code")


def check_table_options(arguments: argparse.Namespace) -> None:
    """Raises UserError where options of a table stand without `--input`, or others do not go with it."""
    if arguments.input is None:
        names = (
            "patient",
            "visit",
            "time",
            "code",
            "code_version",
            "icd10_from",
            "position",
            "birth_date",
            *KINDS,
            "codes",
            "keep",
            "at",
            "wide",
            *("separator", "encoding", "date_format", "sex_values"),
            *("code_separator", "event_separator", "codes_without_zeros"),
        )
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
        if given:
            raise UserError(f"{', '.join(given)}: columns of a table, which --input names")
        return
    if arguments.task is not None or arguments.history or arguments.days:
        raise UserError("give one of --input, --task and --history")
    if arguments.output is None:
        raise UserError("--input needs --output FILE.csv, FILE.parquet or FILE.json")
    if arguments.wide and arguments.output.endswith(".json"):
        raise UserError("--wide is a row a patient in a table; JSON has an object a patient as it is")
    if arguments.patient is None or arguments.code is None:
        raise UserError("--input needs --patient and --code, the columns with the patients' ids and the codes")


def read_patients(arguments: argparse.Namespace, ranker: PatientRanker) -> NewPatients:
    """The patients of `arguments.input`, in the edition that the model was trained on.

    Raises UserError where the edition of the model is a table that is not given, or the patients cannot be read.
    """
    columns: TableColumns = table_columns(arguments)
    edition = None
    if arguments.codes is not None:
        edition, _ = read_national_edition(arguments.codes, Ledger())
    elif ranker.reader.system is None:
        raise UserError(
            "the model's codes are of a national edition, or of one that its checkpoint does not name; give its table "
            "with --codes"
        )
    if columns.text is not None and not ranker.reads_past_notes:
        raise UserError("the model reads no notes of past visits; leave --text out")
    if columns.events() and not ranker.events:
        options = ", ".join(f"--{kind}" for kind in columns.events())
        raise UserError(f"{READS_NONE}; leave {options} out")
    unsaid = [name for name, is_told in columns.facts.items() if getattr(ranker.trained_on, name) and not is_told]
    if unsaid:
        options = " and ".join(f"--{name}" for name in unsaid)
        print(f"the model was trained with {' and '.join(unsaid)}: name the columns with {options}", file=sys.stderr)
    for sentence in unread_facts(ranker, **columns.facts):
        print(sentence, file=sys.stderr)
    sexes = {} if arguments.sex_values is None else parse_sex_values(arguments.sex_values)
    return read_new_patients(
        arguments.input,
        columns,
        system=None if edition is not None else ranker.reader.system,
        edition=edition,
        at=arguments.at,
        separator=arguments.separator,
        code_separator=arguments.code_separator,
        forms=ColumnForms(date_format=arguments.date_format, sex_values=sexes, encoding=arguments.encoding),
        zeros=arguments.codes_without_zeros,
        granularity="category" if ranker.trained_on.granularity == "category" else "full",
        event_separator=arguments.event_separator,
        icd10_from=arguments.icd10_from,
    )


def rank_new_patients(
    ranker: PatientRanker,
    patients: NewPatients,
    phenotypes: Sequence[Phenotype],
    *,
    top: int,
    batch_size: int,
    allow_unknown: bool = False,
    rules: RuleUse = "none",
    explain: bool = False,
) -> list[RankedExample]:
    """The patients in the order of the table's cohort, ranked. Raises UserError as `PatientRanker.row` does: where
    most codes are unknown to the model, or it has never seen a history."""
    notice_all(ranker, top)
    rows = [row | {"history": [_as_read(visit, ranker) for visit in row["history"]]} for row in patients.rows]
    histories = [visit["codes"] for row in rows for visit in row["history"]]
    require_seen(ranker.reader, history=any(histories), note=False, allow_unknown=allow_unknown)
    unread = patients.account["unknown_code_counts"]["rows"]
    require_known(ranker.reader, histories, whose="the table's", unread=unread, allow_unknown=allow_unknown)
    if phenotypes:
        notice(UNCALIBRATED)
    scores, eov = scored(ranker, rows, batch_size)
    ranked = ranker.ranked(rows, scores, eov, top, rules, explain)
    numbers = predicted_codes(ranker, rows, scores, eov, top, rules)
    probabilities = {phenotype.name: ranker.phenotype_probabilities(phenotype, scores, eov) for phenotype in phenotypes}
    return [
        RankedExample(
            patient_id=patient_id,
            codes=codes,
            num_predicted=numbers[index],
            phenotypes={name: float(values[index]) for name, values in probabilities.items()},
        )
        for index, (patient_id, codes) in enumerate(zip(patients.patient_ids, ranked, strict=True))
    ]


def _as_read(visit: VisitRow, ranker: PatientRanker) -> VisitRow:
    """The visit with the codes, and the events where it has any, as the model calls them."""
    read = visit | {"codes": list(dict.fromkeys(map(ranker.reader.read, visit["codes"])))}
    return read | {"events": ranker.event_reader.read_all(visit["events"])} if "events" in visit else read


def left_out(account: LedgerRecord) -> int:
    """How many patients of the table have no usable visit, and so are not ranked."""
    return sum(account["accounting"]["patients"]["dropped"].values())
