"""Where a model's knowledge ends: recall by chapter and by code frequency, and how far off wrong answers are."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from data.task import LEVELS
from memorize.code_set import CodeSet
from memorize.recall import BOTH_WAYS, Answers
from mera.report.measures.strata import FREQUENCY_GROUPS

NO_CODE = "no code of these"


def breakdown(answers: dict[str, Answers], code_set: CodeSet) -> dict[str, Any]:
    """JSON-ready. `by_chapter` and, with a task, `by_frequency`: rows of `group`, `codes`, the share right both ways;
    `confusions`, for each kind: wrong answers by the deepest level at which the given code and the right one are in one
    group (`category`: a sibling within three characters; `all`: another chapter), `no code of these` where the text is
    no code's definition; `ambiguous_codes`: codes that share their definition with another.
    """
    names = code_set.group_names["chapter"]
    chapter = dict(zip(code_set.codes, code_set.groups("chapter"), strict=True))
    found = {
        "by_chapter": _rows(
            answers, lambda code: chapter[code], list(dict.fromkeys(chapter.values())), lambda key: names.get(key, key)
        )
    }
    if code_set.train_counts is not None:
        group = {code: _frequency(n) for code, n in zip(code_set.codes, code_set.train_counts, strict=True)}
        labels = [label for _, label in FREQUENCY_GROUPS if label in set(group.values())]
        found["by_frequency"] = _rows(answers, lambda code: group[code], labels, lambda key: key)
    found["confusions"] = {kind: confusions(answers[kind], code_set) for kind in BOTH_WAYS if kind in answers}
    found["ambiguous_codes"] = code_set.ambiguous()
    return found


def confusions(answers: Answers, code_set: CodeSet) -> dict[str, int]:
    """Wrong answers by the level of the nearest common ancestor, deepest level first; see `breakdown`."""
    groups = {
        code: path
        for code, *path in zip(code_set.codes, *(code_set.groups(level) for level in reversed(LEVELS)), strict=True)
    }
    codes_of = defaultdict(list)
    for code, definition in code_set.meanings().items():
        codes_of[definition].append(code)
    count: Counter[str] = Counter()
    for question, given, right in zip(answers.questions, answers.given, answers.right, strict=True):
        if right:
            continue
        named = [given] if given in groups else codes_of.get(given, [])
        depths = [_common_depth(groups[question.code], groups[code]) for code in named]
        count[LEVELS[len(LEVELS) - 1 - min(depths)] if depths else NO_CODE] += 1
    return {level: count[level] for level in (*reversed(LEVELS), NO_CODE) if count[level]}


def print_breakdown(found: dict[str, Any]) -> None:
    """The tables of a `breakdown`."""
    console = Console()
    for key, title in (("by_chapter", "By chapter"), ("by_frequency", "By training examples with the code")):
        if key in found:
            table = Table("group", "codes", *(kind.replace("_", " ") for kind in BOTH_WAYS), title=title)
            for row in found[key]:
                table.add_row(row["group"], str(row["codes"]), *(f"{row[kind]:.1%}" for kind in BOTH_WAYS))
            console.print(table)
    for kind, counts in found["confusions"].items():
        text = ", ".join(f"{level} {number}" for level, number in counts.items()) or "none"
        console.print(f"wrong answers, {kind.replace('_', ' ')}, by nearest common ancestor: {text}")
    if found["ambiguous_codes"]:
        console.print(f"{found['ambiguous_codes']} codes share their definition with another; each counts as right")


def _rows(
    answers: dict[str, Answers], group_of: Callable[[str], str], labels: list[str], name: Callable[[str], str]
) -> list[dict[str, Any]]:
    right: dict[str, dict[str, list[bool]]] = {kind: defaultdict(list) for kind in BOTH_WAYS}
    for kind in BOTH_WAYS:
        for question, good in zip(answers[kind].questions, answers[kind].right, strict=True):
            right[kind][group_of(question.code)].append(good)
    return [
        {
            "group": name(label),
            "codes": len(right[BOTH_WAYS[0]][label]),
            **{kind: sum(right[kind][label]) / len(right[kind][label]) for kind in BOTH_WAYS},
        }
        for label in labels
    ]


def _frequency(count: int) -> str:
    return next(label for largest, label in FREQUENCY_GROUPS if largest is None or count <= largest)


def _common_depth(first: list[str], second: list[str]) -> int:
    """How many levels up from the deepest the two are first in one group."""
    return next(depth for depth, (a, b) in enumerate(zip(first, second, strict=True)) if a == b)
