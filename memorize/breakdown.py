"""Where a model's knowledge ends: recall by chapter and by code frequency, and how far off wrong answers are."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TypedDict

from rich.table import Table

from data.task import LEVELS
from memorize.code_sets.code_set import CodeSet
from memorize.recall import BOTH_WAYS, Answers
from mera.evaluation.frequency_groups import FREQUENCY_GROUPS, frequency_group
from mera.system.terminal import plain_console

NO_CODE = "no code of these"


class GroupShare(TypedDict):
    """A group of codes, how many they are, and the share of right answers both ways, 0 to 1."""

    group: str
    codes: int
    code_to_definition: float
    definition_to_code: float


class FrequencyShares(TypedDict, total=False):
    by_frequency: list[GroupShare]
    """by the training examples with the code, where the codes are a task's"""


class Breakdown(FrequencyShares):
    """Where a model is right and wrong, JSON-ready."""

    by_chapter: list[GroupShare]
    confusions: dict[str, dict[str, int]]
    """kind -> level -> wrong answers: the deepest level at which the answer's code and the right one are in one group
    (`category`: a sibling within three characters; `all`: another chapter), `no code of these` where the text is no
    code's definition"""
    ambiguous_codes: int
    """codes that share their definition with another"""


def breakdown(answers: dict[str, Answers], code_set: CodeSet) -> Breakdown:
    """`answers`: kind -> the answers, BOTH_WAYS at least."""
    names = code_set.group_names["chapter"]
    chapter = dict(zip(code_set.codes, code_set.groups("chapter"), strict=True))
    return {
        "by_chapter": _rows(
            answers, lambda code: chapter[code], list(dict.fromkeys(chapter.values())), lambda key: names.get(key, key)
        ),
        **_by_frequency(answers, code_set),
        "confusions": {kind: confusions(answers[kind], code_set) for kind in BOTH_WAYS if kind in answers},
        "ambiguous_codes": code_set.ambiguous(),
    }


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
    for question, answer, right in zip(answers.questions, answers.given, answers.right, strict=True):
        if right:
            continue
        named = [answer] if answer in groups else codes_of.get(answer, [])
        depths = [_common_depth(groups[question.code], groups[code]) for code in named]
        count[LEVELS[len(LEVELS) - 1 - min(depths)] if depths else NO_CODE] += 1
    return {level: count[level] for level in (*reversed(LEVELS), NO_CODE) if count[level]}


def print_breakdown(record: Breakdown) -> None:
    """The tables of a `breakdown`."""
    console = plain_console()
    tables = {"By chapter": record["by_chapter"]}
    if "by_frequency" in record:
        tables["By training examples with the code"] = record["by_frequency"]
    for title, rows in tables.items():
        table = Table("group", "codes", *(kind.replace("_", " ") for kind in BOTH_WAYS), title=title)
        for row in rows:
            shares = (row["code_to_definition"], row["definition_to_code"])
            table.add_row(row["group"], str(row["codes"]), *(f"{share:.1%}" for share in shares))
        console.print(table)
    for kind, counts in record["confusions"].items():
        text = ", ".join(f"{level} {number}" for level, number in counts.items()) or "none"
        console.print(f"wrong answers, {kind.replace('_', ' ')}, by nearest common ancestor: {text}")
    if record["ambiguous_codes"]:
        console.print(f"{record['ambiguous_codes']} codes share their definition with another; each counts as right")


def _by_frequency(answers: dict[str, Answers], code_set: CodeSet) -> FrequencyShares:
    if code_set.train_counts is None:
        return {}
    group = {code: frequency_group(n) for code, n in zip(code_set.codes, code_set.train_counts, strict=True)}
    labels = [label for _, label in FREQUENCY_GROUPS if label in set(group.values())]
    return {"by_frequency": _rows(answers, lambda code: group[code], labels, lambda key: key)}


def _rows(
    answers: dict[str, Answers], group_of: Callable[[str], str], labels: list[str], name: Callable[[str], str]
) -> list[GroupShare]:
    right: dict[str, dict[str, list[bool]]] = {kind: defaultdict(list) for kind in BOTH_WAYS}
    for kind in BOTH_WAYS:
        for question, good in zip(answers[kind].questions, answers[kind].right, strict=True):
            right[kind][group_of(question.code)].append(good)
    return [
        {
            "group": name(label),
            "codes": len(right[BOTH_WAYS[0]][label]),
            "code_to_definition": _share(right["code_to_definition"][label]),
            "definition_to_code": _share(right["definition_to_code"][label]),
        }
        for label in labels
    ]


def _share(right: list[bool]) -> float:
    return sum(right) / len(right)


def _common_depth(first: list[str], second: list[str]) -> int:
    """How many levels up from the deepest the two are first in one group."""
    return next(depth for depth, (a, b) in enumerate(zip(first, second, strict=True)) if a == b)
