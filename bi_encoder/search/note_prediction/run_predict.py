"""Rank the codes of a note, of every note in a file, or in a split of a prepared task, by a run on notes.

mera predict runs/fused --text "Flash pulmonary edema, history of CHF."
mera predict runs/laa_mrl --text "Flash pulmonary edema, history of CHF." --age 67 --sex F
mera predict runs/laa_mrl --file note.txt --top 10 --json
mera predict runs/laa_mrl --input notes.csv --patient note_id --text note --output ranked.csv
mera predict runs/laa_mrl --task prepared/codiesp --output ranked.parquet
mera predict runs/laa_mrl --history "428.0,401.9;584.9"        (a bi-encoder that was trained on histories)

A run of mera fuse, mera retrieval-baselines or mera retrieve; the candidates are those of its task. `evidence` counts
characters of the note: phrases of a dictionary, the best sentence of BM25, where label attention (`laa_mrl`) looked; of
a fusion that of its first part that can say. A run of stage two has options of its own: mera predict --help.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from bi_encoder.search.note_prediction.note_files import (
    SUFFIXES,
    RankedNote,
    print_ranked_note,
    records,
    write_ranked_notes,
)
from bi_encoder.search.note_prediction.note_ranker import NoteRanker, NoteRow
from bi_encoder.search.note_prediction.note_table import NoteColumns, NoteTable, read_note_table
from bi_encoder.search.output import read_note_file
from data.cohorts.notes.note_marks import remains_in
from data.cohorts.notes.plain_text import plain_text
from data.table_files.columns import ColumnForms
from data.table_files.meanings import parse_sex_values
from data.task import SPLITS, Task, load_task
from mera.evaluation.calibration import THRESHOLD_HELP, read_threshold, threshold_sentence
from mera.runs.other_splits.trained_on import trained_on_sentence
from mera.system.errors import CommandLine, Once, UserError
from mera.system.private_files import check_output
from mera.system.terminal import as_json
from mera.training.entry_point import run_entry_point

READ = {"coding": "notes", "diagnosis": "histories"}
"""Kind of a task -> what its examples have to rank from."""
NO_DAYS = "--days are whole numbers of 0 or more, one for each visit, separated by ;"


def main() -> None:
    options = _arguments()
    _check(options)
    if options.task is not None:
        return _rank_task(options)
    if options.input is not None:
        return _rank_table(_read_table(options), options)
    ranker = _opened(options)
    text = read_note_file(options.file) if options.file is not None else options.text
    row = ranker.row(
        [visit.split(",") for visit in options.history.split(";") if visit.strip()],
        days_before=None if options.days is None else [_whole(day, NO_DAYS) for day in options.days.split(";")],
        age=None if options.age is None else _whole(options.age, "--age is a whole number of years"),
        sex=options.sex,
        text=text,
        allow_unknown=options.allow_unknown,
    )
    (note,) = _ranked(ranker, [row], [{}], options)
    if options.output is not None:
        write_ranked_notes(options.output, [note])
    elif options.json:
        sys.stdout.write(as_json({"codes": records(note)}))
    else:
        print_ranked_note(note)
        _tell_threshold(ranker)


def _opened(options: argparse.Namespace, task: Task | None = None) -> NoteRanker:
    threshold = None if options.threshold is None else read_threshold(options.threshold)
    ranker = NoteRanker.load(options.checkpoint, task)
    if threshold is not None:
        ranker.predict_above(threshold)
    return ranker


def _tell_threshold(ranker: NoteRanker) -> None:
    if ranker.least_probability is not None:
        print(threshold_sentence(ranker.least_probability), file=sys.stderr)


def _read_table(options: argparse.Namespace) -> NoteTable:
    sexes = {} if options.sex_values is None else parse_sex_values(options.sex_values)
    columns = NoteColumns(text=options.text, ids=options.patient, age=options.age, sex=options.sex)
    table = read_note_table(options.input, columns, ColumnForms(sex_values=sexes, encoding=options.encoding))
    if table.num_respelled:
        print(f"{table.num_respelled:,} ids of {options.patient} are spelled anew: 12 for 12.0", file=sys.stderr)
    for name, count in table.unreadable.items():
        print(f"{count:,} values of {name} cannot be read and are taken for unknown", file=sys.stderr)
    return table


def _rank_table(table: NoteTable, options: argparse.Namespace) -> None:
    ranker = _opened(options)
    unsaid = [name for name in ("age", "sex") if ranker.met.get(name) and getattr(options, name) is None]
    if unsaid:
        named = " and ".join(f"--{name}" for name in unsaid)
        print(f"the model was trained with {' and '.join(unsaid)}: name the columns with {named}", file=sys.stderr)
    patients = zip(table.texts, table.ages, table.sexes, strict=True)
    rows = [ranker.row(text=text, age=age, sex=sex, allow_unknown=options.allow_unknown) for text, age, sex in patients]
    for what, number in Counter(found for text in table.texts for found in remains_in(plain_text(text).text)).items():
        print(f"{number:,} times: {what}", file=sys.stderr)
    write_ranked_notes(options.output, _ranked(ranker, rows, [{"patient_id": name} for name in table.ids], options))
    lost = f"; {table.num_empty} rows without a note are not in it" if table.num_empty else ""
    _tell_threshold(ranker)
    print(f"{len(rows)} notes ranked: {options.output}{lost}")


def _rank_task(options: argparse.Namespace) -> None:
    task = load_task(options.task)
    ranker = _opened(options, task)
    if ranker.reads not in (None, task.info["kind"]) and not options.allow_unknown:
        trained_on, there = (READ[kind] for kind in (str(ranker.reads), task.info["kind"]))
        raise UserError(
            f"the model was trained on {trained_on}, and the task has {there}; --allow-unknown ranks all the same"
        )
    rows = list(task.splits[options.split])
    known = trained_on_sentence(options.checkpoint, [row["patient_id"] for row in rows])
    if known is not None:
        print(known, file=sys.stderr)
    ranker.texts.add(task.all_definitions)
    notes = _ranked(
        ranker,
        rows,
        [{"example_id": row["example_id"]} for row in rows],
        options,
        targets=[row["targets"] for row in rows],
    )
    write_ranked_notes(options.output, notes)
    _tell_threshold(ranker)
    print(f"{len(rows)} examples ranked: {options.output}")


def _ranked(
    ranker: NoteRanker,
    rows: Sequence[NoteRow],
    names: Sequence[dict[str, str]],
    options: argparse.Namespace,
    targets: Sequence[Sequence[str]] | None = None,
) -> list[RankedNote]:
    ranked = ranker.rank_rows(rows, options.top, options.batch_size, "ranking" if len(rows) > 1 else None)
    return [
        RankedNote(
            codes=codes,
            note=_as_kept(row),
            names=name,
            targets=None if targets is None else targets[number],
        )
        for number, (row, codes, name) in enumerate(zip(rows, ranked, names, strict=True))
    ]


def _as_kept(row: NoteRow) -> str | None:
    """The note as the user has it, into which evidence points."""
    kept = row.get("kept")
    return row["text"] if kept is None else kept.stored


def _arguments() -> argparse.Namespace:
    parser = CommandLine(prog="mera predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.help_command = "mera predict RUN"  # without a run it is that of patients
    parser.add_argument("checkpoint", help="run on notes, or a bi-encoder's checkpoint directory or export")
    one = parser.add_argument_group("one note")
    one.add_argument("--text", default=None, help="the note; with --input the column with the notes")
    one.add_argument("--file", default=None, help="a text file in UTF-8 that holds the note")
    one.add_argument("--age", default=None, help="age in whole years; with --input the column with it")
    one.add_argument("--sex", default=None, help="F or M; with --input the column with it")
    one.add_argument(
        "--history", action=Once, default="", help="codes of each visit, oldest first: commas inside, ; between"
    )
    one.add_argument("--days", default=None, help="days before now of each visit, oldest first, separated by ;")
    table = parser.add_argument_group("notes of a table")
    table.add_argument(
        "--input", metavar="FILE", help="CSV, JSONL, Parquet, Excel, Stata, SAS or SPSS; needs --text and --output"
    )
    table.add_argument("--patient", metavar="COLUMN", help="column that names the note (default: the row's number)")
    table.add_argument("--encoding", help="of a CSV that is not in UTF-8, as cp1252")
    table.add_argument(
        "--sex-values", metavar="F=..,M=..,U=..", help="values of the column of the sex that are no words"
    )
    task = parser.add_argument_group("examples of a task")
    task.add_argument("--task", default=None, help="prepared task whose examples are ranked; needs --output")
    task.add_argument("--split", choices=SPLITS, default="test", help="which of its splits (default: test)")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=16,
        help="notes in one forward pass, of a model without evidence (default: 16)",
    )
    parser.add_argument("--top", type=int, default=20, help="how many codes of each note (default: 20)")
    parser.add_argument(
        "--allow-unknown",
        action="store_true",
        help="rank by a model that was trained without what is given: a note, a history, an age, a sex",
    )
    parser.add_argument("--threshold", metavar="P", help=THRESHOLD_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", default=None, help="file to write: .csv, .parquet or .json")
    return parser.parse_args()


def _check(options: argparse.Namespace) -> None:
    """Before a model is opened. Raises UserError where options do not go together."""
    if options.top < 1 or options.batch_size < 1:
        raise UserError("--top and --batch-size must be 1 or more")
    if options.output is not None:
        check_output(options.output, SUFFIXES)
    sources = [name for name in ("input", "file", "task") if getattr(options, name) is not None]
    if len(sources) > 1 or (options.text is not None and sources not in ([], ["input"])):
        raise UserError("give one of --text, --file, --input and --task")
    of_one = options.history or options.days or (sources == ["task"] and (options.age or options.sex))
    if sources in (["input"], ["task"]) and of_one:
        raise UserError(f"give either --{sources[0]} or one patient (--history, --days, --age, --sex), not both")
    if options.sex_values is not None and sources != ["input"]:
        raise UserError("--sex-values is of a column, which --sex names with --input")
    if sources == ["input"] and (options.text is None or options.output is None):
        raise UserError("--input needs --text, the column with the notes, and --output FILE.csv, .parquet or .json")
    if sources == ["task"] and options.output is None:
        raise UserError("--task needs --output FILE.csv, FILE.parquet or FILE.json")


def _whole(text: str, wanted: str) -> int:
    if not text.strip().isdecimal():
        raise UserError(wanted)
    return int(text)


if __name__ == "__main__":
    run_entry_point(main)
