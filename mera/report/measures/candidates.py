"""What the candidates of a task are, and how many true codes are none of them."""

from pathlib import PurePath
from typing import Any

from mera.report.text import percent

ALL = "all"
"""The rule of tasks that name none."""
RULES = {
    "train": "the codes of the training and validation patients",
    "ontology": "all codes of the ontology that have no finer one",
    "file": "the codes of a list",
    "source": "the codes that the source names",
    ALL: "all codes that occur in the task, those that only test knows included",
}
"""By the name of the rule in task.json."""


def rule_name(task: dict[str, Any]) -> str:
    """`task`: the task record of a manifest."""
    return str((task.get("candidates_rule") or {}).get("name", ALL))


def rule_in_words(section: dict[str, Any]) -> str:
    """What the candidates are."""
    rule, file = section["candidates_rule"], section["candidates_file"]
    return f"the codes of {file}" if file else RULES.get(rule, f"chosen by the rule {rule}")


def candidates_record(task: dict[str, Any], targets: int, outside: Any) -> dict[str, Any]:
    """What a section says of the candidates; `outside`: a `load.Outside`, of `targets` true codes."""
    file = (task.get("candidates_rule") or {}).get("file")
    return {
        "candidates": outside.num_candidates,
        "candidates_rule": rule_name(task),
        "candidates_file": PurePath(str(file)).name if file else None,
        "outside_candidates": {
            "targets": outside.targets,
            "share": outside.targets / targets if targets else None,
            "codes": outside.codes,
            "examples": outside.examples,
        },
    }


def describe_candidates(section: dict[str, Any]) -> str:
    """What a reader has to know of the candidates beside the first numbers."""
    outside = section["outside_candidates"]
    sentence = f"The {section['candidates']:,} candidates are {rule_in_words(section)} ({section['candidates_rule']})."
    if not outside["targets"]:
        return f"{sentence} Every true code is one of them."
    return (
        f"{sentence} {outside['targets']:,} of the {section['targets']:,} true codes ({percent(outside['share'])}%; "
        f"{outside['codes']:,} different ones) are no candidates: they count as missed in every metric."
    )
