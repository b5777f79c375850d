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
from collections.abc import Sequence

from bi_encoder.inputs.texts import ExampleRow
from bi_encoder.search.note_prediction.note_files import (
    SUFFIXES,
    RankedNote,
    as_json,
    print_ranked_note,
    read_note_table,
    records,
    write_ranked_notes,
)
from bi_encoder.search.note_prediction.note_ranker import NoteRanker
from bi_encoder.search.output import read_note_file
from data.task import SPLITS, load_task
from mera.system.errors import CommandLine, Once, UserError
from mera.system.private_files import check_output
from mera.training.entry_point import run_entry_point


def main() -> None:
    options = _arguments()
    _check(options)
    if options.task is not None:
        return _rank_task(options)
    ranker = NoteRanker.load(options.checkpoint)
    age, sex = options.age, options.sex
    if options.input is not None:
        table = read_note_table(options.input, options.text, options.patient, options.encoding)
        rows = [ranker.row(text=text, allow_unknown=options.allow_unknown) for text in table.texts]
        names = [{"patient_id": name} for name in table.ids]
        write_ranked_notes(options.output, _ranked(ranker, rows, names, options))
        lost = f"; {table.num_empty} rows without a note are not in it" if table.num_empty else ""
        print(f"{len(rows)} notes ranked: {options.output}{lost}")
        return
    text = read_note_file(options.file) if options.file is not None else options.text
    row = ranker.row(
        [visit.split(",") for visit in options.history.split(";") if visit.strip()],
        days_before=None if options.days is None else [_day(day) for day in options.days.split(";")],
        age=age,
        sex=sex,
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


def _rank_task(options: argparse.Namespace) -> None:
    task = load_task(options.task)
    ranker = NoteRanker.load(options.checkpoint, task)
    rows = list(task.splits[options.split])
    ranker.texts.add(task.all_definitions)
    notes = _ranked(
        ranker,
        rows,
        [{"example_id": row["example_id"]} for row in rows],
        options,
        targets=[row["targets"] for row in rows],
    )
    write_ranked_notes(options.output, notes)
    print(f"{len(rows)} examples ranked: {options.output}")


def _ranked(
    ranker: NoteRanker,
    rows: Sequence[ExampleRow],
    names: Sequence[dict[str, str]],
    options: argparse.Namespace,
    targets: Sequence[Sequence[str]] | None = None,
) -> list[RankedNote]:
    ranked = ranker.rank_rows(rows, options.top, options.batch_size, "ranking" if len(rows) > 1 else None)
    return [
        RankedNote(codes=codes, note=row["text"], names=name, targets=None if targets is None else targets[number])
        for number, (row, codes, name) in enumerate(zip(rows, ranked, names, strict=True))
    ]


def _arguments() -> argparse.Namespace:
    parser = CommandLine(prog="mera predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="run on notes, or a bi-encoder's checkpoint directory or export")
    one = parser.add_argument_group("one note")
    one.add_argument("--text", default=None, help="the note; with --input the column with the notes")
    one.add_argument("--file", default=None, help="a text file in UTF-8 that holds the note")
    one.add_argument("--age", type=int, default=None, help="age in whole years")
    one.add_argument("--sex", choices=("F", "M"), default=None, help="F or M")
    one.add_argument(
        "--history", action=Once, default="", help="codes of each visit, oldest first: commas inside, ; between"
    )
    one.add_argument("--days", default=None, help="days before now of each visit, oldest first, separated by ;")
    table = parser.add_argument_group("notes of a table")
    table.add_argument("--input", metavar="FILE", help="CSV, JSONL, Parquet or spreadsheet; needs --text and --output")
    table.add_argument("--patient", metavar="COLUMN", help="column that names the note (default: the row's number)")
    table.add_argument("--encoding", help="of a CSV that is not in UTF-8, as cp1252")
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
        help="rank a note by a model of histories, or a history by a model of notes",
    )
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
    if sources in (["input"], ["task"]) and (options.history or options.days or options.age or options.sex):
        raise UserError(f"give either --{sources[0]} or one patient (--history, --days, --age, --sex), not both")
    if sources == ["input"] and (options.text is None or options.output is None):
        raise UserError("--input needs --text, the column with the notes, and --output FILE.csv, .parquet or .json")
    if sources == ["task"] and options.output is None:
        raise UserError("--task needs --output FILE.csv, FILE.parquet or FILE.json")


def _day(text: str) -> int:
    if not text.strip().isdigit():
        raise UserError("--days are whole numbers of 0 or more, one for each visit, separated by ;")
    return int(text)


if __name__ == "__main__":
    run_entry_point(main)
