"""Rank one patient's next diagnoses.

mera predict runs/rank/checkpoint --history "428.0,401.9;584.9" --days "120;14" --age 67 --sex F --top 10
"""

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from mera.entry_point import run_entry_point
from rank.predict import RankedCode, Ranker


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="mera predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="checkpoint directory that rank/train.py wrote")
    parser.add_argument("--history", default="", help="codes of each visit, oldest first: commas inside, ; between")
    parser.add_argument("--days", default=None, help="days before now of each visit, separated by ;")
    parser.add_argument("--age", type=int, default=None, help="age in years")
    parser.add_argument("--sex", choices=["F", "M"], default=None)
    parser.add_argument("--text", default=None, help="a note to read (coding tasks)")
    parser.add_argument("--top", type=int, default=20, help="how many codes to print (default: 20)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()

    visits = [visit.split(",") for visit in arguments.history.split(";") if visit.strip()]
    history = [[code.strip().upper() for code in visit if code.strip()] for visit in visits]
    days = parse_days(arguments.days) if arguments.days else None
    ranker = Ranker.load(arguments.checkpoint)
    unknown = sorted({code for codes in history for code in codes} - set(ranker.definitions))
    ranked = ranker.rank(
        history, days_before=days, age=arguments.age, sex=arguments.sex, text=arguments.text, top=arguments.top
    )
    if arguments.json:
        print(json.dumps([asdict(code) for code in ranked], indent=2, ensure_ascii=False))
        return
    if unknown:
        print(f"not among the model's codes, read as plain text: {', '.join(unknown)}")
    print_table(ranked)


def parse_days(text: str) -> list[int]:
    try:
        return [int(day) for day in text.split(";")]
    except ValueError:
        raise ValueError(f"--days takes whole numbers separated by ;, one for each visit, got {text!r}") from None


def print_table(ranked: list[RankedCode]) -> None:
    table = Table("", "code", "definition", "probability", "predicted", "known")
    for place, code in enumerate(ranked, start=1):
        table.add_row(
            str(place),
            code.code,
            code.definition,
            f"{code.probability:.1%}",
            "yes" if code.predicted else "",
            "yes" if code.known else "",
        )
    Console().print(table)


if __name__ == "__main__":
    run_entry_point(main)
