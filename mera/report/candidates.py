"""What the candidates of a task are, and which true codes lie outside them."""

from pathlib import PurePath
from typing import Any

import numpy as np

ALL = "all"
"""The rule of tasks that name none."""
RULES = {
    "train": "the codes of train and validation",
    "ontology": "every code of the ontology that has no finer one",
    "source": "the codes that the source itself lists",
    ALL: "every code that occurs anywhere in the task, test included",
}
PEEK = " They include codes that only test knows, which no model could have for candidates before it saw test."


def candidates_rule(task: dict[str, Any]) -> dict[str, str]:
    """`name`, and `file` where the candidates are those of a file; `task` is the task record of a manifest."""
    rule = task.get("candidates_rule")
    return dict(rule) if isinstance(rule, dict) and "name" in rule else {"name": ALL}


def outside_candidates(targets: np.ndarray, outside: np.ndarray) -> dict[str, Any]:
    """How many true codes are no candidates: `targets`, their `share` of all, different `codes`, `examples` with one.

    targets (N, C) bool; outside (T,) bool in the order of `np.nonzero(targets)`.
    """
    rows, columns = np.nonzero(targets)
    return {
        "targets": int(outside.sum()),
        "share": float(outside.mean()) if len(outside) else None,
        "codes": len(np.unique(columns[outside])),
        "examples": len(np.unique(rows[outside])),
    }


def rule_in_words(rule: dict[str, str]) -> str:
    """What the candidates are, to follow `Candidates: `."""
    if rule["name"] == "file":
        return f"the codes of {PurePath(rule['file']).name}" if rule.get("file") else "the codes of a file"
    return RULES.get(rule["name"], f"by the rule {rule['name']}")


def describe_candidates(section: dict[str, Any]) -> str:
    """What a reader has to know of the candidates before the first number."""
    rule, outside = section["candidates_rule"], section["outside_candidates"]
    sentence = f"The {section['candidates']:,} candidates are {rule_in_words(rule)} (rule: {rule['name']})."
    if rule["name"] == ALL:
        sentence += PEEK
    if not outside["targets"]:
        return f"{sentence} No true code is outside them."
    return (
        f"{sentence} {outside['targets']:,} of the {section['targets']:,} true codes "
        f"({100 * outside['share']:.1f}%) are outside them and count as missed in every metric."
    )
